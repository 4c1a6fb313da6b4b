"""How sure a number is: a cluster bootstrap of any metric that is a function of sums over rows.

Rows of one cluster (one review, one author) are not independent, so whole clusters are resampled
(Davison & Hinkley 1997, section 3.8; Field & Welsh 2007) and the interval is the percentile interval. Two
predictors are compared on the same resamples, so that what is hard for both cancels out.

No row is ever drawn in Python. Each cluster is reduced to its sums once. A resample is a vector of how often
each cluster was drawn; the sums of a block of resamples are one product of sums and draws. Which sums a
metric needs is the business of `intervals` (classification) and `generation_intervals`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft_assets.errors import UserError

__all__ = ["Bootstrap", "Estimates", "Floats", "Indices", "Interval", "compare", "numbered"]

Interval = dict[str, Any]
"""One estimate: value, low and high (None where there is none) and n, the rows that it rests on."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Cells of a block of resamples held at a time. A block needs about 5 arrays of 8 bytes a cell: 40 MB.
CELLS = 1_000_000


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


@dataclass(frozen=True)
class Estimates:
    """The metrics of one predictor, or of a difference: on all rows, and on each resample."""

    values: dict[str, float]
    rows: dict[str, int]
    draws: dict[str, Floats]

    def minus(self, other: Estimates) -> Estimates:
        return Estimates(
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


def numbered(clusters: Sequence[str]) -> tuple[Indices, int]:
    """The number of each row's cluster, from 0, and how many there are.

    Raises:
        UserError: there are no rows.
    """
    if not len(clusters):
        raise UserError(
            "there are no rows to evaluate", do="look at the quarantine and at the share of the split"
        )
    keys, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    return numbers.astype(np.int64), len(keys)


def compare(
    estimates: Mapping[str, Estimates],
    sums: Mapping[str, Any],
    metrics: Callable[[Floats], dict[str, Floats]],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Bootstrap:
    """Every metric of every predictor, and the first predictor minus each other one, with intervals.

    Args:
        estimates: {predictor: its values on all rows}, without draws.
        sums: {predictor: what its metrics are made of, by cluster}: sparse or dense, shape (features,
            clusters), the same features in each.
        metrics: from sums of shape (features, resamples) to {metric: array of shape (resamples,)}; NaN where
            a metric has no value.
        resamples: number of resamples.
        confidence: share of the percentile interval, for instance 0.95.
        seed: the resamples depend on it and on the number of clusters alone, not on who is compared.

    Returns:
        Intervals whose n is that of the estimates. With a single cluster there is nothing to resample: low
        and high are None. A resample in which a metric has no value is left out of that metric's interval.
    """
    features, clusters = next(iter(sums.values())).shape
    found = dict(estimates)
    if clusters > 1:
        draws: dict[str, dict[str, Floats]] = {
            name: {metric: np.empty(resamples) for metric in estimate.values}
            for name, estimate in estimates.items()
        }
        for block, weights in _weights(features, clusters, resamples, seed):
            for name, own in sums.items():
                for metric, values in metrics(own @ weights).items():
                    draws[name][metric][block] = values
        found = {name: replace(estimate, draws=draws[name]) for name, estimate in estimates.items()}
    first, *others = found
    return Bootstrap(
        metrics={name: estimate.intervals(confidence) for name, estimate in found.items()},
        differences={name: found[first].minus(found[name]).intervals(confidence) for name in others},
        clusters=clusters,
        undefined=found[first].undefined(),
    )


def _weights(features: int, clusters: int, resamples: int, seed: int) -> Iterator[tuple[slice, Floats]]:
    """Blocks of resamples: how often each cluster was drawn, shape (clusters, resamples of the block)."""
    generator = np.random.default_rng(seed)
    width = max(1, min(resamples, CELLS // max(clusters, features)))
    for start in range(0, resamples, width):
        count = min(width, resamples - start)
        drawn = generator.integers(0, clusters, size=(count, clusters))
        cells = drawn * count + np.arange(count)[:, None]
        weights = np.bincount(cells.ravel(), minlength=clusters * count).reshape(clusters, count)
        yield slice(start, start + count), weights.astype(float)
