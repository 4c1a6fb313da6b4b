"""What every stage of the data layer shares: the columns of its tables, the id of an example, `StageTables`.

Not here: what a stage does with rows (`readers`, `cleaning`, `labels`, `splits`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.rules import rule

__all__ = [
    "CLEANED_SCHEMA",
    "LABELED_SCHEMA",
    "MERGED_SCHEMA",
    "PAIRS_SCHEMA",
    "QUARANTINE_SCHEMA",
    "RAW_SCHEMA",
    "SPLIT_SCHEMA",
    "StageTables",
    "conform",
    "counts",
    "digests",
    "example_ids",
    "from_polars",
    "occurrences",
    "quarantine_rows",
    "to_polars",
]


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")
# `context` holds what stood before the text of a conversation; it is null where a text stands alone.
# `time` is when the row was made, where a column says so; `split` the split that its source is for, if it is for one.
RAW_SCHEMA = _schema(
    example_id=_TEXT,
    source=_TEXT,
    file=_TEXT,
    row=pa.int64(),
    context=_TEXT,
    text=_TEXT,
    label=_TEXT,
    group=_TEXT,
    time=_TIME,
    split=_TEXT,
)
CLEANED_SCHEMA = _schema(
    example_id=_TEXT,
    context=_TEXT,
    text=_TEXT,
    text_key=_TEXT,
    label=_TEXT,
    group=_TEXT,
    time=_TIME,
    split=_TEXT,
)
# `disagreement` is the share of a text's ratings that are for another label, null where it was not rated;
# `corrected` the day on which a person has decided the label, null where nobody has.
LABELED_SCHEMA = pa.schema(
    [*CLEANED_SCHEMA, *_schema(cluster=_TEXT, disagreement=pa.float64(), corrected=_TEXT)]
)
SPLIT_SCHEMA = _schema(example_id=_TEXT, context=_TEXT, text=_TEXT, label=_TEXT, cluster=_TEXT)
QUARANTINE_SCHEMA = _schema(
    example_id=_TEXT, stage=_TEXT, rule=_TEXT, reason=_TEXT, text=_TEXT, file=_TEXT, row=pa.int64()
)
# All but `merged_into` and `rule` is the row's own, and may differ from what the row has that it was merged into: in
# upper and lower case, too.
MERGED_SCHEMA = _schema(
    example_id=_TEXT,
    text_key=_TEXT,
    merged_into=_TEXT,
    rule=_TEXT,
    context=_TEXT,
    text=_TEXT,
    group=_TEXT,
    split=_TEXT,
)
PAIRS_SCHEMA = _schema(example_id_a=_TEXT, example_id_b=_TEXT, similarity=pa.float64())


@dataclass(frozen=True, eq=False)
class StageTables:
    """What a stage makes of its rows: every row that came in is in exactly one of the three tables.

    Attributes:
        examples: The rows kept, in the stage's schema.
        quarantine: The rows refused, each with stage, rule and reason (`QUARANTINE_SCHEMA`).
        merged: The rows merged into a kept row (`MERGED_SCHEMA`).
        summary: Plain JSON for people and checks: rows_in, kept, merged, quarantined, by_rule and more. Where rows
            were left out because they are to be erased, `erased` counts them.
        near_duplicates: Pairs of rows, kept or merged, whose texts are near duplicates (`PAIRS_SCHEMA`); None: nobody
            has looked for them.
    """

    examples: pa.Table
    quarantine: pa.Table = field(default_factory=QUARANTINE_SCHEMA.empty_table)
    merged: pa.Table = field(default_factory=MERGED_SCHEMA.empty_table)
    summary: dict[str, Any] = field(default_factory=dict)
    near_duplicates: pa.Table | None = None


def digests(source: str, records: Iterable[Sequence[bytes | None]]) -> list[bytes]:
    """What makes a source's records equal: the first 16 bytes of SHA-256 over source name and input fields.

    Fields are length-prefixed, so that no two records collide by concatenation, and a missing field differs
    from an empty one.

    Args:
        source: Name of the source.
        records: The input fields of each row in UTF-8.
    """
    head = _prefixed(source.encode())
    return [hashlib.sha256(head + b"".join(map(_prefixed, fields))).digest()[:16] for fields in records]


def occurrences(digests: pa.ChunkedArray) -> np.ndarray:
    """How many equal digests (`pa.binary(16)`, none missing) stand before each one."""
    words = [
        np.frombuffer(chunk.buffers()[1], np.uint64).reshape(-1, 2)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in digests.chunks
        if len(chunk)
    ]
    both = np.concatenate([np.empty((0, 2), np.uint64), *words])
    order = np.lexsort((both[:, 1], both[:, 0]))  # it keeps the order of equal ones
    both = both[order]
    is_first = np.ones(len(both), dtype=bool)
    is_first[1:] = (both[1:] != both[:-1]).any(axis=1)
    place = np.arange(len(both))
    found = np.empty(len(both), dtype=np.int64)
    found[order] = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return found


def example_ids(digests: Iterable[bytes], occurrences: Iterable[int]) -> list[str]:
    """Ids of records: 16 hex digits of SHA-256 over digest and occurrence number.

    64 bits: among 5 million examples two ids collide with a chance of one in a million. Label, file and row do not
    enter: an id survives a corrected label, a moved row and a renamed file. Only where a text stands several times
    does the order among its rows decide which one is the first.
    """
    return [
        hashlib.sha256(b"%b%d" % (digest, number)).hexdigest()[:16]
        for digest, number in zip(digests, occurrences, strict=True)
    ]


def _prefixed(value: bytes | None) -> bytes:
    return b"-:" if value is None else b"%d:%b" % (len(value), value)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns that the schema names, in its order and with its types."""
    return table.select(schema.names).cast(schema)


def to_polars(table: pa.Table) -> pl.DataFrame:
    """The table as a polars frame (no copy where types allow)."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table never becomes a series
    return frame


def from_polars(frame: pl.DataFrame, schema: pa.Schema, *, sort: bool = True) -> pa.Table:
    """The frame as a table of the schema, sorted by example_id unless told otherwise."""
    if sort:
        frame = frame.sort("example_id")
    return conform(frame.to_arrow(), schema)


def quarantine_rows(refused: pl.DataFrame, stage: str) -> pa.Table:
    """A quarantine table from rows with rule and reason; file and row are null where the stage has none."""
    defaults = {"text": pl.String, "file": pl.String, "row": pl.Int64}
    missing = [
        pl.lit(None, kind).alias(name) for name, kind in defaults.items() if name not in refused.columns
    ]
    return from_polars(refused.with_columns(pl.lit(stage).alias("stage"), *missing), QUARANTINE_SCHEMA)


def counts(rows_in: int, examples: pa.Table, quarantine: pa.Table, merged: pa.Table) -> dict[str, Any]:
    """The part of a summary that every stage has. `rows_in` is counted by itself: a check compares.

    Raises:
        ValueError: rows were refused or merged by a rule that `rules` does not list.
    """
    rules = pc.value_counts(
        pa.concat_arrays([*quarantine["rule"].chunks, *merged["rule"].chunks, pa.array([], _TEXT)])
    )
    by_rule = {rule(entry["values"]).name: entry["counts"] for entry in rules.to_pylist()}
    return {
        "rows_in": rows_in,
        "kept": examples.num_rows,
        "merged": merged.num_rows,
        "quarantined": quarantine.num_rows,
        "by_rule": dict(sorted(by_rule.items())),
    }
