"""All pairs of near duplicates among millions of texts: candidates by the bands of MinHash, verified on their shingles.

Bands are looked at one after the other: rows sorted by a band's hash, those with one hash are a bucket.

- Of a bucket of at most `BUCKET` rows all pairs are compared.
- In a larger one each row is compared with at most `LEADERS` others, so that a hundred thousand rows of boilerplate
  cost a hundred thousand comparisons, not their square. A row that is near enough to a leader is joined with it; that
  two rows of such a bucket which are near to each other and to no leader are found is not guaranteed.
- Rows with equal sets are compared with the first of them, and only that one with others.

No pair is returned whose similarity was not computed on the sets themselves. Rows are numbered by their ids, so the
result does not depend on their order, nor on how they are cut into slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl

from ft_assets.data.duplicates.corpus import Corpus
from ft_assets.data.duplicates.sets import Sets, sets_of
from ft_assets.data.lookup import nearest_places
from ft_assets.data.remembered import Memory
from ft_assets.paths import data_dir

__all__ = ["BUCKET", "LEADERS", "PAIRS", "components", "near_duplicates"]

BUCKET, LEADERS = 32, 16
PAIRS = {"example_id_a": pl.String, "example_id_b": pl.String, "similarity": pl.Float64}
_LOW = np.uint64(32)
_PAIRS_AT_ONCE = 1 << 18
"""A call costs what some hundred pairs do, and many buckets have few."""


def near_duplicates(
    ids: pl.Series,
    corpus: Corpus,
    threshold: float,
    directory: Path | None = None,
    *,
    across: np.ndarray | None = None,
    memory: Memory | None = None,
) -> pl.DataFrame:
    """The pairs of texts at least so similar.

    Args:
        ids: `example_id` of all rows, each once.
        corpus: Their texts.
        threshold: Smallest Jaccard index, above 0 and at most 1.
        directory: Where its files are made: about 700 bytes for a text of 400. They have no name, and go with the
            process. None: the data directory, as for all that does not fit into memory.
        across: A number for each row. Pairs of rows with different numbers are wanted; others are compared no more than
            is needed to find these. None: all pairs are wanted.
        memory: What was found of texts before, and receives what is found now; the pairs are the same with and without.

    Returns:
        `PAIRS`, ordered by both ids; `example_id_a` is the smaller one. Empty texts have no partner.
    """
    if len(corpus) != len(ids):
        raise ValueError(f"{len(ids)} ids and {len(corpus)} texts")
    order = ids.arg_sort().to_numpy().astype(np.int64)
    place = directory or data_dir()
    place.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        words, characters, spaced = sets_of(corpus, threshold, memory or Memory(), place, files)
        found = []
        side = None if across is None else across[order]
        for sets, others in ((words, np.zeros(len(ids), bool)), (characters, spaced[order])):
            sets.arrange(order)
            found.append(_search(sets, threshold, others, side))
            sets.settle()
    return _named(found, ids.gather(order))


def components(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smallest number that each of the numbers below `count` is connected with, itself included."""
    labels, number = _connected(count, a, b)
    first = np.empty(number, np.int64)
    first[labels[::-1]] = np.arange(count)[::-1]  # the last one written stays
    return first[labels]


def _connected(count: int, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, int]:
    """The number of each one's component, and how many components there are."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    number, labels = connected_components(graph, directed=False)
    return labels, number


def _named(found: Sequence[_Found], ids: pl.Series) -> pl.DataFrame:
    keys = np.concatenate([each.keys for each in found])
    similarity = np.concatenate([each.similarity for each in found])
    order = np.argsort(keys)
    a, b = _split(keys[order])
    return pl.DataFrame(
        {"example_id_a": ids.gather(a), "example_id_b": ids.gather(b), "similarity": similarity[order]},
        schema=PAIRS,
    )


class _Found:
    """The pairs of rows found so far, each as one number (a · 2^32 + b, a < b), ascending."""

    def __init__(self, sets: Sets, threshold: float, spaced: np.ndarray) -> None:
        self._sets, self._threshold, self._spaced = sets, threshold, spaced
        self.keys, self.similarity = np.empty(0, np.uint64), np.empty(0)
        self._new: list[tuple[np.ndarray, np.ndarray]] = []

    def compare(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether each pair is one of near duplicates; those not known before are noted. No pair may stand twice
        between two calls of `settle`."""
        keys = (a.astype(np.uint64) << _LOW) | b.astype(np.uint64)
        near = np.zeros(len(keys), bool)
        if len(self.keys):
            near = self.keys[nearest_places(self.keys, keys)] == keys
        new = np.flatnonzero(~near & ~(self._spaced[a] & self._spaced[b]))
        similarity = self._sets.similarity(a[new], b[new])
        found = similarity >= self._threshold
        near[new] = found
        self._new.append((keys[new[found]], similarity[found]))
        return near

    def settle(self) -> None:
        """Put what was noted to the others."""
        keys = np.concatenate([self.keys, *(keys for keys, _ in self._new)])
        similarity = np.concatenate([self.similarity, *(similarity for _, similarity in self._new)])
        order = np.argsort(keys)
        self.keys, self.similarity, self._new = keys[order], similarity[order], []


def _split(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (keys >> _LOW).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _search(sets: Sets, threshold: float, spaced: np.ndarray, across: np.ndarray | None) -> _Found:
    """The pairs of one kind. Two rows that are `spaced` are none here: they are compared by words."""
    found = _Found(sets, threshold, spaced)
    rows = _without_equal_sets(found, np.flatnonzero(sets.sizes), sets.prints, spaced)
    for number in range(sets.number):
        members, bucket, sizes = _buckets(sets.band(number, rows), rows)
        small = sizes <= BUCKET
        _all_pairs(found, members[small], bucket[small], across)
        found.settle()
        if not small.all():
            _with_leaders(found, members[~small], bucket[~small], len(spaced))
            found.settle()
    return found


def _without_equal_sets(
    found: _Found, rows: np.ndarray, prints: np.ndarray, spaced: np.ndarray
) -> np.ndarray:
    """The rows without those that have the set of an earlier one; they are found to be its duplicates."""
    alone = rows[~spaced[rows]]
    own = prints[alone]
    sort = np.sort(own)
    shared = np.unique(sort[1:][sort[1:] == sort[:-1]])
    if not len(shared):
        return rows
    again = shared[np.minimum(np.searchsorted(shared, own), len(shared) - 1)] == own
    alone, own = alone[again], own[again]
    _, first, of = np.unique(own, return_index=True, return_inverse=True)
    earlier = alone[first][of]
    later = earlier < alone
    equal = found.compare(earlier[later], alone[later])
    found.settle()
    left = np.ones(len(spaced), bool)
    left[alone[later][equal]] = False
    return rows[left[rows]]


def _buckets(hashes: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that share their hash with another: row (ascending in a bucket), its bucket, size of the bucket."""
    packed = hashes.astype(np.uint64) << _LOW
    packed |= rows.astype(np.uint64)
    packed.sort()
    same = (packed[1:] >> _LOW) == (packed[:-1] >> _LOW)
    value, members = _split(
        packed[np.append(same, False)[: len(packed)] | np.append(False, same)[: len(packed)]]
    )
    begins = np.flatnonzero(np.append(True, value[1:] != value[:-1]))[: len(value)]
    sizes = np.diff(np.append(begins, len(value)))
    return members, np.repeat(np.arange(len(sizes)), sizes), np.repeat(sizes, sizes)


def _all_pairs(found: _Found, members: np.ndarray, bucket: np.ndarray, across: np.ndarray | None) -> None:
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for distance in range(1, BUCKET):
        together = np.flatnonzero(bucket[distance:] == bucket[:-distance])
        if not len(together):
            break
        a, b = members[together], members[together + distance]
        if across is not None:
            wanted = across[a] != across[b]
            a, b = a[wanted], b[wanted]
        waiting.append((a, b))
        if sum(len(each) for each, _ in waiting) >= _PAIRS_AT_ONCE:
            found.compare(*map(np.concatenate, zip(*waiting, strict=True)))
            waiting = []
    if waiting:
        found.compare(*map(np.concatenate, zip(*waiting, strict=True)))


def _with_leaders(found: _Found, members: np.ndarray, bucket: np.ndarray, count: int) -> None:
    """Compare the members of each bucket with its first one, the others with the first of them, and so on."""
    component, _ = _connected(count, *_split(found.keys))
    for _ in range(LEADERS):
        if not len(members):
            return
        begins = np.append(True, bucket[1:] != bucket[:-1])
        leaders = members[begins][np.cumsum(begins) - 1]
        apart = component[members] != component[leaders]
        near = np.zeros(len(members), bool)
        near[apart] = found.compare(leaders[apart], members[apart])
        members, bucket = members[apart & ~near], bucket[apart & ~near]
