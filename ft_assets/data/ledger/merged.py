"""Rows that were merged into others: what the ledger knows of them holds for those, and what comes later does not take
the place of what was there.

Which of several equal rows is kept, or of near duplicates, may change: when another one comes in, or a person confirms
the label of one. What is kept then belongs where those belong that it stands for, or a text would change its side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import MERGED_SCHEMA, to_polars
from ft_assets.data.ledger.assignment import look_up
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.ledger.keys import TEXT, example_keys, text_keys
from ft_assets.data.ledger.reasons import HOW, KIND

__all__ = ["Merged", "merged_into"]

_STEPS = 4
"""Rows are merged as equal when they are cleaned and when they are labelled, and then as near duplicates."""


@dataclass(frozen=True)
class Merged:
    """Rows that were merged into others, and the side that each is known to be on.

    Attributes:
        rows: `example`, `text`; `into` (place of the row that is kept), `equal` (whether that has the same text),
            `by_id`, `by_text` (as recorded), `line` (place in the table). A line each.
        table: `MERGED_SCHEMA` rows.
    """

    rows: pl.DataFrame
    table: pa.Table

    def handed_on(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Entries by which a row that nothing is known of is where those are that were merged into it, test before all
        others: as if one of them had its text.

        Args:
            rows: `assignment.ROWS`. A row of a source that is for one split is told by that, unless what is handed on
                comes before it.
        """
        known = self.rows.with_columns(pl.coalesce("by_id", "by_text").alias("side")).drop_nulls("side")
        known = known.filter(~pl.col("equal"))
        kept = rows[known["into"]]
        return (
            known.select("example", "side")
            .with_columns(kept["text"].alias("key"), pl.lit("row", KIND).alias("kind"))
            .filter((known["side"] < kept["meant"]).fill_null(True))
            .sort("side", "key", "example")
        )

    def known_before(self, examples: pl.Series, entries: Entries) -> pl.DataFrame:
        """Of the rows whose text is that of the row that is kept, those that were recorded before it: `into` and
        `line`. If there are several, it is the one that comes first, by its side and then by its age.

        Args:
            examples: of all rows that are kept.
            entries: What is recorded.
        """
        equal = self.rows.filter(pl.col("equal") & pl.col("by_id").is_not_null())
        kept = equal.select(examples.gather(equal["into"]).alias("example"), "into").unique("into")
        every = pl.concat([equal, kept], how="diagonal")
        recorded = entries.rows.with_row_index("since").filter(
            pl.col("example").is_in(every["example"].implode())
        )
        ages = recorded.group_by("example").agg(pl.col("side", "since").sort_by("since").first())
        ranked = every.join(ages, on="example", how="left").sort("side", "since", nulls_last=True)
        first = ranked.unique("into", keep="first", maintain_order=True).drop_nulls("line")
        has_text = pl.Series(
            self.table["text"].is_valid(), dtype=pl.Boolean
        )  # not in what an older version has made
        return first.filter(has_text.gather(first["line"])).select("into", "line").sort("into")

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
                pl.lit("row", KIND).alias("kind"),
                pl.col("text").alias("key"),
                "example",
                pl.coalesce("by_id", "by_text", "side").alias("side"),
                pl.lit("merged", HOW).alias("rule"),
                pl.lit(None, TEXT).alias("cluster"),
            )
            .sort("key", "example")
        )


def merged_into(table: pa.Table, merged: Sequence[pa.Table], entries: Entries) -> Merged:
    """The rows that were merged, each with the row that is kept in the end.

    Args:
        table: example_id and text_key of the rows that are kept.
        merged: `MERGED_SCHEMA` rows, as each stage has them. Those of a row that was refused are left out.
        entries: what is recorded.
    """
    # What an older version has made has fewer columns.
    table_of_merged = pa.concat_tables([MERGED_SCHEMA.empty_table(), *merged], promote_options="default")
    rows = to_polars(table_of_merged.select(["example_id", "text_key", "merged_into"])).with_row_index("line")
    steps = rows.select(pl.col("example_id").alias("merged_into"), pl.col("merged_into").alias("next"))
    for _ in range(_STEPS):
        rows = (
            rows.join(steps, on="merged_into", how="left", maintain_order="left")
            .with_columns(pl.coalesce("next", "merged_into").alias("merged_into"))
            .drop("next")
        )
    ids = table["example_id"]
    wanted = rows["merged_into"].unique().to_arrow().cast(pa.string())
    places = pc.indices_nonzero(pc.is_in(ids, value_set=wanted))
    of_merged = pc.index_in(
        rows["merged_into"].to_arrow().cast(pa.string()), value_set=ids.take(places).combine_chunks()
    )
    rows = rows.with_columns(pl.Series("into", places.take(of_merged), dtype=pl.UInt32)).drop_nulls("into")
    texts = text_keys(table["text_key"].take(rows["into"].to_arrow()))
    example = example_keys(_column(rows["example_id"]))
    text = text_keys(_column(rows["text_key"]))
    return Merged(
        rows.select("line", "into").with_columns(
            example.alias("example"),
            text.alias("text"),
            (text == texts).alias("equal"),
            look_up(example, entries.rows.select("example", "side")).alias("by_id"),
            look_up(text, entries.rows.select("text", "side")).alias("by_text"),
        ),
        table_of_merged,
    )


def _column(values: pl.Series) -> pa.ChunkedArray:
    return pa.chunked_array([values.to_arrow().cast(pa.string())])
