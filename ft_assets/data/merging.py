"""Rows with one text: which of them are merged, and into which.

Only rows whose text stands more than once are looked at as rows; of all others their key is enough.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import MERGED_SCHEMA, from_polars, to_polars
from ft_assets.spill import slices, take

__all__ = [
    "EXACT_DUPLICATE",
    "keep_by_id",
    "key_words",
    "merge",
    "merged_table",
    "repeated",
    "several_groups",
]

EXACT_DUPLICATE = "exact_duplicate"


def key_words(table: pa.Table, column: str = "text_key") -> np.ndarray:
    """A column of hex digits (32 for each row) as numbers: two unsigned ones of 64 bits a row."""
    parts = [np.empty((0, 2), ">u8")]
    for part in slices(table.select([column])):
        digits = "".join(part[column].to_pylist())
        parts.append(np.frombuffer(bytes.fromhex(digits), ">u8").reshape(-1, 2))
    return np.concatenate(parts).astype(np.uint64)


def repeated(table: pa.Table) -> pl.DataFrame:
    """The rows whose text_key stands more than once: place (number of the row), example_id, text_key, label, group."""
    words = key_words(table)
    places = pl.DataFrame({"high": words[:, 0], "low": words[:, 1]}).is_duplicated().arg_true().to_numpy()
    rows = to_polars(take(table.select(["example_id", "text_key", "label", "group"]), places))
    return rows.insert_column(0, pl.Series("place", places.astype(np.int64)))


def merge(rows: pl.DataFrame) -> pl.DataFrame:
    """Of rows equal in text_key and label, those that are merged into the one with the smallest
    (group or "", example_id): the rows with `merged_into`.

    Args:
        rows: what `repeated` gives.
    """
    ordered = rows.sort(pl.col("group").fill_null(""), "example_id")
    into = ordered.with_columns(pl.col("example_id").first().over("text_key", "label").alias("merged_into"))
    return into.filter(pl.col("merged_into") != pl.col("example_id"))


def merged_table(merged: pl.DataFrame) -> pa.Table:
    """What was merged, as a stage's table (`MERGED_SCHEMA`)."""
    return from_polars(merged.with_columns(pl.lit(EXACT_DUPLICATE).alias("rule")), MERGED_SCHEMA)


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
