"""How sure a number is: cluster-bootstrap intervals of classification metrics, alone and in pairs.

Rows of one cluster (one review, one author) are not independent, so whole clusters are resampled
(Davison & Hinkley 1997, section 3.8; Field & Welsh 2007) and the interval is the percentile interval. Two
predictors are compared on the same resamples, so that what is hard for both cancels out.

No row is ever drawn in Python. A metric needs only the margins and the diagonal of the confusion matrix, so
each cluster is reduced to these counts once. A resample is a vector of how often each cluster was drawn; the
counts of a block of resamples are one product of sparse counts and dense draws.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft_assets.errors import UserError

__all__ = [
    "Bootstrap",
    "Counts",
    "Interval",
    "bootstrap",
    "intervals",
    "metric_names",
    "metric_values",
    "paired_difference",
]

Interval = dict[str, Any]
"""One estimate: value, low and high (None where there is none) and n, the rows that it rests on."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Cells of a block of resamples held at a time. A block needs about 5 arrays of 8 bytes a cell: 40 MB.
CELLS = 1_000_000
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


@dataclass(frozen=True)
class Bootstrap:
    """Intervals of several predictors on the same rows and the same resamples."""

    metrics: dict[str, dict[str, Interval]]
    """{predictor: {metric: interval}}"""
    differences: dict[str, dict[str, Interval]]
    """{other predictor: {metric: interval of the first predictor less the other}}"""
    clusters: int
    """Number of clusters that were resampled."""
    undefined: dict[str, int]
    """{metric of the first predictor: resamples in which it had no value}, where there were any."""


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
    if not len(actual):
        raise UserError(
            "there are no rows to evaluate", do="look at the quarantine and at the share of the split"
        )
    truth = _indices(actual, labels, "the true labels")
    guesses = {name: _indices(values, labels, name) for name, values in predicted.items()}
    keys, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    estimates = {name: _point(truth, guess, labels) for name, guess in guesses.items()}
    if len(keys) > 1:
        for name, draws in _draws(truth, guesses, cluster, labels, resamples=resamples, seed=seed).items():
            estimates[name] = replace(estimates[name], draws=draws)
    first, *others = estimates
    return Bootstrap(
        metrics={name: estimate.intervals(confidence) for name, estimate in estimates.items()},
        differences={name: estimates[first].minus(estimates[name]).intervals(confidence) for name in others},
        clusters=len(keys),
        undefined=estimates[first].undefined(),
    )


@dataclass(frozen=True)
class _Estimates:
    """The metrics of one predictor, or of a difference: on all rows, and on each resample."""

    values: dict[str, float]
    rows: dict[str, int]
    draws: dict[str, Floats]

    def minus(self, other: "_Estimates") -> "_Estimates":
        return _Estimates(
            values={metric: value - other.values[metric] for metric, value in self.values.items()},
            rows=self.rows,
            draws={metric: draws - other.draws[metric] for metric, draws in self.draws.items()},
        )

    def intervals(self, confidence: float) -> dict[str, Interval]:
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        result = {}
        for metric, value in self.values.items():
            draws = self.draws.get(metric, np.empty(0))
            draws = draws[~np.isnan(draws)]
            low, high = np.quantile(draws, tails).tolist() if draws.size else (None, None)
            known = None if math.isnan(value) else value
            result[metric] = {"value": known, "low": low, "high": high, "n": self.rows[metric]}
        return result

    def undefined(self) -> dict[str, int]:
        missing = {metric: int(np.isnan(draws).sum()) for metric, draws in self.draws.items()}
        return {metric: count for metric, count in missing.items() if count}


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


def _point(truth: Indices, guess: Indices, labels: Sequence[str]) -> _Estimates:
    size = len(labels)
    actual, predicted = np.bincount(truth, minlength=size), np.bincount(guess, minlength=size)
    hits = np.bincount(truth[truth == guess], minlength=size)
    counts = Counts(actual.astype(float), predicted.astype(float), hits.astype(float))
    rows = dict.fromkeys(metric_names(labels), len(truth))
    for index, label in enumerate(labels):
        rows |= {f"recall_{label}": int(actual[index]), f"f1_{label}": int(actual[index])}
        rows[f"precision_{label}"] = int(predicted[index])
    values = {metric: float(value) for metric, value in metric_values(counts, labels).items()}
    return _Estimates(values=values, rows=rows, draws={})


def _draws(
    truth: Indices,
    guesses: Mapping[str, Indices],
    cluster: Indices,
    labels: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Floats]]:
    """{predictor: {metric: its value on each resample}}."""
    size = len(labels)
    tensor = _counts_by_cluster(truth, guesses, cluster, size)
    draws: dict[str, dict[str, Floats]] = {
        name: {metric: np.empty(resamples) for metric in metric_names(labels)} for name in guesses
    }
    for block, weights in _weights(tensor.shape, resamples, seed):
        counts = tensor @ weights
        for place, name in enumerate(guesses):
            own = counts[size * (1 + 2 * place) : size * (3 + 2 * place)]
            confusion = Counts(actual=counts[:size], predicted=own[:size], hits=own[size:])
            for metric, values in metric_values(confusion, labels).items():
                draws[name][metric][block] = values
    return draws


def _counts_by_cluster(truth: Indices, guesses: Mapping[str, Indices], cluster: Indices, size: int) -> Any:
    """Sparse (features, clusters): rows of each label; by predictor the rows predicted as each, and hits."""
    from scipy.sparse import coo_array

    features, columns = [truth], [cluster]
    for place, guess in enumerate(guesses.values()):
        start, hit = size * (1 + 2 * place), truth == guess
        features += [start + guess, start + size + truth[hit]]
        columns += [cluster, cluster[hit]]
    shape = (size * (1 + 2 * len(guesses)), int(cluster.max()) + 1)
    where = (np.concatenate(features), np.concatenate(columns))
    return coo_array((np.ones(len(where[0])), where), shape=shape).tocsr()


def _weights(shape: tuple[int, int], resamples: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Blocks of resamples: how often each cluster was drawn, shape (clusters, resamples of the block)."""
    features, clusters = shape
    generator = np.random.default_rng(seed)
    width = max(1, min(resamples, CELLS // max(clusters, features)))
    for start in range(0, resamples, width):
        count = min(width, resamples - start)
        drawn = generator.integers(0, clusters, size=(count, clusters))
        cells = drawn * count + np.arange(count)[:, None]
        weights = np.bincount(cells.ravel(), minlength=clusters * count).reshape(clusters, count)
        yield slice(start, start + count), weights.astype(float)
