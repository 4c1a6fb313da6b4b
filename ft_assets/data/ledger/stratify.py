"""Which split a new cluster goes to: as many rows of each stratum everywhere as the shares say, clusters left whole.

A stratum is a label, or whatever else should be spread evenly. The clusters are dealt out greedily, as in
scikit-learn's StratifiedGroupKFold and the iterative stratification of Sechidis et al. (2011, "On the Stratification of
Multi-Label Data"): each one to the split where it lessens the distance from the wish most. That distance is Pearson's
chi-square,

    sum over splits s and strata l of (N[s, l] - T[s, l])^2 / T[s, l],   T[s, l] = share of s x rows of l,

with all rows together as one more stratum, which weighs as much as all others: so sizes are right where labels are
rare, too. Clusters twice as large come first, since small ones can make up for them. Clusters of the same composition
(most often single rows of a label) are dealt together: for them the best numbers have a closed form, so millions of
rows take seconds.

What is drawn depends on the clusters, their ranks and what is recorded; never on an order of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["mixed", "stratify"]

Counts = npt.NDArray[np.int64]
_ALL = -1
"""The place of all rows together, after the strata."""


def stratify(
    cluster: npt.NDArray[np.integer],
    stratum: npt.NDArray[np.integer],
    rank: npt.NDArray[np.uint64],
    recorded: Counts,
    shares: Sequence[float],
) -> npt.NDArray[np.uint8]:
    """Deal clusters out to splits.

    Args:
        cluster: Of each row, from 0 to the number of clusters - 1.
        stratum: Of each row, from 0 to the number of strata - 1.
        rank: Of each cluster: decides among those of one size.
        recorded: Rows that are in each split already, by split and stratum.
        shares: Wished share of each split; a split of share 0 is given nothing.

    Returns:
        The split of each cluster, by its place in `shares`.
    """
    splits = np.zeros(len(rank), np.uint8)
    if not len(rank):
        return splits
    strata = recorded.shape[1]
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(len(rank)))
    sizes = np.diff(np.append(starts, len(cluster)))
    # The sum over a cluster's rows of a random number for each stratum tells compositions apart (but for one chance in
    # 2^64, which would cost some evenness and nothing else).
    codes = mixed(np.arange(1, strata + 1, dtype=np.uint64))
    composition = np.add.reduceat(codes[stratum[order]], starts)
    total = recorded.sum(0) + np.bincount(stratum, minlength=strata)
    deal = _Deal(recorded, total, shares)
    for batch in _batches(sizes, composition, rank):
        first = starts[batch[0]]
        rows = stratum[order[first : first + sizes[batch[0]]]]
        splits[batch] = np.repeat(np.arange(len(shares), dtype=np.uint8), deal(rows, len(batch)))
    return splits


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers scattered over 64 bits, one to one (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _batches(
    sizes: npt.NDArray[np.integer], composition: npt.NDArray[np.uint64], rank: npt.NDArray[np.uint64]
) -> Iterator[npt.NDArray[np.integer]]:
    """Clusters of one composition, by rank; the batches by size (doubling), then by their first cluster's rank.

    By doubling sizes: with exact ones a draw would have no room for chance where no two clusters are of one size.
    """
    by_kind = np.lexsort((rank, composition, sizes))
    is_first = np.ones(len(by_kind), bool)
    is_first[1:] = (np.diff(sizes[by_kind]) != 0) | (composition[by_kind][1:] != composition[by_kind][:-1])
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(by_kind))
    firsts = by_kind[starts]
    magnitude = np.floor(np.log2(sizes[firsts]))
    for place in np.lexsort((rank[firsts], -magnitude)):
        yield by_kind[starts[place] : ends[place]]


class _Deal:
    """What each split has and wants. Plain lists: compositions are short, and numpy costs a microsecond a call."""

    def __init__(self, recorded: Counts, total: Counts, shares: Sequence[float]) -> None:
        self._open = [split for split, share in enumerate(shares) if share > 0]
        closed = recorded[[split for split, share in enumerate(shares) if share <= 0]].sum(0)
        left = total - closed
        whole = sum(shares)
        self._splits, self._strata = len(shares), len(total)
        self._has = [[*map(int, row), int(row.sum())] for row in recorded]
        self._wants = [
            [share / whole * rows for rows in [*map(int, left), int(left.sum())]] for share in shares
        ]

    def __call__(self, rows: npt.NDArray[np.integer], times: int) -> list[int]:
        """How many of some clusters of equal composition go to each split."""
        counts: dict[int, int] = {}
        for stratum in rows.tolist():
            counts[stratum] = counts.get(stratum, 0) + 1
        counts[_ALL] = len(rows)
        # The distance as a function of the number m that a split gets: a m^2 - 2 b m + something.
        a, b = [0.0] * self._splits, [0.0] * self._splits
        for split in self._open:
            has, wants = self._has[split], self._wants[split]
            for stratum, count in counts.items():
                weight = self._strata if stratum == _ALL else 1
                a[split] += weight * count * count / wants[stratum]
                b[split] += weight * count * (1 - has[stratum] / wants[stratum])
        numbers = _least(a, b, times, self._open)
        for split in self._open:
            for stratum, count in counts.items():
                self._has[split][stratum] += numbers[split] * count
        return numbers


def _least(a: Sequence[float], b: Sequence[float], times: int, among: Sequence[int]) -> list[int]:
    """Whole numbers m >= 0 of sum `times` with the least sum of a m^2 - 2 b m.

    In real numbers, m = (b - level) / a where that is positive (Lagrange). Their whole parts are dealt first, then
    what is left one by one to where it costs least.
    """
    numbers = [0] * len(a)
    if times > len(among):
        active = list(among)
        while True:
            level = (sum(b[s] / a[s] for s in active) - times) / sum(1 / a[s] for s in active)
            above = [split for split in active if b[split] > level]
            if len(above) == len(active):
                break
            active = above
        for split in active:
            numbers[split] = int((b[split] - level) / a[split])
    for _ in range(times - sum(numbers)):
        best = min(among, key=lambda split: a[split] * (2 * numbers[split] + 1) - 2 * b[split])
        numbers[best] += 1
    return numbers
