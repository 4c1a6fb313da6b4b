"""Rows of a model that writes: what is too long, what is left to learn, and which rows are drawn."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import UserError
from ft_assets.training.checkpoint import load_tokenizer
from ft_assets.training.config import PromptConfig, TrainingConfig
from ft_assets.training.conversations import Encoder
from ft_assets.training.sequences import encode_rows, read_conversations, smallest


@pytest.fixture
def rows(tmp_path):
    """Nine rows with short prompts, and one with a long one."""
    prompts = ["say box"] * 9 + ["say " + "x" * 150]
    columns = {
        "example_id": [f"id{i}" for i in range(10)],
        "context": [None] * 10,
        "text": prompts,
        "label": ["box"] * 10,
    }
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path)
    return read_conversations(path, PromptConfig())


@pytest.fixture
def encoder(tiny_llama_dir):
    return Encoder(load_tokenizer(tiny_llama_dir))


def test_what_is_cut_so_that_no_answer_is_left_is_left_out_and_counted(rows, encoder):
    made = encode_rows(rows, encoder, 100, TrainingConfig(max_unsupervised=0.1), "train split")
    assert (len(made), made.cut, made.without_answer) == (9, 1, 1)


def test_more_such_rows_than_allowed_are_an_error(rows, encoder):
    with pytest.raises(UserError, match=r"1 of 10 rows have no token left to learn \(at most 5%"):
        encode_rows(rows, encoder, 100, TrainingConfig(), "train split")


def test_all_rows_without_an_answer_are_an_error_whatever_is_allowed(rows, encoder):
    with pytest.raises(UserError, match="10 of 10 rows have no token left"):
        encode_rows(rows, encoder, 20, TrainingConfig(max_unsupervised=1.0), "train split")


def test_long_rows_can_be_left_out(rows, encoder):
    made = encode_rows(rows, encoder, 100, TrainingConfig(too_long="drop"), "train split")
    assert (len(made), made.cut, made.dropped, made.without_answer) == (9, 0, 1, 0)


def test_long_rows_can_be_an_error_that_names_them(rows, encoder):
    with pytest.raises(UserError, match="longer than 100 tokens, such as id9"):
        encode_rows(rows, encoder, 100, TrainingConfig(too_long="error"), "train split")


def test_the_draw_hardly_changes_when_rows_come(rows):
    ids = [f"id{i}" for i in range(100)]
    before = {ids[i] for i in smallest(ids, 20)}
    after = {([*ids, "new"])[i] for i in smallest([*ids, "new"], 20)}
    assert len(before) == 20
    assert len(before - after) <= 1


def test_a_file_without_the_columns_of_conversations_is_an_error(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"example_id": ["a"], "text": ["b"]}), path)
    with pytest.raises(UserError, match="no column context, label"):
        read_conversations(path, PromptConfig())
