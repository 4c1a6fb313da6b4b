"""Texts that have a passage in common with others, however different they are: thirteen words in a row, which is what
contamination of test sets is looked for by (Brown et al. 2020, arXiv 2005.14165, appendix C).

A near duplicate is like another text as a whole; a passage may be one sentence of a long text. It may also be a
proverb, a licence or a signature, so it is a reason to look and no proof.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from ft_assets.data.duplicates.shingles import hashed, slices

__all__ = ["WORDS", "shares_passage"]

WORDS = 13
# Bits of the filter for each passage that is looked for: one of 16 other passages gets through, and is looked up.
_BITS = 16


def shares_passage(texts: pl.Series, others: Iterable[pl.Series]) -> np.ndarray:
    """Whether each text has thirteen words in a row that also stand in one of the others.

    Args:
        texts: Normalised; their passages are held in memory (10 bytes each, one a word).
        others: Normalised, in slices of any size.
    """
    parts = [(0, np.empty(0, np.uint64), np.empty(0, np.int64))]
    start = 0
    for part in slices(texts):
        values, rows = _passages(part)
        parts.append((start, values, rows))
        start += len(part)
    values = np.concatenate([values for _, values, _ in parts])
    rows = np.concatenate([start + rows for start, _, rows in parts])
    wanted = _Wanted(_distinct(values))
    seen = np.zeros(len(wanted.values), bool)
    for part in (part for given in others for part in slices(given)):
        seen |= wanted.among(_passages(part)[0])
    shared = np.zeros(len(texts), bool)
    shared[rows[_among(values, wanted.values[seen])]] = True
    return shared


def _passages(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all passages, and the place of the text that each is from."""
    enough = (texts.str.count_matches(" ", literal=True) >= WORDS - 1).arg_true()
    values, row = hashed(texts.gather(enough), "words", WORDS)
    return values, enough.to_numpy().astype(np.int64)[row]


def _distinct(values: np.ndarray) -> np.ndarray:
    """The values in rising order, each once. (`np.unique` puts numbers into a hash table: for two million it takes
    75 times as long.)"""
    values = np.sort(values)
    return values[np.append(True, values[1:] != values[:-1])[: len(values)]]


def _among(values: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Which of the values stand in a short array in rising order."""
    if not len(few):
        return np.zeros(len(values), bool)
    return few[np.minimum(np.searchsorted(few, values), len(few) - 1)] == values


class _Wanted:
    """A sorted array of hashes, behind a filter of bits that most others do not get through."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self._shift = np.uint64(52 - max((len(values) * _BITS).bit_length(), 6))
        self._bits = np.zeros(1 << (52 - int(self._shift) - 3), np.uint8)
        place, bit = self._place(values)
        np.bitwise_or.at(self._bits, place, bit)

    def _place(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        number = values >> self._shift
        return (number >> np.uint64(3)).astype(np.int64), np.uint8(1) << (number & np.uint64(7)).astype(
            np.uint8
        )

    def among(self, values: np.ndarray) -> np.ndarray:
        """Which of its hashes are among these."""
        seen = np.zeros(len(self.values), bool)
        if not len(self.values):
            return seen
        place, bit = self._place(values)
        # In order, or each is looked up in another place of the memory.
        possible = _distinct(values[(self._bits[place] & bit) != 0])
        where = np.minimum(np.searchsorted(self.values, possible), len(self.values) - 1)
        seen[where[self.values[where] == possible]] = True
        return seen
