"""Intervals of the metrics of classification, alone and in pairs.

A metric needs only the margins and the diagonal of the confusion matrix, so each cluster is reduced to these
counts once; `resampling` does the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_assets.errors import UserError
from ft_assets.evaluation.resampling import (
    Bootstrap,
    Estimates,
    Floats,
    Indices,
    Interval,
    compare,
    numbered,
)

__all__ = [
    "Counts",
    "bootstrap",
    "intervals",
    "metric_names",
    "metric_values",
    "paired_difference",
]

KINDS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Counts:
    """What the metrics are made of, for one confusion matrix or a stack of them; shape (labels, …) each."""

    actual: Floats
    """Rows of the label."""
    predicted: Floats
    """Rows predicted as the label."""
    hits: Floats
    """Rows of the label that were predicted as it: the diagonal."""


def metric_names(labels: Sequence[str]) -> list[str]:
    """Names of all metrics for these labels, headline metrics first.

    Raises:
        UserError: a label's name would make two metrics one.
    """
    names = ["accuracy", *(f"{kind}_macro" for kind in KINDS)]
    names += [f"{kind}_{label}" for label in labels for kind in KINDS]
    if len(set(names)) != len(names):
        raise UserError(
            "two metrics would have the same name",
            where=f"labels: {', '.join(labels)}",
            do="give each label its own name, and none the name 'macro'",
        )
    return names


def metric_values(counts: Counts, labels: Sequence[str]) -> dict[str, Floats]:
    """Every metric of every confusion matrix in `counts`: {metric: array of shape (…)}.

    As scikit-learn has it with its default labels and `zero_division=0`: a label takes part if it occurs
    among the true or the predicted labels of that (re)sample, and then 0/0 is 0. A label that occurs in
    neither has no value (NaN) and no part in the macro mean.
    """
    occurs = (counts.actual + counts.predicted) > 0
    shares = {
        "precision": _share(counts.hits, counts.predicted),
        "recall": _share(counts.hits, counts.actual),
        "f1": _share(2 * counts.hits, counts.actual + counts.predicted),
    }
    values = {"accuracy": _share(counts.hits.sum(0), counts.actual.sum(0))}
    for kind in KINDS:
        values[f"{kind}_macro"] = _share(shares[kind].sum(0), occurs.sum(0).astype(float))
    for index, label in enumerate(labels):
        for kind in KINDS:
            values[f"{kind}_{label}"] = np.where(occurs[index], shares[kind][index], np.nan)
    return values


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=float), where=whole > 0)


def intervals(
    actual: Sequence[str],
    predicted: Sequence[str],
    clusters: Sequence[str],
    labels: Sequence[str],
    **settings: Any,
) -> dict[str, Interval]:
    """Every metric of one predictor with its interval; arguments as in `bootstrap`."""
    return bootstrap(actual, {"predicted": predicted}, clusters, labels, **settings).metrics["predicted"]


def paired_difference(
    actual: Sequence[str],
    a: Sequence[str],
    b: Sequence[str],
    clusters: Sequence[str],
    labels: Sequence[str],
    **settings: Any,
) -> dict[str, Interval]:
    """a less b for every metric, on the same resamples; arguments as in `bootstrap`."""
    return bootstrap(actual, {"a": a, "b": b}, clusters, labels, **settings).differences["b"]


def bootstrap(
    actual: Sequence[str],
    predicted: Mapping[str, Sequence[str]],
    clusters: Sequence[str],
    labels: Sequence[str],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Every metric of every predictor, and the first predictor minus each other one, with intervals.

    Args:
        actual: true label of each row.
        predicted: {predictor: predicted label of each row}; the others are compared with the first.
        clusters: cluster key of each row.
        labels: names of the labels.
        resamples: number of resamples.
        confidence: share of the percentile interval, for instance 0.95.
        seed: the resamples depend on it and on the clusters alone, not on who is compared.

    Returns:
        Intervals whose n is the number of rows that the metric rests on: all rows, for recall_ and f1_<label>
        the rows of the label, for precision_<label> the rows predicted as it. With a single cluster there is
        nothing to resample: low and high are None. A resample in which a metric has no value is left out of
        that metric's interval.

    Raises:
        UserError: there are no rows, or a label is not among `labels`.
    """
    cluster, count = numbered(clusters)
    truth = _indices(actual, labels, "the true labels")
    guesses = {name: _indices(values, labels, name) for name, values in predicted.items()}
    size = len(labels)

    def values(sums: Floats) -> dict[str, Floats]:
        return metric_values(Counts(sums[:size], sums[size : 2 * size], sums[2 * size :]), labels)

    return compare(
        {name: _point(truth, guess, labels) for name, guess in guesses.items()},
        {name: _counts_by_cluster(truth, guess, cluster, (size, count)) for name, guess in guesses.items()},
        values,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )


def _indices(values: Sequence[str], labels: Sequence[str], whose: str) -> Indices:
    """Index in `labels` of each value."""
    found, inverse = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    index = {label: position for position, label in enumerate(labels)}
    unknown = [value for value in found if value not in index]
    if unknown:
        raise UserError(
            f"{whose}: {len(unknown)} values are no label of the task",
            where=f"labels: {', '.join(labels)}",
            do="materialise what was predicted with other labels again",
        )
    return np.array([index[value] for value in found], dtype=np.int64)[inverse]


def _point(truth: Indices, guess: Indices, labels: Sequence[str]) -> Estimates:
    size = len(labels)
    actual, predicted = np.bincount(truth, minlength=size), np.bincount(guess, minlength=size)
    hits = np.bincount(truth[truth == guess], minlength=size)
    counts = Counts(actual.astype(float), predicted.astype(float), hits.astype(float))
    rows = dict.fromkeys(metric_names(labels), len(truth))
    for index, label in enumerate(labels):
        rows |= {f"recall_{label}": int(actual[index]), f"f1_{label}": int(actual[index])}
        rows[f"precision_{label}"] = int(predicted[index])
    values = {metric: float(value) for metric, value in metric_values(counts, labels).items()}
    return Estimates(values=values, rows=rows, draws={})


def _counts_by_cluster(truth: Indices, guess: Indices, cluster: Indices, shape: tuple[int, int]) -> Any:
    """Sparse (features, clusters): rows of each label, rows predicted as each, and hits.

    `shape` is the number of labels and of clusters.
    """
    from scipy.sparse import coo_array

    size, clusters = shape
    hit = truth == guess
    features = np.concatenate([truth, size + guess, 2 * size + truth[hit]])
    columns = np.concatenate([cluster, cluster, cluster[hit]])
    ones = np.ones(len(features))
    return coo_array((ones, (features, columns)), shape=(3 * size, clusters)).tocsr()
