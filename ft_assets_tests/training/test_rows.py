"""Rows as the model reads them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import UserError
from ft_assets.training.checkpoint import load_tokenizer
from ft_assets.training.config import TrainingConfig
from ft_assets.training.rows import by_length, model_window, read_rows
from ft_assets_tests.tiny_models import LABELS


@pytest.fixture(scope="module")
def tokenizer(tiny_bert_dir):
    return load_tokenizer(tiny_bert_dir)


def _write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_rows_keep_the_order_of_the_file_and_are_not_padded(tmp_path, tokenizer):
    path = _write(
        tmp_path / "a.parquet",
        example_id=["b", "a"],
        text=["good", "a very bad phone"],
        label=["positive", "negative"],
    )
    rows = read_rows(path, tokenizer, 64, LABELS)
    assert rows.example_ids == ["b", "a"]
    assert rows.lengths.tolist() == [3, 6]  # words, and a special token at each end
    assert rows.labels.tolist() == [2, 0]


def test_a_row_longer_than_the_window_is_cut_and_marked(tmp_path, tokenizer):
    path = _write(
        tmp_path / "a.parquet", example_id=["a", "b", "c"], text=["good " * 7, "good " * 6, "bad " * 30]
    )
    rows = read_rows(path, tokenizer, 8)
    assert rows.truncated.tolist() == [True, False, True]
    assert rows.lengths.tolist() == [8, 8, 8]


LONG = {
    "example_id": ["a", "b", "c"],
    "text": ["good " * 7, "bad", "bad " * 30],
    "label": ["positive", *["negative"] * 2],
}


def test_longer_rows_are_cut_or_left_out_as_the_task_says(tmp_path, tokenizer):
    rows = read_rows(_write(tmp_path / "a.parquet", **LONG), tokenizer, 8, LABELS)
    cut = by_length(rows, TrainingConfig(), 8, "train split")
    assert (len(cut), cut.dropped, int(cut.truncated.sum())) == (3, 0, 2)
    kept = by_length(rows, TrainingConfig(too_long="drop"), 8, "train split")
    assert (kept.example_ids, kept.input_ids, kept.dropped) == (["b"], [rows.input_ids[1]], 2)
    assert kept.labels.tolist() == [LABELS.index("negative")] and not kept.truncated.any()


def test_longer_rows_are_an_error_where_the_task_says_so(tmp_path, tokenizer):
    rows = read_rows(_write(tmp_path / "a.parquet", **LONG), tokenizer, 8, LABELS)
    with pytest.raises(UserError, match="2 of 3 rows are longer than 8 tokens, such as a, c"):
        by_length(rows, TrainingConfig(too_long="error"), 8, "train split")


def test_a_cut_row_keeps_its_closing_token(tmp_path, tokenizer):
    path = _write(tmp_path / "a.parquet", example_id=["a"], text=["bad " * 30])
    assert read_rows(path, tokenizer, 8).input_ids[0][-1] == tokenizer.sep_token_id


def test_a_label_outside_the_set_is_named_and_the_set_is_told(tmp_path, tokenizer):
    path = _write(tmp_path / "a.parquet", example_id=["a"], text=["good"], label=["wonderful"])
    with pytest.raises(UserError, match=r"outside the set: 'wonderful'[\s\S]*negative, neutral, positive"):
        read_rows(path, tokenizer, 64, LABELS)


def test_a_missing_column_is_named(tmp_path, tokenizer):
    path = _write(tmp_path / "a.parquet", example_id=["a"], text=["good"])
    with pytest.raises(UserError, match="no column label"):
        read_rows(path, tokenizer, 64, LABELS)


def test_a_missing_file_is_an_error_for_the_user(tmp_path, tokenizer):
    with pytest.raises(UserError, match="does not exist"):
        read_rows(tmp_path / "none.parquet", tokenizer, 64, LABELS)


def test_no_rows_are_no_error(tmp_path, tokenizer):
    path = _write(
        tmp_path / "a.parquet", example_id=pa.array([], pa.string()), text=pa.array([], pa.string())
    )
    assert len(read_rows(path, tokenizer, 64)) == 0


def test_the_window_is_the_smallest_limit(tokenizer):
    from transformers import BertConfig

    config = BertConfig(max_position_embeddings=48)
    assert model_window(tokenizer, config) == 48
    assert model_window(tokenizer, config, max_length=16) == 16
    assert model_window(tokenizer, BertConfig(max_position_embeddings=512)) == 64  # the tokenizer's


def test_roberta_never_reaches_its_first_positions(tokenizer):
    from transformers import RobertaConfig

    assert model_window(tokenizer, RobertaConfig(max_position_embeddings=34, pad_token_id=1)) == 32
