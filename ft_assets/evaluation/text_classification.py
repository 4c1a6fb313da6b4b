"""Evaluation of text classification: predicted labels against true ones, and against the baselines' labels.

Here: which numbers make up the evaluation of this task type. Not here: how an interval is computed
(`intervals`), what a page looks like (`page`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.checks import Check, defined_in_every_resample, enough_clusters
from ft_assets.evaluation.config import EvaluationConfig
from ft_assets.evaluation.intervals import bootstrap
from ft_assets.evaluation.predictions import MODEL, aligned
from ft_assets.evaluation.resampling import Bootstrap

__all__ = ["HEADLINE", "confident_mistakes", "evaluate_predictions", "shown_rows"]

HEADLINE = ("f1_macro", "accuracy", "precision_macro", "recall_macro")
"""The numbers that stand for the whole, the most telling first: macro-F1 does not forgive ignored labels."""

# Fewer rows of a label say next to nothing about it: one row more or less moves its recall by ten points.
ENOUGH_ROWS = 10


def evaluate_predictions(
    examples: pa.Table,
    predictions: pa.Table,
    baselines: Mapping[str, pa.Table],
    config: EvaluationConfig,
    *,
    task_type: str = "text-classification",
    labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that the report says about the quality of the predictions, as plain JSON.

    Args:
        examples: the test rows: example_id, text, label, cluster.
        predictions: example_id, prediction, p_<label>; in any order.
        baselines: {name: example_id, prediction}.
        config: resamples, confidence and seed.
        task_type: the type of the task; nothing here depends on it.
        labels: names of the labels, in order.

    Returns:
        rows, clusters, labels, confidence, resamples, seed; headline (metric names); metrics {name: {"value",
        "low", "high", "n"}}; per_class; confusion_matrix {labels, counts (rows: true)}; baselines {name:
        {"metrics"}}; differences {baseline: {metric: model less baseline}}; checks: what a reader must know
        before believing the numbers, {"name", "passed", "detail"} each.

    Raises:
        UserError: an example has no prediction or several, or a label is unknown.
        RuntimeError: the two ways of computing the metrics disagree (a fault of this package).
    """
    tables = {MODEL: predictions, **{f"baseline {name}": table for name, table in baselines.items()}}
    predicted = {
        name: _strings(aligned(examples, table, name), "prediction") for name, table in tables.items()
    }
    actual = _strings(examples, "label")
    result = bootstrap(
        actual,
        predicted,
        _strings(examples, "cluster"),
        labels,
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
    )
    metrics = result.metrics[MODEL]
    _require_agreement(metrics, actual, predicted[MODEL], labels)
    counts = _confusion(actual, predicted[MODEL], labels)
    return {
        "rows": len(actual),
        "clusters": result.clusters,
        "labels": list(labels),
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": config.seed,
        "headline": list(HEADLINE),
        "metrics": metrics,
        "per_class": [
            {
                "label": label,
                "rows": metrics[f"recall_{label}"]["n"],
                "predicted": metrics[f"precision_{label}"]["n"],
                **{kind: metrics[f"{kind}_{label}"] for kind in ("precision", "recall", "f1")},
            }
            for label in labels
        ],
        "confusion_matrix": {"labels": list(labels), "counts": counts.tolist()},
        "baselines": {name: {"metrics": result.metrics[f"baseline {name}"]} for name in baselines},
        "differences": {name: result.differences[f"baseline {name}"] for name in baselines},
        "checks": _checks(result, labels),
    }


def shown_rows(
    examples: pa.Table, predictions: pa.Table, baselines: Mapping[str, pa.Table]
) -> dict[str, list[dict[str, Any]]]:
    """The rows that the page shows: {"mistakes": `confident_mistakes`}."""
    return {"mistakes": confident_mistakes(examples, predictions)}


def confident_mistakes(examples: pa.Table, predictions: pa.Table, limit: int = 6) -> list[dict[str, Any]]:
    """The wrong predictions that the model was surest of, at most two for each pair of labels.

    Returns:
        example_id, label, prediction, confidence (0 to 1), and the text, masked and shortened.
    """
    from ft_assets.data.masking import mask

    joined = aligned(examples, predictions, MODEL)
    rows = zip(
        _strings(examples, "example_id"),
        _strings(examples, "label"),
        _strings(joined, "prediction"),
        examples["text"].to_pylist(),
        _confidence(joined),
        strict=True,
    )
    wrong = sorted((row for row in rows if row[1] != row[2]), key=lambda row: (-row[4], row[0]))
    shown: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], int] = {}
    for example_id, label, prediction, text, confidence in wrong:
        pair = (label, prediction)
        seen[pair] = seen.get(pair, 0) + 1
        if seen[pair] <= 2 and len(shown) < limit:
            shown.append(
                {
                    "example_id": example_id,
                    "label": label,
                    "prediction": prediction,
                    "confidence": confidence,
                    "text": mask(text or "", 160),
                }
            )
    return shown


def _strings(table: pa.Table, column: str) -> list[str]:
    return [str(value) for value in table[column].to_pylist()]


def _confidence(predictions: pa.Table) -> list[float]:
    """Probability of the predicted label of each row."""
    return [
        float(probabilities.get(f"p_{label}") or 0.0)
        for label, probabilities in zip(
            _strings(predictions, "prediction"), predictions.to_pylist(), strict=True
        )
    ]


def _confusion(actual: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Counts, shape (labels, labels): rows the true label, columns the predicted one."""
    index = {label: position for position, label in enumerate(labels)}
    cells = [index[a] * len(labels) + index[p] for a, p in zip(actual, predicted, strict=True)]
    return np.bincount(cells, minlength=len(labels) ** 2).reshape(len(labels), len(labels))


def _checks(result: Bootstrap, labels: Sequence[str]) -> list[Check]:
    metrics = result.metrics[MODEL]
    scarce = [label for label in labels if metrics[f"recall_{label}"]["n"] < ENOUGH_ROWS]
    never = [label for label in labels if not metrics[f"precision_{label}"]["n"]]
    return [
        enough_clusters(result),
        {
            "name": "enough_rows_of_each_label",
            "passed": not scarce,
            "detail": f"fewer than {ENOUGH_ROWS} test rows: {', '.join(scarce) or 'no label'}",
        },
        {
            "name": "every_label_predicted",
            "passed": not never,
            "detail": f"never predicted: {', '.join(never) or 'no label'}",
        },
        defined_in_every_resample(result, metrics),
    ]


def _require_agreement(
    metrics: Mapping[str, Any], actual: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> None:
    """The values of the bootstrap's counts must be those of the `evaluate` metrics over scikit-learn."""
    from ft_assets.evaluation.metrics import combined

    values = combined(labels).compute(predictions=predicted, references=actual)
    for name, metric in metrics.items():
        value = math.nan if metric["value"] is None else metric["value"]
        # Both divide the same integers; only the order of additions in a macro mean may differ.
        if not (math.isnan(value) and math.isnan(values[name])) and not abs(values[name] - value) < 1e-12:
            raise RuntimeError(f"{name}: {value} by counts, {values[name]} by scikit-learn")
