"""The evaluation of text classification as a whole."""

import json

import pytest
from sklearn.metrics import confusion_matrix

from ft_assets.errors import UserError
from ft_assets.evaluation import task_type_module
from ft_assets.evaluation.config import EvaluationConfig
from ft_assets.evaluation.text_classification import confident_mistakes, evaluate_predictions
from ft_assets_tests.evaluation.helpers import LABELS, examples, noisy, predictions

CONFIG = EvaluationConfig(resamples=200)
ACTUAL, GUESS = noisy(120, 1, 0.8)
_, WORSE = noisy(120, 1, 0.4)


@pytest.fixture(scope="module")
def evaluation():
    return evaluate_predictions(
        examples(ACTUAL),
        predictions(GUESS),
        {"tfidf": predictions(WORSE), "majority": predictions(["neutral"] * 120)},
        CONFIG,
        labels=LABELS,
    )


def failed(evaluation):
    return {check["name"] for check in evaluation["checks"] if not check["passed"]}


def test_the_module_is_found_by_the_name_of_the_task_type():
    assert task_type_module("text-classification").evaluate_predictions is evaluate_predictions


def test_an_unknown_task_type_is_an_error_that_names_the_known():
    with pytest.raises(UserError, match="text-classification"):
        task_type_module("image-classification")


def test_the_confusion_matrix_is_that_of_scikit_learn(evaluation):
    assert evaluation["confusion_matrix"]["counts"] == confusion_matrix(ACTUAL, GUESS, labels=LABELS).tolist()


def test_every_metric_has_value_bounds_and_rows(evaluation):
    for metric in evaluation["metrics"].values():
        assert set(metric) == {"value", "low", "high", "n"}
        assert metric["low"] <= metric["value"] <= metric["high"]


def test_differences_are_model_less_baseline(evaluation):
    for name, baseline in evaluation["baselines"].items():
        gain = evaluation["metrics"]["f1_macro"]["value"] - baseline["metrics"]["f1_macro"]["value"]
        assert evaluation["differences"][name]["f1_macro"]["value"] == pytest.approx(gain, abs=1e-12)
        assert evaluation["differences"][name]["f1_macro"]["low"] > 0


def test_the_order_of_the_predictions_does_not_matter(evaluation):
    shuffled = predictions(GUESS).take(list(reversed(range(120))))
    again = evaluate_predictions(examples(ACTUAL), shuffled, {}, CONFIG, labels=LABELS)
    assert again["metrics"] == evaluation["metrics"]


def test_the_evaluation_is_plain_json(evaluation):
    assert json.loads(json.dumps(evaluation, allow_nan=False)) == evaluation


def test_a_missing_prediction_is_an_error():
    with pytest.raises(UserError, match="have no prediction"):
        evaluate_predictions(examples(ACTUAL), predictions(GUESS[:-1]), {}, CONFIG, labels=LABELS)


def test_a_baseline_of_other_rows_is_an_error():
    with pytest.raises(UserError, match="baseline tfidf"):
        evaluate_predictions(
            examples(ACTUAL), predictions(GUESS), {"tfidf": predictions(WORSE[:-1])}, CONFIG, labels=LABELS
        )


def test_what_a_reader_must_know_is_checked():
    # "positive" never occurs; "negative" fills one of 8 clusters, so that a third of the resamples lack it.
    actual = ["neutral"] * 14 + ["negative"] * 2
    few = evaluate_predictions(examples(actual), predictions(["neutral"] * 16), {}, CONFIG, labels=LABELS)
    assert failed(few) == {
        "enough_clusters",
        "enough_rows_of_each_label",
        "every_label_predicted",
        "defined_in_every_resample",
    }


def test_a_sound_evaluation_has_nothing_to_warn_of(evaluation):
    assert failed(evaluation) == set()


def test_one_cluster_gives_values_without_intervals():
    found = evaluate_predictions(examples(ACTUAL, ["c"] * 120), predictions(GUESS), {}, CONFIG, labels=LABELS)
    assert found["metrics"]["f1_macro"]["low"] is None
    assert "enough_clusters" in failed(found)


def test_mistakes_are_the_most_confident_ones_two_of_a_kind_and_masked():
    table = examples(["negative"] * 6, text="write to jane.doe@example.com " + "x" * 300)
    rows = confident_mistakes(table, predictions(["positive"] * 3 + ["neutral"] * 2 + ["negative"]))
    assert [row["prediction"] for row in rows] == ["positive", "positive", "neutral", "neutral"]
    assert all(row["confidence"] == pytest.approx(0.8, abs=1e-6) for row in rows)  # stored as float32
    assert not any("jane" in row["text"] or len(row["text"]) > 160 for row in rows)
