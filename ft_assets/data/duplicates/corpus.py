"""The texts that are compared, read where they lie. Of all rows at once only the keys are held, in a file without a
name, and those only where something is remembered by them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import polars as pl
import pyarrow as pa

from ft_assets.data.examples import to_polars
from ft_assets.data.remembered import KEY, exact_keys
from ft_assets.data.texts import read_texts
from ft_assets.spill import SLICE_ROWS, slices

__all__ = ["Corpus"]


class Corpus:
    """Texts of some rows of a table, numbered from 0 in its order.

    Args:
        table: `context` and `text`; larger than memory, if it is mapped.
        chosen: Whether each row is one of them; None: all are.
    """

    def __init__(self, table: pa.Table, chosen: np.ndarray | None = None) -> None:
        self._table = table.select(["context", "text"])
        self._places = None if chosen is None else np.flatnonzero(chosen).astype(np.int32)
        """Where each text stands in the table; None: all of them do, in their order."""
        self._batches = self._table.to_batches(max_chunksize=SLICE_ROWS)
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self.keys = np.empty(0, KEY)

    def __len__(self) -> int:
        return self._table.num_rows if self._places is None else len(self._places)

    def keep_keys(self, place: Path, files: ExitStack) -> None:
        """Make room for the key of each text; `slices` fills it."""
        file = files.enter_context(TemporaryFile(dir=place))  # noqa: SIM115 - closed with the others
        if len(self):
            self.keys = np.memmap(file, KEY, "w+", shape=(len(self),))

    def slices(self) -> Iterator[tuple[np.ndarray, pl.Series]]:
        """All texts in their order: numbers of the rows, and what stands there."""
        start = 0
        for part in slices(self._table):
            end = start + part.num_rows
            first, last = (
                (start, end) if self._places is None else np.searchsorted(self._places, [start, end])
            )
            texts = read_texts(to_polars(part))
            if self._places is not None and last - first < part.num_rows:
                texts = texts.gather(self._places[first:last] - start)
            start = end
            if len(self.keys):
                self.keys[first:last] = exact_keys(texts)
            yield np.arange(first, last), texts

    def at(self, rows: np.ndarray) -> pl.Series:
        """What stands in these rows, in rising order."""
        places = rows if self._places is None else self._places[rows]
        cuts = np.searchsorted(places, self._starts)
        parts = [
            batch.take(pa.array(places[first:last] - start))
            for batch, start, first, last in zip(self._batches, self._starts, cuts, cuts[1:], strict=False)
            if first < last
        ]
        return read_texts(to_polars(pa.Table.from_batches(parts, self._table.schema)))
