"""Rows with one text: which of them are merged, and into which.

Only rows whose text stands more than once are looked at as rows; of all others their key is enough.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import MERGED_SCHEMA, conform, to_polars
from ft_assets.spill import slices, take

__all__ = [
    "EXACT_DUPLICATE",
    "first_seen",
    "keep_by_id",
    "key_words",
    "merge",
    "merged_table",
    "precedence",
    "repeated",
    "several_groups",
    "split_rank",
    "with_times",
]

EXACT_DUPLICATE = "exact_duplicate"


def key_words(table: pa.Table, column: str = "text_key") -> np.ndarray:
    """A column of hex digits (32 for each row) as numbers: two unsigned ones of 64 bits a row."""
    parts = [np.empty((0, 2), np.uint64)]
    for part in slices(table.select([column])):
        digits = "".join(part[column].to_pylist())
        parts.append(np.frombuffer(bytes.fromhex(digits), ">u8").reshape(-1, 2).astype(np.uint64))
    return np.concatenate(parts)


def repeated(table: pa.Table) -> pl.DataFrame:
    """The rows whose text_key stands more than once: place (number of the row), example_id, text_key, label, group,
    time, split."""
    places = _repeated_places(key_words(table))
    rows = to_polars(
        take(table.select(["example_id", "text_key", "label", "group", "time", "split"]), places)
    )
    return rows.insert_column(0, pl.Series("place", places.astype(np.int64)))


def _repeated_places(words: np.ndarray) -> np.ndarray:
    """Places of the keys that stand more than once, ascending. By sorting: a table of hashes of millions of keys takes
    several times their room."""
    order = np.argsort(words[:, 0])
    high = words[order, 0]
    same = np.append(False, high[1:] == high[:-1])[: len(high)]
    places = np.sort(order[same | np.append(same[1:], False)[: len(high)]])
    few = words[places]
    return places[pl.DataFrame({"high": few[:, 0], "low": few[:, 1]}).is_duplicated().to_numpy()]


def merge(rows: pl.DataFrame) -> pl.DataFrame:
    """Of rows equal in text_key and label, those that are merged into the first one (`precedence`): the rows with
    `merged_into`.

    Args:
        rows: what `repeated` gives.
    """
    ordered = rows.sort(*precedence())
    into = ordered.with_columns(pl.col("example_id").first().over("text_key", "label").alias("merged_into"))
    return into.filter(pl.col("merged_into") != pl.col("example_id"))


def precedence() -> list[pl.Expr]:
    """What of equal rows the first one is sorted by: the split that its source is for (`split_rank`), then the
    smallest (group or "", example_id)."""
    return [split_rank(), pl.col("group").fill_null(""), pl.col("example_id")]


def split_rank() -> pl.Expr:
    """0 for rows of a source that is for test, then validation, train, and none: no test row is lost to its copy in
    train."""
    return pl.col("split").replace_strict({"test": 0, "validation": 1, "train": 2}, default=3).fill_null(3)


def first_seen(table: pa.Table, rows: pl.DataFrame) -> pa.Table:
    """The table with the oldest time of those equal in text_key and label at each of them: that is when it was known.

    Args:
        table: the rows.
        rows: what `repeated` gives of them, or a part.
    """
    first = rows.select("place", pl.col("time").min().over("text_key", "label"))
    return with_times(table, first)


def with_times(table: pa.Table, rows: pl.DataFrame) -> pa.Table:
    """The table with other times (`place`, `time`) in some rows."""
    if rows["time"].null_count() == rows.height:
        return table
    times = to_polars(table.select(["time"]))["time"].scatter(rows["place"], rows["time"])
    place = table.schema.get_field_index("time")
    return table.set_column(place, table.schema.field(place), pa.chunked_array([times.to_arrow()]))


def merged_table(table: pa.Table, merged: pl.DataFrame, rule: str = EXACT_DUPLICATE) -> pa.Table:
    """What was merged, as a stage's table (`MERGED_SCHEMA`).

    Args:
        table: the rows.
        merged: those of them that were merged, with `place` and `merged_into`.
        rule: by which.
    """
    ordered = merged.sort("example_id").with_columns(pl.lit(rule).alias("rule"))
    texts = take(table.select(["context", "text"]), ordered["place"].to_numpy())
    narrow = conform(
        ordered.to_arrow(),
        pa.schema(field for field in MERGED_SCHEMA if field.name not in texts.column_names),
    )
    columns = {name: (texts if name in texts.column_names else narrow)[name] for name in MERGED_SCHEMA.names}
    return pa.table(columns, schema=MERGED_SCHEMA)


def keep_by_id(table: pa.Table, *dropped: pl.Series) -> pa.Table:
    """The rows without those at the dropped places, sorted by example_id."""
    kept = np.ones(table.num_rows, dtype=bool)
    for places in dropped:
        kept[places.to_numpy()] = False
    order = pc.sort_indices(table["example_id"]).to_numpy()
    return take(table, order[kept[order]])


def several_groups(rows: pl.DataFrame) -> int:
    """Texts (different text_keys) that stand under at least two groups.

    Args:
        rows: what `repeated` gives.
    """
    groups = rows.filter(pl.col("group").is_not_null()).group_by("text_key").agg(pl.col("group").n_unique())
    return int((groups["group"] > 1).sum())
