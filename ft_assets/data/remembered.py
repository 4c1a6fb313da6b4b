"""What was computed of texts, kept on the disk by the text: so nothing is computed twice of one by the same code.

For results of a fixed width (a signature, a yes or no) that follow from the text alone. They are found whatever the
order of the rows, and among whatever others they stand. What is kept holds hashes of texts, and no text. Whatever is
there may be deleted at any time. Not here: whole rows (`cleaned_parts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import polars as pl

from ft_assets.content_cache import ContentCache
from ft_assets.data.lookup import nearest_places
from ft_assets.paths import data_dir
from ft_assets.versions import hash_json

__all__ = ["KEY", "Memory", "Remembered", "exact_keys"]

_FILES = ("high", "low", "results")
_AT_ONCE = 1 << 16
"""Results that are put in order at once."""
KEY = np.dtype([("high", "<u8"), ("low", "<u8")])
"""What a text is known by."""


def exact_keys(texts: pl.Series) -> np.ndarray:
    """What tells texts apart, to the last blank: the first 16 bytes of SHA-256, as two numbers (`high`, `low`).

    128 bits, and of a hash that nobody can find a second text for: what was said of one text is never taken for
    another's. None of the texts may be missing.
    """
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:16] for text in texts)
    return np.frombuffer(digests, KEY)


@dataclass(frozen=True)
class Memory:
    """Where results are kept.

    Attributes:
        folder: None: nothing is kept.
        made_by: Hash of all code and libraries that results depend on.
        forgets: Whether what was not asked for goes when something is added; not where only a part of the texts is
            looked at.
    """

    folder: Path | None = None
    made_by: str = ""
    forgets: bool = True

    def of(self, what: str, record: np.dtype[Any], **settings: Any) -> Remembered:
        """Results of one sort.

        Args:
            what: Its name.
            record: How a result is stored; no objects.
            settings: What else it depends on, as plain JSON.
        """
        key = hash_json({"made_by": self.made_by, "record": record.descr, **settings})
        return Remembered(self.folder / what if self.folder else None, key, record, forgets=self.forgets)

    def of_more(self) -> Memory:
        """The same for a part of the texts that it is about."""
        return replace(self, forgets=False)


class Remembered:
    """Results of one sort, by the keys of the texts (`exact_keys`).

    Args:
        folder: None: nothing is kept.
        key: Hash of all that decides what the result of a text is.
        record: How a result is stored.
        forgets: Whether `settle` leaves out what was not asked for.
    """

    def __init__(self, folder: Path | None, key: str, record: np.dtype[Any], *, forgets: bool = True) -> None:
        self._cache = ContentCache(folder) if folder else None
        self._key, self._record = key, record
        found = self._cache.read(key, self._read, ValueError) if self._cache else None
        no_keys = np.empty(0, np.uint64)
        nothing: tuple[np.ndarray, np.ndarray, np.ndarray] = no_keys, no_keys, np.empty(0, record)
        self._high, self._low, self._records = nothing if found is None else found
        self._used = np.full(len(self._high), not forgets)
        self._new: IO[bytes] | None = None

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of these texts are known, and the results of those."""
        if not len(self._high):
            return np.zeros(len(keys), bool), np.empty(0, self._record)
        place = nearest_places(self._high, keys["high"])
        # Of two with one `high` the second is not found, and computed anew.
        known = (self._high[place] == keys["high"]) & (self._low[place] == keys["low"])
        self._used[place[known]] = True
        return known, self._records[place[known]]

    def add(self, keys: np.ndarray, results: np.ndarray) -> None:
        """Take in what was not known.

        Raises:
            OSError: there is no room left on the disk.
        """
        if self._cache is None or not len(keys):
            return
        if self._new is None:
            data_dir().mkdir(parents=True, exist_ok=True)
            self._new = TemporaryFile(dir=data_dir())  # noqa: SIM115 - closed in `settle`; it has no name
        both = np.empty(len(keys), self._both)
        both["key"], both["result"] = keys, results
        both.tofile(self._new)

    def settle(self) -> None:
        """Keep what was added since it was opened, with what was known; nothing is done if nothing was added.

        Nothing is asked of it afterwards.
        """
        if self._new is None or self._cache is None:
            return
        with self._new:
            self._new.flush()
            new = np.memmap(self._new, self._both, "r")
            self._cache.write(self._key, lambda folder: self._write(folder, new))
        self._cache.keep(only=[self._key])

    @property
    def _both(self) -> np.dtype[Any]:
        return np.dtype([("key", KEY), ("result", self._record)])

    def _read(self, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # An empty file cannot be mapped; nothing is written without a result.
        high, low = (np.memmap(folder / name, "<u8", "r") for name in _FILES[:2])
        return high, low, np.memmap(folder / _FILES[2], self._record, "r")

    def _write(self, folder: Path, new: np.ndarray) -> None:
        """Old and new results in the order of their keys, range by range: of all keys at once there may be too many."""
        ranges = 1 + (len(self._high) + len(new)) // _AT_ONCE
        bounds = np.array([2**64 * number // ranges for number in range(1, ranges)], np.uint64)
        cuts = [0, *np.searchsorted(self._high, bounds), len(self._high)]
        of = np.empty(len(new), np.uint16)
        for part in _slices(len(new)):
            of[part] = np.searchsorted(bounds, new["key"]["high"][part], "right")
        with ExitStack() as stack:
            files = [stack.enter_context((folder / name).open("wb")) for name in _FILES]
            for number in range(ranges):
                earlier = cuts[number] + np.flatnonzero(self._used[cuts[number] : cuts[number + 1]])
                later = new[np.flatnonzero(of == number)]
                high = np.concatenate([self._high[earlier], later["key"]["high"]])
                low = np.concatenate([self._low[earlier], later["key"]["low"]])
                order = np.lexsort((low, high))
                again = (np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)
                order = order[~np.append(False, again)[: len(order)]]
                results = np.concatenate([self._records[earlier], later["result"]])
                for file, values in zip(files, (high, low, results), strict=True):
                    values[order].tofile(file)


def _slices(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _AT_ONCE):
        yield slice(start, start + _AT_ONCE)
