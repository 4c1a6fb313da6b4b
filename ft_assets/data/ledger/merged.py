"""Rows that were merged into one with another text, as near duplicates are: the ledger knows them by that one.

Which of near duplicates is kept may change: when another one comes in, or a person confirms the label of one. What is
kept then belongs where those belong that it stands for, or a text would change its side. Exact duplicates need nothing
of this: they have one text key, and the ledger knows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.ledger.assignment import look_up
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.ledger.keys import TEXT, example_keys, text_keys

__all__ = ["Merged", "merged_into"]


@dataclass(frozen=True)
class Merged:
    """Rows that were merged into others, and the side that each is known to be on.

    Attributes:
        rows: `example`, `text`, `into` (place of the row that it was merged into), `by_id`, `by_text` (as recorded), a
            line each.
    """

    rows: pl.DataFrame

    def handed_on(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Entries by which a row that nothing is known of is where those are that were merged into it, test before all
        others: as if one of them had its text.

        Args:
            rows: `assignment.ROWS`. A row of a source that is for one split is told by that.
        """
        known = self.rows.with_columns(pl.coalesce("by_id", "by_text").alias("side")).drop_nulls("side")
        kept = rows[known["into"]]
        return (
            known.select("example", "side")
            .with_columns(kept["text"].alias("key"), pl.lit("row").alias("kind"))
            .filter(kept["meant"].is_null())
            .sort("side", "key", "example")
        )

    def entries(self, sides: pl.Series) -> pl.DataFrame:
        """What is to be recorded of them: where they were, or where the row is that they were merged into.

        Args:
            sides: of all rows, null for those that are quarantined.
        """
        unknown = self.rows.filter(pl.col("by_id").is_null() | pl.col("by_text").is_null())
        return (
            unknown.with_columns(sides.gather(unknown["into"]).alias("side"))
            .drop_nulls("side")
            .select(
                pl.lit("row").alias("kind"),
                pl.col("text").alias("key"),
                "example",
                pl.coalesce("by_id", "by_text", "side").alias("side"),
                pl.lit("merged").alias("rule"),
                pl.lit(None, TEXT).alias("cluster"),
            )
            .sort("key", "example")
        )


def merged_into(table: pa.Table, merged: pa.Table, entries: Entries) -> Merged:
    """The merged rows that have another text than the row that they were merged into.

    Args:
        table: example_id and text_key of the rows that are kept.
        merged: `MERGED_SCHEMA` rows.
        entries: what is recorded.
    """
    ids = table["example_id"]
    places = pc.indices_nonzero(pc.is_in(ids, value_set=merged["merged_into"].combine_chunks()))
    of_merged = pc.index_in(merged["merged_into"], value_set=ids.take(places).combine_chunks())
    into = places.take(of_merged)
    # Equal rows of one that was merged itself have its key.
    merged, into = merged.filter(pc.is_valid(into)), into.drop_null()
    other = pc.not_equal(merged["text_key"], table["text_key"].take(into))
    merged, into = merged.filter(other), into.filter(other)
    example, text = example_keys(merged["example_id"]), text_keys(merged["text_key"])
    return Merged(
        pl.DataFrame(
            {
                "example": example,
                "text": text,
                "into": pl.Series(into, dtype=pl.UInt32),
                "by_id": look_up(example, entries.rows.select("example", "side")),
                "by_text": look_up(text, entries.rows.select("text", "side")),
            }
        )
    )
