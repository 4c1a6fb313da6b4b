"""Texts as sets of shingles: what near duplicates are compared by.

Similarity is the Jaccard index of two sets: how many elements they have in common, of all that either has. There are
two sorts of sets:

- *words*: each five words in a row, as in Lee et al. 2022 (arXiv 2107.06499). For texts of at least
  `SHORT` words. In a shorter one a single word changed would take away more than 0.3 of its similarity.
- *characters*: each four characters in a row, blanks included. For shorter texts, one word included, and for scripts
  without spaces (Chinese, Japanese, Thai, …), which few spaces give away. A text of less than four characters is one
  shingle.

Two texts are compared by words if both can be, else by characters. Texts near the limit have both sets, so that a text
just below finds its neighbours just above.

A shingle is known by 52 bits of a hash: among the 10,000 shingles of two long texts two collide with a chance of one in
a hundred million, which would change their similarity by 1/10,000. Not here: finding pairs (`search`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

__all__ = [
    "SHORT",
    "Kind",
    "Shingles",
    "by_characters",
    "by_words",
    "hashed",
    "mixed",
    "runs",
    "shingles",
    "slices",
]

Kind = Literal["words", "characters"]

LENGTH: dict[Kind, int] = {"words": 5, "characters": 4}
SHORT = 32
"""Words. One changed in the middle of 32 leaves 23 of 33 shingles: a similarity of 0.7."""
# Characters a word, its space included: English has 6, German 7, Finnish 9, Chinese clauses between spaces 15 and more.
_SPACED = 12
_ROWS = 4_096  # of a slice: 12 bits beside the 52 of a hash
_BYTES = 1 << 21  # of a slice: the tables below are 16 times as large
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64


@dataclass(frozen=True, eq=False)
class Shingles:
    """Sets of shingles of some rows, one behind the other.

    Attributes:
        values: uint64, 52 bits of hash; those of a row ascend, each stands once.
        offsets: int64, one more than there are rows: row i has `values[offsets[i]:offsets[i + 1]]`.
    """

    values: np.ndarray
    offsets: np.ndarray


def by_words(texts: pl.Series) -> pl.Series:
    """Whether each normalised text can be compared by words."""
    words = texts.str.count_matches(" ", literal=True) + 1
    return (words >= SHORT) & (texts.str.len_chars() <= _SPACED * words)


def by_characters(texts: pl.Series, threshold: float) -> pl.Series:
    """Whether each normalised text may have a partner that can only be compared by characters.

    That is so for those which can't be compared by words, and for those near the limits: by as much as two texts can
    differ in length at this similarity.
    """
    words = texts.str.count_matches(" ", literal=True) + 1
    chars = texts.str.len_chars()
    return (chars > 0) & ((words < SHORT / threshold) | (chars > _SPACED * threshold * words))


def slices(texts: pl.Series) -> Iterator[pl.Series]:
    """The texts in parts that `shingles` takes: of at most 4,096 rows and 2 MiB (or one row)."""
    ends = texts.str.len_bytes().cast(pl.Int64).cum_sum().to_numpy()
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + _BYTES, side="right"))
        stop = min(max(fitting, start + 1), start + _ROWS)
        yield texts[start:stop]
        start = stop


def shingles(texts: pl.Series, kind: Kind) -> Shingles:
    """The sets of at most 4,096 texts.

    Args:
        texts: Normalised: white space is single spaces, none at the ends (`texts.normalised`); none missing.
        kind: What a shingle is made of.
    """
    if len(texts) > _ROWS:
        raise ValueError(f"{len(texts)} texts, at most {_ROWS} are taken at once: see `slices`")
    hashes, row = hashed(texts, kind, LENGTH[kind])
    keys = np.sort((row.astype(np.uint64) << np.uint64(52)) | hashes)
    distinct = np.ones(len(keys), bool)
    distinct[1:] = keys[1:] != keys[:-1]
    keys = keys[distinct]
    sizes = np.bincount(keys >> np.uint64(52), minlength=len(texts))
    return Shingles(keys & np.uint64((1 << 52) - 1), np.concatenate([[0], np.cumsum(sizes)]))


def hashed(texts: pl.Series, kind: Kind, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The hash of each shingle of so many words or characters, 52 bits, and the row of each, in the order of the texts.

    A shingle is a part of the text, whatever its kind, and the hash of any part follows from a polynomial over the
    bytes from the beginning: (P[end] - P[start]) / base^start, modulo 2^64. So nothing is cut out or copied.
    """
    data, bounds = _utf8(texts)
    firsts, ends, per_row = _units(data, bounds, kind)
    counts = np.where(per_row > length, per_row - length + 1, np.minimum(per_row, 1))
    row = np.repeat(np.arange(len(texts)), counts)
    before = np.cumsum(per_row) - per_row
    first = runs(before, counts)
    last = np.minimum(first + length, (before + per_row)[row]) - 1

    powers, inverses = _powers(1 << max(len(data) - 1, 0).bit_length())
    prefix = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers[: len(data)], out=prefix[1:])
    start = firsts[first]
    return mixed((prefix[ends[last]] - prefix[start]) * inverses[start]) >> np.uint64(12), row


def mixed(hashes: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit of the hash: the finaliser of MurmurHash3, one to one."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(33))


def runs(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, … for each start, as many as its count says."""
    shifts = starts - (np.cumsum(counts) - counts)
    return np.repeat(shifts, counts) + np.arange(counts.sum())


def _utf8(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """All bytes of the texts, and where each begins; one place more: where the last ends."""
    array = texts.to_arrow().cast(pa.large_string())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    if data is None:
        return np.empty(0, np.uint8), bounds
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def _units(data: np.ndarray, bounds: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First byte of each word or character, the byte behind its last, and how many each row has."""
    if kind == "characters":
        firsts = np.flatnonzero((data & 0xC0) != 0x80)  # UTF-8: what is no continuation byte
        ends = np.append(firsts[1:], len(data))
        return firsts, ends, np.diff(np.searchsorted(firsts, bounds))
    spaces = np.flatnonzero(data == ord(" "))
    filled = bounds[1:] > bounds[:-1]
    firsts = np.sort(np.concatenate([bounds[:-1][filled], spaces + 1]))
    ends = np.sort(np.concatenate([bounds[1:][filled], spaces]))
    return firsts, ends, np.diff(np.searchsorted(spaces, bounds)) + filled


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first powers of the base, and their inverses, modulo 2^64."""

    def of(base: int) -> np.ndarray:
        factors = np.full(count, base, np.uint64)
        factors[0] = 1
        return np.cumprod(factors)

    return of(_BASE), of(pow(_BASE, -1, 1 << 64))
