"""The sets of shingles of many texts, the hashes of their bands, and how alike two of them are.

Sets and bands lie in files. What is remembered of a text are its bands, of a pair its similarity; the set of a text
that is remembered is made only where it is compared with one that it was never compared with.
"""

from __future__ import annotations

import mmap
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import polars as pl

from ft_assets.data.duplicates.corpus import Corpus
from ft_assets.data.duplicates.minhash import FUNCTIONS, band_hashes, rows_of_band
from ft_assets.data.duplicates.shingles import (
    Kind,
    Shingles,
    by_characters,
    by_words,
    mixed,
    runs,
    shingles,
    slices,
)
from ft_assets.data.remembered import KEY, Memory
from ft_assets.data.texts import normalised

__all__ = ["Sets", "sets_of"]

# At most so many pairs and shingles are compared at once: 12 bits beside the 52 of a hash, and 32 MB.
_PAIRS_AT_ONCE, _SHINGLES_AT_ONCE = 4_096, 1 << 22
_WORDS, _CHARACTERS = 1, 2
_SIMILARITY = np.dtype([("similarity", "<f8")])


def sets_of(
    corpus: Corpus, threshold: float, memory: Memory, place: Path, files: ExitStack
) -> tuple[Sets, Sets, np.ndarray]:
    """The sets of words and of characters of all texts, and whether each can be compared by words.

    Args:
        corpus: The texts.
        threshold: Smallest similarity that is looked for.
        memory: What was found of texts before, and receives what is found now.
        place: The folder for files.
        files: Receives these files, to close them.
    """
    words, characters = (
        Sets(kind, corpus, threshold, memory=memory, place=place, files=files)
        for kind in ("words", "characters")
    )
    spaced = np.zeros(len(corpus), bool)
    if memory.folder is not None:
        corpus.keep_keys(place, files)
    for rows, texts in corpus.slices():
        of_words, of_characters = words.recall(rows), characters.recall(rows)
        known = (of_words == _WORDS) | (of_characters == _CHARACTERS)
        known |= (of_words == of_characters) & (of_words > 0)  # both, and both are there
        spaced[rows] = of_words & _WORDS
        new, start = rows[~known], 0
        for part in slices(normalised(texts.filter(pl.Series(~known)))):
            own = new[start : start + len(part)]
            start += len(part)
            has_words, has_characters = by_words(part).to_numpy(), by_characters(part, threshold).to_numpy()
            kinds = (_WORDS * has_words + _CHARACTERS * has_characters).astype(np.uint8)
            spaced[own] = has_words
            words.add(own[has_words], part.filter(pl.Series(has_words)), kinds[has_words])
            characters.add(own[has_characters], part.filter(pl.Series(has_characters)), kinds[has_characters])
    return words, characters, spaced


class Sets:
    """The sets of one kind. Rows without a set have size 0.

    Files are mapped; what was read of them is given back (`release`), or it would count as memory of the process.
    """

    def __init__(
        self,
        kind: Kind,
        corpus: Corpus,
        threshold: float,
        *,
        memory: Memory,
        place: Path,
        files: ExitStack,
    ) -> None:
        count = len(corpus)
        self._kind, self._corpus, self._threshold = kind, corpus, threshold
        self._rows_of = rows_of_band(threshold)
        self._order = np.arange(count)
        self.number = FUNCTIONS // self._rows_of
        # Zeros, since pages of them that are never written take no memory.
        self._starts = np.zeros(count, np.int64)
        """Where in the file a set begins, counted from 1; 0: it was not made."""
        self.sizes = np.zeros(count, np.int32)
        self.prints = np.zeros(count, np.uint64)
        self._file = files.enter_context(TemporaryFile(dir=place))  # noqa: SIM115 - closed with the others
        self._count = 0
        bands = files.enter_context(TemporaryFile(dir=place))  # noqa: SIM115
        bands.truncate(max(self.number * count * 4, 1))  # sparse: it takes up what is written
        self._map = mmap.mmap(bands.fileno(), 0)
        self._bands = np.frombuffer(self._map, np.uint32, self.number * count).reshape(self.number, count)
        self._record = np.dtype(
            [("kinds", "u1"), ("size", "<u4"), ("print", "<u8"), ("bands", "<u4", (self.number,))]
        )
        self._signatures = memory.of(kind, self._record, threshold=threshold)
        self._pairs = memory.of(f"{kind} of pairs", _SIMILARITY)
        self._remembers = memory.folder is not None

    def recall(self, rows: np.ndarray) -> np.ndarray:
        """Take in what is remembered of these rows; gives the kinds of sets that each has, 0 where nothing is."""
        kinds = np.zeros(len(rows), np.uint8)
        if not self._remembers or not len(rows):
            return kinds
        known, found = self._signatures.find(self._corpus.keys[rows])
        self.sizes[rows[known]], self.prints[rows[known]] = found["size"], found["print"]
        self._bands[:, rows[known]] = found["bands"].T
        self.release()
        kinds[known] = found["kinds"]
        return kinds

    def add(self, rows: np.ndarray, texts: pl.Series, kinds: np.ndarray) -> None:
        """Take in the normalised texts of some rows, with the kinds of sets that each has."""
        if not len(rows):
            return
        made = self._made(rows, texts)
        self.sizes[rows] = np.diff(made.offsets)
        self.prints[rows] = np.add.reduceat(mixed(made.values), made.offsets[:-1])
        bands = band_hashes(made, self._rows_of)
        self._bands[:, rows] = bands
        self.release()
        if self._remembers:
            signatures = np.empty(len(rows), self._record)
            signatures["kinds"], signatures["bands"] = kinds, bands.T
            signatures["size"], signatures["print"] = self.sizes[rows], self.prints[rows]
            self._signatures.add(self._corpus.keys[rows], signatures)

    def arrange(self, order: np.ndarray) -> None:
        """From here on rows are numbered by this order of the corpus; nothing is added any more."""
        self._order = order
        self._starts, self.sizes, self.prints = self._starts[order], self.sizes[order], self.prints[order]
        self._signatures.settle()

    def band(self, number: int, rows: np.ndarray) -> np.ndarray:
        """The hashes of one band."""
        hashes = self._bands[number][self._order[rows]]
        self.release()
        return hashes

    def release(self) -> None:
        self._map.madvise(mmap.MADV_DONTNEED)

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Jaccard index of each pair of rows; 0 where their sizes alone say that it is below the threshold."""
        found = np.zeros(len(a))
        smaller, larger = np.minimum(self.sizes[a], self.sizes[b]), np.maximum(self.sizes[a], self.sizes[b])
        pairs = np.flatnonzero(smaller / larger >= self._threshold)
        if self._remembers and len(pairs):
            keys = self._keys_of_pairs(a[pairs], b[pairs])
            known, remembered = self._pairs.find(keys)
            found[pairs[known]] = remembered["similarity"]
            pairs, keys = pairs[~known], keys[~known]
        if len(pairs):
            found[pairs] = self._compared(a[pairs], b[pairs])
        if self._remembers and len(pairs):
            self._pairs.add(keys, found[pairs].astype(_SIMILARITY))
        return found

    def settle(self) -> None:
        """Keep what was found of pairs; nothing is compared any more."""
        self._pairs.settle()

    def _keys_of_pairs(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """One key for two texts, whichever comes first."""
        one, other = self._corpus.keys[self._order[a]], self._corpus.keys[self._order[b]]
        keys = np.empty(len(a), KEY)
        for half in ("high", "low"):
            first, second = np.minimum(one[half], other[half]), np.maximum(one[half], other[half])
            keys[half] = mixed(first + mixed(second))
        return keys

    def _made(self, rows: np.ndarray, texts: pl.Series) -> Shingles:
        """The sets of some rows, written to the file."""
        made = shingles(texts, self._kind)
        self._starts[rows] = 1 + self._count + made.offsets[:-1]
        made.values.tofile(self._file)
        self._count += len(made.values)
        return made

    def _make_missing(self, rows: np.ndarray) -> None:
        """The sets of those rows that were remembered and have none yet."""
        missing = np.zeros(len(self._starts), bool)
        missing[rows] = self._starts[rows] == 0
        rows = np.flatnonzero(missing)
        rows = rows[np.argsort(self._order[rows])]
        if not len(rows):
            return
        start = 0
        for part in slices(normalised(self._corpus.at(self._order[rows]))):
            self._made(rows[start : start + len(part)], part)
            start += len(part)

    def _compared(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        self._make_missing(np.concatenate([a, b]))
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        values = np.frombuffer(mapped, np.uint64)
        found = np.empty(len(a))
        ends = np.cumsum(self.sizes[a] + self.sizes[b])
        start = 0
        while start < len(a):
            before = ends[start - 1] if start else 0
            fitting = int(np.searchsorted(ends, before + _SHINGLES_AT_ONCE, side="right"))
            part = slice(start, min(max(fitting, start + 1), start + _PAIRS_AT_ONCE))
            found[part] = self._jaccard(a[part], b[part], values)
            start = part.stop
        return found

    def _jaccard(self, a: np.ndarray, b: np.ndarray, values: np.ndarray) -> np.ndarray:
        both = np.concatenate([a, b])
        sizes = self.sizes[both]
        pair = np.repeat(np.tile(np.arange(len(a), dtype=np.uint64), 2), sizes)
        # Runs that are in order are merged: two thirds of the time of sorting.
        keys = np.sort((pair << np.uint64(52)) | values[runs(self._starts[both] - 1, sizes)], kind="stable")
        twice = keys[1:][keys[1:] == keys[:-1]]
        common = np.bincount(twice >> np.uint64(52), minlength=len(a))
        return common / (self.sizes[a] + self.sizes[b] - common)
