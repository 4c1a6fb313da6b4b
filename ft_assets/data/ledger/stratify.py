"""Which split a new cluster goes to: as many rows of each stratum everywhere as the shares say, clusters left whole.

A stratum is a label, or whatever else should be spread evenly. The clusters are dealt out greedily, as in
scikit-learn's StratifiedGroupKFold and the iterative stratification of Sechidis et al. (2011, "On the Stratification of
Multi-Label Data"): each one to the split where it lessens the distance from the wish most. That distance is Pearson's
chi-square,

    sum over splits s and strata l of (N[s, l] - T[s, l])^2 / T[s, l],

N the new rows of l that s has got, T those that it wants: what it lacks of its share (in proportion, where others have
too much). All rows together are one more stratum, which weighs as much as all others, so that sizes are right where
labels are rare; of these a split wants at any time what it wants of those that were dealt by then. Clusters twice as
large come first, since small ones can make up for them. Clusters of the same composition (most often single rows of a
label) are dealt together: for them the best numbers have a closed form, so millions of rows take seconds.

What is drawn depends on the clusters, their ranks and what is recorded; never on an order of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["mixed", "stratify"]

Counts = npt.NDArray[np.int64]
_LEAST = 0.1
"""Rows that every split wants at least, so that nothing is divided by zero."""


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
    """What each split has got of the new rows, and wants of them: what it lacks of its share of all rows.

    Plain lists: compositions are short, and numpy costs a microsecond a call.
    """

    def __init__(self, recorded: Counts, total: Counts, shares: Sequence[float]) -> None:
        self._open = [split for split, share in enumerate(shares) if share > 0]
        closed = [split for split in range(len(shares)) if split not in self._open]
        left = total - recorded[closed].sum(0)
        lacks = np.maximum(np.outer(shares, left) / sum(shares) - recorded, 0)
        lacks[closed] = 0
        new = total - recorded.sum(0)
        wants = lacks * new / np.maximum(lacks.sum(0), 1)
        self._share_of_row: list[list[float]] = (wants / np.maximum(new, 1)).tolist()
        self._wants: list[list[float]] = np.maximum(wants, _LEAST).tolist()
        self._has = [[0] * len(total) for _ in shares]
        # Of all rows together: what was got, and what the strata wanted of those that were dealt.
        self._all_wanted: list[float] = np.maximum(wants.sum(1), _LEAST).tolist()
        self._all_had = [0] * len(shares)
        self._all_due = [0.0] * len(shares)
        self._weight = len(total)

    def __call__(self, rows: npt.NDArray[np.integer], times: int) -> list[int]:
        """How many of some clusters of equal composition go to each split."""
        counts: dict[int, int] = {}
        for stratum in rows.tolist():
            counts[stratum] = counts.get(stratum, 0) + 1
        size = len(rows)
        # The distance as a function of the number m that a split gets: a m^2 - 2 b m + something.
        a, b = [0.0] * len(self._has), [0.0] * len(self._has)
        for split in self._open:
            has, wants, share = self._has[split], self._wants[split], self._share_of_row[split]
            self._all_due[split] += times * sum(count * share[stratum] for stratum, count in counts.items())
            weight = self._weight * size / self._all_wanted[split]
            a[split] = weight * size
            b[split] = weight * (self._all_due[split] - self._all_had[split])
            for stratum, count in counts.items():
                a[split] += count * count / wants[stratum]
                b[split] += count * (1 - has[stratum] / wants[stratum])
        numbers = _least(a, b, times, self._open)
        for split in self._open:
            self._all_had[split] += numbers[split] * size
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
