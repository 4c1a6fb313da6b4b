"""Writing and scoring: the same whatever the batches, the reference's likelihood, shots, ends and cuts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ft_assets.training.checkpoint import load_language_model, load_tokenizer
from ft_assets.training.config import GenerationConfig, PromptConfig, TrainingConfig
from ft_assets.training.text_answers import write_answers
from ft_assets_tests.tiny_models import recipe_table

PROMPT = PromptConfig(template="Say: {text}")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    path = tmp_path_factory.mktemp("answers") / "examples.parquet"
    pq.write_table(recipe_table(12), path)
    return path


def answers(model, examples, output, **changes):
    output.mkdir()
    given = {
        "generation": GenerationConfig(max_new_tokens=8),
        "config": TrainingConfig(threads=1),
        "report": lambda message: None,
    } | changes
    result = write_answers(checkpoint=model, examples=examples, prompt=PROMPT, output=output, **given)
    return result, pq.read_table(output / "predictions.parquet").to_pylist()


def test_each_row_is_written_and_scored_as_if_it_were_alone(tiny_llama_dir, examples, tmp_path):
    _, together = answers(tiny_llama_dir, examples, tmp_path / "a")
    rows = pq.read_table(examples)
    for place in (0, 5, 11):
        alone_path = tmp_path / f"alone{place}.parquet"
        pq.write_table(rows.slice(place, 1), alone_path)
        _, (alone,) = answers(tiny_llama_dir, alone_path, tmp_path / f"b{place}")
        assert alone["prediction"] == together[place]["prediction"]
        assert alone["nll"] == pytest.approx(together[place]["nll"], rel=1e-5)


def test_the_likelihood_is_that_of_the_reference_and_its_end(tiny_llama_dir, examples, tmp_path):
    _, found = answers(tiny_llama_dir, examples, tmp_path / "a")
    model, tokenizer = load_language_model(tiny_llama_dir).eval(), load_tokenizer(tiny_llama_dir)
    for row, own in zip(pq.read_table(examples).to_pylist(), found, strict=True):
        if row["context"] is not None:
            continue
        turns = [{"role": "user", "content": f"Say: {row['text']}"}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        before = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = tokenizer(f"{prompt}{row['label']}<|im_end|>", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            likely = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = -sum(float(likely[i - 1, ids[i]]) for i in range(before, len(ids)))
        assert own["tokens"] == len(ids) - before == len(row["label"]) + 1
        assert own["nll"] == pytest.approx(expected, rel=1e-5)


def test_of_a_conversation_the_last_answer_alone_is_scored(tiny_llama_dir, examples, tmp_path):
    _, found = answers(tiny_llama_dir, examples, tmp_path / "a")
    rows = pq.read_table(examples).to_pylist()
    assert any(row["context"] for row in rows)
    assert [own["tokens"] for own in found] == [len(row["label"]) + 1 for row in rows]


def test_the_reference_is_not_shown(tiny_llama_dir, examples, tmp_path):
    rows = pq.read_table(examples)
    other = rows.set_column(3, "label", pa.array(["quite another answer"] * len(rows)))
    pq.write_table(other, tmp_path / "other.parquet")
    _, found = answers(tiny_llama_dir, examples, tmp_path / "a")
    _, others = answers(tiny_llama_dir, tmp_path / "other.parquet", tmp_path / "b")
    assert [row["prediction"] for row in found] == [row["prediction"] for row in others]


def test_an_answer_that_reaches_the_limit_has_not_ended(tiny_llama_dir, examples, tmp_path):
    result, found = answers(
        tiny_llama_dir, examples, tmp_path / "a", generation=GenerationConfig(max_new_tokens=1)
    )
    # A random model hardly ends at once.
    assert not all(row["ended"] for row in found)
    assert result["new_tokens"] == 12


def test_shots_change_what_is_read_and_leave_the_rows_as_they_are(tiny_llama_dir, examples, tmp_path):
    _, bare = answers(tiny_llama_dir, examples, tmp_path / "a")
    given = {"train": examples, "shots": 2, "config": TrainingConfig(threads=1, max_length=200)}
    result, shown = answers(tiny_llama_dir, examples, tmp_path / "b", **given)
    assert [row["example_id"] for row in shown] == [row["example_id"] for row in bare]
    assert [row["tokens"] for row in shown] == [row["tokens"] for row in bare]
    assert all(a["nll"] != b["nll"] for a, b in zip(bare, shown, strict=True))
    assert result["shots"] == 2
    # The same seed draws the same shots.
    _, again = answers(tiny_llama_dir, examples, tmp_path / "c", **given)
    assert again == shown


def test_only_so_many_rows_are_judged(tiny_llama_dir, examples, tmp_path):
    generation = GenerationConfig(max_new_tokens=2, max_rows=5)
    result, found = answers(tiny_llama_dir, examples, tmp_path / "a", generation=generation)
    assert result["rows"] == len(found) == 5


def test_a_plain_text_is_scored_and_nothing_is_written(tiny_llama_dir, tmp_path):
    columns = {"example_id": ["a"], "context": [None], "text": ["box lens"], "label": [None]}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    pq.write_table(table, tmp_path / "texts.parquet")
    result, (row,) = answers(tiny_llama_dir, tmp_path / "texts.parquet", tmp_path / "a")
    assert (row["prediction"], row["ended"], result["answers"]) == (None, None, 0)
    assert row["tokens"] == len("box lens") + 1


def test_a_prompt_that_leaves_no_room_loses_its_beginning_and_is_told(tiny_llama_dir, tmp_path):
    columns = {"example_id": ["a"], "context": [None], "text": ["x" * 400], "label": ["box"]}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    pq.write_table(table, tmp_path / "long.parquet")
    result, (row,) = answers(tiny_llama_dir, tmp_path / "long.parquet", tmp_path / "a")
    assert row["truncated"]
    assert result["truncated"] == 1
    assert row["tokens"] == 4
