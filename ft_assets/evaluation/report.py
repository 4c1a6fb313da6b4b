"""The evaluation report as one dict, `report.json`: the single source of the page and of the UI's metadata.

`build_report` puts together what the evaluation, the trainer and the store's manifests say; it computes
nothing but sentences. `render_html` (in `page`) shows it.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from ft_assets.evaluation.page import render_html

__all__ = ["build_report", "model_name", "render_html", "summary"]

TITLES = {
    "accuracy": "accuracy",
    "f1_macro": "macro-F1",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
    "majority": "the majority label",
    "tfidf": "TF-IDF",
}
"""How a metric or a baseline is called in a sentence."""

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
    for name, differences in report["differences"].items():
        numbers |= _bounds(f"{primary}_gain_over_{name}", differences[primary])
    for name in ("seconds", "examples_per_second", "tokens_per_second", "peak_memory_bytes"):
        numbers[f"training_{name}"] = report["training"].get(name)
    numbers |= {"test_rows": report["rows"], "test_clusters": report["clusters"]}
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
    said = (
        f"Fine-tuned {report['model']['name']} classifies {report['task']} at {TITLES.get(primary, primary)} "
    )
    said += _estimate(report["metrics"][primary])
    best = _best_baseline(report)
    if not best:
        return f"{said} on {report['rows']:,} rows."
    gain = _estimate(report["differences"][best][primary], sign="+")
    return f"{said}, {gain} over {TITLES.get(best, best)} on the same {report['rows']:,} rows."


def _conclusion(report: Mapping[str, Any]) -> str:
    """What the interval of the gain over the best baseline allows to say."""
    best = _best_baseline(report)
    if not best:
        return "Nothing to compare with: no baseline was asked for."
    gain = report["differences"][best][report["headline"][0]]
    name = TITLES.get(best, best)
    if gain["low"] is None:
        return "One cluster only: there is no interval, so nothing can be said about chance."
    if gain["low"] > 0:
        return f"The whole interval of the gain lies above zero: better than {name} by more than chance."
    if gain["high"] < 0:
        return f"The whole interval of the gain lies below zero: worse than {name} by more than chance."
    return f"The interval of the gain holds zero: on these rows it cannot be told apart from {name}."


def _best_baseline(report: Mapping[str, Any]) -> str | None:
    primary = report["headline"][0]
    scores = {name: entry["metrics"][primary]["value"] or 0.0 for name, entry in report["baselines"].items()}
    return max(scores, key=lambda name: scores[name]) if scores else None


def _estimate(interval: Mapping[str, Any], sign: str = "") -> str:
    if interval["value"] is None:
        return "no value"
    if interval["low"] is None:
        return f"{interval['value']:{sign}.2f}"
    return f"{interval['value']:{sign}.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


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
                "labels": data[stage].get("labels", {}),
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
