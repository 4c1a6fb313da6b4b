"""The evaluation of written text as a whole."""

import json

import pyarrow as pa
import pytest

from ft_assets.errors import UserError
from ft_assets.evaluation import generation_intervals, task_type_module
from ft_assets.evaluation.config import EvaluationConfig, report_checks
from ft_assets.evaluation.text_generation import evaluate_predictions, side_by_side
from ft_assets_tests.evaluation.helpers import answers, changed, examples, texts

CONFIG = EvaluationConfig(resamples=200)
ROWS = 60
REFERENCES = texts(ROWS, 1)
TUNED = answers(changed(REFERENCES, 2, 0.8), nll=10)
ZERO = answers(changed(REFERENCES, 3, 0.2), nll=30)
FEW = answers(changed(REFERENCES, 4, 0.5), nll=20)
EXAMPLES = examples(REFERENCES, text="Write it.")


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_predictions(EXAMPLES, TUNED, {"zero_shot": ZERO, "few_shot": FEW}, CONFIG)


def failed(evaluation):
    return {check["name"] for check in evaluation["checks"] if not check["passed"]}


@pytest.mark.parametrize("task_type", ["text-generation", "summarization", "translation"])
def test_all_types_that_write_share_the_module(task_type):
    assert task_type_module(task_type).evaluate_predictions is evaluate_predictions


def test_every_metric_has_value_bounds_and_rows(evaluation):
    assert set(evaluation["metrics"]) == set(evaluation["headline"])
    for metric in evaluation["metrics"].values():
        assert set(metric) == {"value", "low", "high", "n"}
        assert metric["low"] <= metric["value"] <= metric["high"]


def test_differences_are_model_less_baseline(evaluation):
    for name, baseline in evaluation["baselines"].items():
        for metric, difference in evaluation["differences"][name].items():
            gain = evaluation["metrics"][metric]["value"] - baseline["metrics"][metric]["value"]
            assert difference["value"] == pytest.approx(gain, abs=1e-9)  # values of up to 100
        assert evaluation["differences"][name]["rougeL"]["low"] > 0
        assert evaluation["differences"][name]["perplexity"]["high"] < 0


@pytest.mark.parametrize(
    ("task_type", "first"),
    [
        ("text-generation", ["rougeL", "rouge1"]),
        ("summarization", ["rougeL", "rouge1"]),
        ("translation", ["chrf", "bleu"]),
    ],
)
def test_the_headline_leads_with_what_the_task_type_is_known_by(task_type, first):
    found = evaluate_predictions(EXAMPLES, TUNED, {}, CONFIG, task_type=task_type)
    assert found["headline"][:2] == first
    assert found["headline"][-1] == "perplexity"
    assert found["lower_is_better"] == ["perplexity"]


def test_plain_texts_have_perplexity_alone():
    nothing = answers([None] * ROWS)
    found = evaluate_predictions(examples([None] * ROWS), nothing, {"zero_shot": nothing}, CONFIG)
    assert found["headline"] == ["perplexity"]
    assert (found["rows"], found["generated_rows"]) == (ROWS, 0)
    assert failed(found) == set()


def test_rows_without_an_answer_are_scored_only():
    references = [*REFERENCES[:-20], *[None] * 20]
    written = [*TUNED["prediction"].to_pylist()[:-20], *[None] * 20]
    found = evaluate_predictions(examples(references), answers(written), {}, CONFIG)
    assert found["generated_rows"] == found["metrics"]["rougeL"]["n"] == ROWS - 20
    assert found["metrics"]["perplexity"]["n"] == ROWS


def test_the_order_of_the_predictions_does_not_matter(evaluation):
    shuffled = TUNED.take(list(reversed(range(ROWS))))
    assert evaluate_predictions(EXAMPLES, shuffled, {}, CONFIG)["metrics"] == evaluation["metrics"]


def test_the_evaluation_is_plain_json(evaluation):
    assert json.loads(json.dumps(evaluation, allow_nan=False)) == evaluation


def test_a_sound_evaluation_has_nothing_to_warn_of(evaluation):
    assert failed(evaluation) == set()
    assert {check["name"] for check in evaluation["checks"]} == set(report_checks("text-generation"))
    assert evaluation["answers"] == {"ended": ROWS, "different": ROWS, "prompts_truncated": 0}


def test_what_a_reader_must_know_is_checked():
    # 8 rows in 4 clusters, of which one is answered; both answers are the same, and one does not end.
    references = REFERENCES[:8]
    written = answers(
        ["same", "same", *[None] * 6],
        ended=[True, False, *[None] * 6],
        truncated=[True, False, *[False] * 6],
    )
    found = evaluate_predictions(examples(references), written, {}, CONFIG)
    assert failed(found) == set(report_checks("text-generation"))


@pytest.mark.parametrize(("ended", "passed"), [(54, True), (53, False)])
def test_nine_answers_of_ten_must_end(ended, passed):
    written = answers(TUNED["prediction"].to_pylist(), ended=[row < ended for row in range(ROWS)])
    assert ("answers_end" not in failed(evaluate_predictions(EXAMPLES, written, {}, CONFIG))) == passed


def test_a_prompt_that_a_baseline_saw_cut_is_told():
    few = answers(FEW["prediction"].to_pylist(), truncated=[row < 7 for row in range(ROWS)])
    found = evaluate_predictions(EXAMPLES, TUNED, {"few_shot": few}, CONFIG)
    detail = next(check["detail"] for check in found["checks"] if check["name"] == "no_prompt_truncated")
    assert failed(found) == {"no_prompt_truncated"}
    assert "baseline few_shot 7" in detail


def test_a_baseline_that_answered_other_rows_is_an_error():
    few = answers([*FEW["prediction"].to_pylist()[:-1], None])
    with pytest.raises(UserError, match="few_shot: 59 rows are answered"):
        evaluate_predictions(EXAMPLES, TUNED, {"few_shot": few}, CONFIG)


def test_a_missing_prediction_is_an_error():
    with pytest.raises(UserError, match="have no prediction"):
        evaluate_predictions(EXAMPLES, TUNED.slice(1), {}, CONFIG)


def test_a_likelihood_that_is_no_number_is_an_error():
    broken = TUNED.set_column(2, "nll", pa.array([None, float("inf"), *[1.0] * (ROWS - 2)], pa.float64()))
    with pytest.raises(UserError, match="likelihood of 2 rows"):
        evaluate_predictions(EXAMPLES, broken, {}, CONFIG)


def test_values_that_are_not_those_of_the_libraries_are_a_fault(monkeypatch):
    right = generation_intervals.bleu
    monkeypatch.setattr(generation_intervals, "bleu", lambda counts: right(counts) * (1 + 1e-6))
    with pytest.raises(RuntimeError, match=r"bleu: .* by sums, .* by evaluate"):
        evaluate_predictions(EXAMPLES, TUNED, {}, CONFIG)


def test_hostile_and_empty_answers_are_measured():
    hostile = ["", " ", "<script>", "\u202e\x00", "模型", "e\u0301" * 50, "{{ x }}", "\U0001f600"]
    found = evaluate_predictions(examples(hostile), answers(hostile[::-1]), {}, CONFIG)
    assert found["generated_rows"] == 8
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_one_cluster_gives_values_without_intervals():
    found = evaluate_predictions(examples(REFERENCES, ["c"] * ROWS), TUNED, {}, CONFIG)
    assert found["metrics"]["bleu"]["low"] is None
    assert "enough_clusters" in failed(found)


def test_samples_are_the_best_middle_and_worst_by_what_tuning_gained():
    # Row i keeps i of 9 words after tuning and none before, so the gain grows with the row.
    words = list("abcdefghi")
    tuned = answers([" ".join(words[:row] + ["x"] * (9 - row)) for row in range(10)])
    untuned = answers(["nothing"] * 10)
    rows = side_by_side(examples([" ".join(words)] * 10), tuned, untuned)
    assert [(row["kind"], int(row["example_id"], 16)) for row in rows] == [
        ("best", 9),
        ("best", 8),
        ("middle", 5),
        ("middle", 4),
        ("worst", 1),
        ("worst", 0),
    ]
    assert rows[2]["tuned"]["rougeL"] == pytest.approx(5 / 9)
    assert rows[2]["untuned"] == {"text": "nothing", "rougeL": 0.0}


@pytest.mark.parametrize(
    ("count", "kinds"),
    [
        (0, []),
        (1, ["best"]),
        (2, ["best", "best"]),
        (3, ["best", "best", "worst"]),
        (5, ["best", "best", "middle", "worst", "worst"]),
    ],
)
def test_of_few_rows_each_is_shown_once(count, kinds):
    rows = side_by_side(examples(REFERENCES[:count]), TUNED.slice(0, count), ZERO.slice(0, count))
    assert [row["kind"] for row in rows] == kinds
    assert len({row["example_id"] for row in rows}) == count


def test_samples_do_without_an_untuned_model_and_without_answers():
    rows = side_by_side(EXAMPLES, TUNED)
    assert all(row["untuned"] is None for row in rows)
    assert rows[0]["tuned"]["rougeL"] >= rows[-1]["tuned"]["rougeL"]
    assert side_by_side(examples([None] * 4), answers([None] * 4), answers([None] * 4)) == []


def test_samples_are_masked_and_shortened():
    private = "write to jane.doe@example.com " + "x " * 500
    row = side_by_side(examples([private], text=private), answers([private]), answers([private]))[0]
    shown = [row["prompt"], row["reference"], row["tuned"]["text"], row["untuned"]["text"]]
    assert not any("jane" in text or len(text) > 300 for text in shown)
