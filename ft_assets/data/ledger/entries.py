"""What is recorded: the split of each row and group. Reading it into memory, and writing more of it.

Not here: the files and their order (`chain`); which split a row is in (`assignment`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.content_cache import ContentCache
from ft_assets.data.ledger.chain import Ledger, Segment
from ft_assets.data.ledger.keys import GROUP, ROW, TEXT, example_keys, numbers, to_binary

__all__ = ["ENTRIES", "SIDES", "Entries", "find", "read", "record"]

SIDES = ("test", "validation", "train")
"""The splits, in the order in which one goes before another where rows that belong together are on several sides."""
ENTRIES = pa.schema(
    [
        ("kind", pa.string()),  # row or group
        ("key", pa.binary(16)),  # of its text, or of the group
        ("example", pa.binary(8)),  # null for a group
        ("split", pa.string()),
        ("rule", pa.string()),
        (
            "cluster",
            pa.binary(16),
        ),  # the smallest text key of the cluster that it was recorded with; null: its own
    ]
)
_WORDS = ["kind", "split", "rule"]
_READ = ["kind", "key", "example", "split"]
_SEGMENTS_TOGETHER = 256
_ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Entries:
    """What a ledger says, in memory: 25 bytes a row.

    Attributes:
        rows: `text`, `example`, `side` (place in `SIDES`) of each recorded row.
        groups: `group`, `side` of each recorded group.
    """

    rows: pl.DataFrame
    groups: pl.DataFrame

    @classmethod
    def none(cls) -> Entries:
        """Those of a ledger that has recorded nothing."""
        return cls(
            pl.DataFrame(schema={"text": TEXT, "example": ROW, "side": pl.UInt8}),
            pl.DataFrame(schema={"group": GROUP, "side": pl.UInt8}),
        )

    def with_entries(self, new: pl.DataFrame) -> Entries:
        """These and some more: `kind`, `key`, `example` and `side`, as `assignment` gives them."""
        is_row = pl.col("kind") == "row"
        rows = new.filter(is_row).select(pl.col("key").alias("text"), "example", "side")
        groups = new.filter(~is_row).select(pl.col("key").alias("group"), "side")
        return Entries(pl.concat([self.rows, rows]), pl.concat([self.groups, groups]))


def read(ledger: Ledger, kept: ContentCache | None = None) -> Entries:
    """All that a ledger says.

    Args:
        ledger: the ledger, verified as it was opened.
        kept: keeps what many segments say in one file, known by the hash of the last of them, which stands for all
            before. A segment costs half a millisecond, and a run an hour makes 9,000 of them in a year.
    """
    segments = ledger.of_kind("entries")
    whole = len(segments) - len(segments) % _SEGMENTS_TOGETHER if kept else 0
    first, end = _kept(kept, segments, whole) if kept else ([], 0)
    if kept and end < whole:
        first = [*first, *_batches(ledger, segments[end:whole])]
        kept.write(segments[whole - 1].sha256, lambda folder: _keep(folder, first))
        kept.keep(most=1)
    rows, groups = [Entries.none().rows], [Entries.none().groups]
    for table in _together(chain(first, _batches(ledger, segments[whole:]))):
        part = Entries.none().with_entries(_in_numbers(table))
        rows.append(part.rows)
        groups.append(part.groups)
    return Entries(pl.concat(rows, rechunk=True), pl.concat(groups, rechunk=True))


def _kept(kept: ContentCache, segments: Sequence[Segment], whole: int) -> tuple[list[pa.RecordBatch], int]:
    """What is kept of the first segments, and of how many of them."""
    for end in range(whole, 0, -_SEGMENTS_TOGETHER):
        found = kept.read(segments[end - 1].sha256, _read_kept, ValueError)
        if found is not None:
            return found, end
    return [], 0


def _keep(folder: Path, batches: Sequence[pa.RecordBatch]) -> None:
    path = folder / "entries.parquet"
    with pq.ParquetWriter(path, batches[0].schema, compression="zstd") as writer:
        for table in _together(batches):
            writer.write_table(table)


def _read_kept(folder: Path) -> list[pa.RecordBatch]:
    return list(_batches_of(folder / "entries.parquet"))


def _batches(ledger: Ledger, segments: Iterable[Segment]) -> Iterator[pa.RecordBatch]:
    for segment in segments:
        yield from _batches_of(ledger.file_of(segment))


def _batches_of(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_ROWS_AT_ONCE, columns=_READ)


def _together(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of many batches: each costs a millisecond, however small it is."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)


def record(
    ledger: Ledger,
    new: pl.DataFrame,
    *,
    settings: Mapping[str, Any],
    made_from: str,
    at: datetime,
    boundaries: Mapping[str, str] | None = None,
) -> Ledger:
    """The ledger with entries more; as it is where there are none. The caller holds the lock.

    Args:
        ledger: the ledger, opened since the lock is held.
        new: `kind`, `key`, `example`, `side`, `rule`, `cluster`, as `assignment` gives them.
        settings: by which was drawn.
        made_from: the data version of the labelled rows.
        at: when.
        boundaries: by which rows were dealt by time, if they were (`periods`).

    Raises:
        UserError: somebody else has written to it, or the disk is full.
    """
    if not new.height:
        return ledger

    def write(path: Path) -> None:
        # Keys are random: dictionaries do nothing for them.
        with pq.ParquetWriter(path, ENTRIES, compression="zstd", use_dictionary=_WORDS) as writer:
            for part in new.iter_slices(_ROWS_AT_ONCE):
                writer.write_batch(_in_bytes(part))

    rules = dict(sorted(new["rule"].value_counts().iter_rows()))
    sides = new["side"].filter(new["kind"] == "row").value_counts().iter_rows()
    splits = dict(sorted((SIDES[side], count) for side, count in sides))
    about = {"splits": splits, "rules": rules, "settings": dict(settings), "made_from": made_from}
    about |= {"boundaries": dict(boundaries)} if boundaries else {}
    return ledger.add("entries", at, about, write)


def find(ledger: Ledger, example_id: str) -> list[dict[str, Any]]:
    """What is recorded of a row, oldest first: `split`, `rule`, `at`, `segment`."""
    wanted = to_binary(example_keys(pa.chunked_array([[example_id]])))[0]
    found = []
    for segment in ledger.of_kind("entries"):
        rows = pq.read_table(
            ledger.file_of(segment), columns=["split", "rule"], filters=pc.field("example") == wanted
        )
        for row in rows.to_pylist():
            found.append({**row, "at": segment.record["at"], "segment": segment.number})
    return found


def _in_numbers(table: pa.Table) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(table))
    sides = {name: place for place, name in enumerate(SIDES)}
    return frame.select(
        "kind",
        numbers(frame["key"], TEXT),
        numbers(frame["example"], ROW),
        pl.col("split").replace_strict(sides, return_dtype=pl.UInt8).alias("side"),
    )


def _in_bytes(entries: pl.DataFrame) -> pa.RecordBatch:
    columns = {
        "kind": entries["kind"].cast(pl.String).to_arrow(),
        "key": to_binary(entries["key"]),
        "example": to_binary(entries["example"]),
        "split": _split_names(entries).to_arrow(),
        "rule": entries["rule"].cast(pl.String).to_arrow(),
        "cluster": to_binary(entries["cluster"]),
    }
    return pa.record_batch(columns).cast(ENTRIES)


def _split_names(entries: pl.DataFrame) -> pl.Series:
    return entries["side"].replace_strict(range(len(SIDES)), SIDES, return_dtype=pl.String)
