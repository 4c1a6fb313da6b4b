"""The evaluation report as one dict, `report.json`: the single source of the page and of the UI's metadata.

`build_report` puts together what the evaluation, the trainer and the store's manifests say; it computes
nothing but sentences. `render_html` (in `page`) shows it.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from ft_assets.evaluation.page import OF_HUNDRED, render_html

__all__ = ["build_report", "model_name", "render_html", "summary"]

TITLES = {
    "accuracy": "accuracy",
    "f1_macro": "macro-F1",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "exact_match": "exact match",
    "perplexity": "perplexity",
    "majority": "the majority label",
    "tfidf": "TF-IDF",
    "zero_shot": "zero-shot",
    "few_shot": "few-shot",
}
"""How a metric or a baseline is called in a sentence."""

VERBS = {
    "text-classification": "classifies",
    "text-generation": "writes",
    "summarization": "summarizes",
    "translation": "translates",
}
"""What a model of a task type does with its task, in a sentence."""

SPLITS = ("train_split", "validation_split", "test_split")
STAGES = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)


def build_report(
    task: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    training: Mapping[str, Any],
    provenance: Mapping[str, Any],
    data: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The report as plain JSON (no NaN, no row text).

    Args:
        task: name, type, title (or None) and description.
        evaluation: what the task type's `evaluate_predictions` returned.
        training: the worker's `training.json`.
        provenance: {asset: data version, build key, code version, libraries, inputs …}.
        data: {asset: summary of its artifact}: of the data stages, `baselines` and `base_model`.
    """
    settings = data.get("baselines", {}).get("baselines", {})
    source = str(data.get("base_model", {}).get("source", ""))
    report = {
        "report_format": 1,
        "task": task["name"],
        "task_type": task["type"],
        "title": task.get("title") or task["name"],
        "description": task.get("description") or "",
        "verdict": None,
        "model": {"base_model": source, "name": model_name(source), "method": training.get("method")},
        **evaluation,
        "baselines": {
            name: {**entry, **settings.get(name, {})} for name, entry in evaluation["baselines"].items()
        },
        "training": dict(training),
        "data": _data(data),
        "provenance": dict(provenance),
    }
    report |= {"answer": _answer(report), "conclusion": _conclusion(report)}
    return _plain(report)


def summary(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that a person follows over time, flat: for the UI's plots and the manifest."""
    numbers: dict[str, Any] = {}
    for metric in report["headline"]:
        numbers |= _bounds(metric, report["metrics"][metric])
    primary = report["headline"][0]
    # Where less is better a negative difference is the gain, so it is not called one.
    link = "difference_to" if _is_less_better(report, primary) else "gain_over"
    for name, differences in report["differences"].items():
        numbers |= _bounds(f"{primary}_{link}_{name}", differences[primary])
    for name in ("seconds", "examples_per_second", "tokens_per_second", "peak_memory_bytes"):
        numbers[f"training_{name}"] = report["training"].get(name)
    numbers |= {"test_rows": report["rows"], "test_clusters": report["clusters"]}
    numbers["test_rows_generated"] = report.get("generated_rows")
    return {name: number for name, number in numbers.items() if number is not None}


def model_name(source: str) -> str:
    """Short name of a base model from its source: package, `owner/name` on a hub, or folder."""
    kinds = (r"pypi://([^=/\[]+)", r"hf://([^@]+)", r".*?([^/\\]+)[/\\]*$")
    for pattern in kinds:
        if found := re.match(pattern, source):
            return found[1]
    return "model"


def _bounds(name: str, interval: Mapping[str, Any]) -> dict[str, Any]:
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}


def _answer(report: Mapping[str, Any]) -> str:
    """The report in one sentence."""
    primary = report["headline"][0]
    # A likelihood says how well the texts are foreseen; nothing was written.
    verb = "predicts" if primary == "perplexity" else VERBS.get(report["task_type"], "writes")
    metric = report["metrics"][primary]
    said = f"Fine-tuned {report['model']['name']} {verb} {report['task']} at {TITLES.get(primary, primary)} "
    said += _estimate(metric, primary)
    best = _best_baseline(report)
    if not best:
        return f"{said} on {metric['n']:,} rows."
    gain = _estimate(report["differences"][best][primary], primary, sign="+")
    link = "against" if _is_less_better(report, primary) else "over"
    return f"{said}, {gain} {link} {TITLES.get(best, best)} on the same {metric['n']:,} rows."


def _conclusion(report: Mapping[str, Any]) -> str:
    """What the interval of the gain over the best baseline allows to say."""
    best = _best_baseline(report)
    if not best:
        return "Nothing to compare with: no baseline was asked for."
    primary = report["headline"][0]
    gain, name = report["differences"][best][primary], TITLES.get(best, best)
    if gain["low"] is None:
        return "One cluster only: there is no interval, so nothing can be said about chance."
    less = _is_less_better(report, primary)
    what, why = ("difference", ", and less is better") if less else ("gain", "")
    if gain["low"] > 0:
        verdict = "worse" if less else "better"
        return f"The whole interval of the {what} lies above zero{why}: {verdict} than {name} by more than chance."
    if gain["high"] < 0:
        verdict = "better" if less else "worse"
        return f"The whole interval of the {what} lies below zero{why}: {verdict} than {name} by more than chance."
    return f"The interval of the {what} holds zero: on these rows it cannot be told apart from {name}."


def _best_baseline(report: Mapping[str, Any]) -> str | None:
    primary = report["headline"][0]
    sign = -1.0 if _is_less_better(report, primary) else 1.0
    found = {name: entry["metrics"][primary]["value"] for name, entry in report["baselines"].items()}
    scores = {name: -math.inf if value is None else sign * value for name, value in found.items()}
    return max(scores, key=lambda name: scores[name]) if scores else None


def _is_less_better(report: Mapping[str, Any], metric: str) -> bool:
    return metric in report.get("lower_is_better", ())


def _estimate(interval: Mapping[str, Any], metric: str, sign: str = "") -> str:
    if interval["value"] is None:
        return "no value"
    # Of a hundred, one decimal says as much as two do of one.
    digits = 1 if metric in OF_HUNDRED else 2
    if interval["low"] is None:
        return f"{interval['value']:{sign}.{digits}f}"
    bounds = f"{interval['low']:.{digits}f}, {interval['high']:.{digits}f}"
    return f"{interval['value']:{sign}.{digits}f} [{bounds}]"


def _data(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Row counts of the data stages, in the order in which the rows flow."""
    keys = ("rows_in", "kept", "merged", "quarantined")
    return {
        "flow": [
            {
                "stage": stage,
                **{key: data[stage].get(key) for key in keys},
                "by_rule": data[stage].get("by_rule", {}),
            }
            for stage in STAGES
            if stage in data
        ],
        "splits": {
            stage.removesuffix("_split"): {
                "rows": data[stage].get("kept"),
                "clusters": data[stage].get("clusters"),
                # A task without labels has none in its summaries.
                "labels": data[stage].get("labels") or {},
            }
            for stage in SPLITS
            if stage in data
        },
    }


def _plain(value: Any) -> Any:
    """`value` as strict JSON knows it: NaN and infinity become None, tuples lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
