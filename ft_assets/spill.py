"""Tables that may be larger than memory: what does not fit lies on disk and is mapped.

A table collected here is a `pyarrow.Table` like any other. Its bytes are a file's, so the kernel reads them when they
are looked at and drops them when memory is short; the file has no name and goes with its table, however the process
ends. Whoever looks at texts does so slice by slice (`slices`), and keeps no more than numbers of all rows.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from ft_assets.paths import data_dir

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["SLICE_ROWS", "Spill", "collected", "slices", "take"]

IN_MEMORY = 64 * 2**20
"""Bytes that a table may have before it goes to disk."""
SLICE_BYTES = 16 * 2**20
SLICE_ROWS = 50_000
"""How much of a table is worked on at a time."""


class Spill:
    """Collects the parts of one table, in order.

    Args:
        schema: That of every part.
        in_memory: Bytes that are kept before the table goes to disk.
    """

    def __init__(self, schema: pa.Schema, in_memory: int | None = None) -> None:
        self._schema = schema
        self._in_memory = IN_MEMORY if in_memory is None else in_memory
        self._parts: list[pa.Table] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._writer: Any = None

    def add(self, part: pa.Table) -> None:
        """Appends rows.

        Raises:
            OSError: there is no room left on the disk.
        """
        if self._writer is not None:
            self._writer.write_table(part, max_chunksize=SLICE_ROWS)
            return
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._bytes > self._in_memory:
            self._open()

    def table(self) -> pa.Table:
        """All rows; nothing is added after it."""
        import pyarrow as pa

        if self._file is None:
            return pa.concat_tables([self._schema.empty_table(), *self._parts])
        self._writer.close()
        self._file.flush()
        with self._file:
            # The mapping outlives its file, and the table's buffers keep the mapping.
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()

    def _open(self) -> None:
        import pyarrow as pa

        # Not the system's folder for such files: where that is kept in memory, nothing would be gained.
        data_dir().mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=data_dir())  # noqa: SIM115 - closed when it is mapped
        self._writer = pa.ipc.new_stream(self._file, self._schema)
        parts, self._parts = self._parts, []
        for part in parts:
            self._writer.write_table(part, max_chunksize=SLICE_ROWS)


def collected(parts: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """The parts as one table of the schema, on disk if it is large.

    Raises:
        OSError: there is no room left on the disk.
    """
    spill = Spill(schema)
    for part in parts:
        spill.add(part)
    return spill.table()


def slices(table: pa.Table) -> Iterator[pa.Table]:
    """The table in parts of some 16 MiB and 50,000 rows at most, or of one row, none of them copied;
    one part without rows where there are none."""
    rows = min(SLICE_ROWS, max(1, SLICE_BYTES * table.num_rows // max(table.nbytes, 1)))
    for start in range(0, max(table.num_rows, 1), rows):
        yield from _halves(table.slice(start, rows))


def take(table: pa.Table, places: np.ndarray) -> pa.Table:
    """The rows at these places, in their order, each at most once; on disk if the table is large.

    In rising order it is read once. Else its rows go into buckets on disk, each of neighbours in the new order, and
    each bucket is put in order by itself: reading back and forth would be slow where the table does not fit.
    """
    import numpy as np

    if table.nbytes <= IN_MEMORY:
        return table.take(places)
    places = np.asarray(places, dtype=np.int64)
    if (np.diff(places) > 0).all():
        return collected(_rising(table, places), table.schema)
    return collected(_by_buckets(table, places), table.schema)


def _halves(part: pa.Table) -> Iterator[pa.Table]:
    """The part, halved where its rows are much longer than the table's others."""
    if part.num_rows <= 1 or part.nbytes <= 2 * SLICE_BYTES:
        yield part
        return
    half = part.num_rows // 2
    yield from _halves(part.slice(0, half))
    yield from _halves(part.slice(half))


def _rising(table: pa.Table, places: np.ndarray) -> Iterator[pa.Table]:
    start = 0
    for part in slices(table):
        first, last = places.searchsorted([start, start + part.num_rows])
        yield part.take(places[first:last] - start)
        start += part.num_rows


def _by_buckets(table: pa.Table, places: np.ndarray) -> Iterator[pa.Table]:
    import numpy as np

    rank = np.full(table.num_rows, -1, dtype=np.int64)
    rank[places] = np.arange(len(places))
    number = 1 + table.nbytes // IN_MEMORY
    rows = 1 + len(places) // number
    buckets = [Spill(table.schema, in_memory=0) for _ in range(number)]
    ranks: list[list[np.ndarray]] = [[] for _ in range(number)]
    start = 0
    for part in slices(table):
        new = rank[start : start + part.num_rows]
        start += part.num_rows
        wanted = np.flatnonzero(new >= 0)
        wanted = wanted[np.argsort(new[wanted])]
        taken, new = part.take(wanted), new[wanted]
        bounds = np.searchsorted(new, rows * np.arange(number + 1))
        for bucket, first, last in zip(range(number), bounds, bounds[1:], strict=False):
            if first < last:
                buckets[bucket].add(taken.slice(first, last - first))
                ranks[bucket].append(new[first:last])
    for bucket, spill in enumerate(buckets):
        if ranks[bucket]:
            yield spill.table().take(np.argsort(np.concatenate(ranks[bucket])))
        buckets[bucket] = Spill(table.schema)  # its file is not needed any more
