"""The labelled stage of a task whose model writes: the answer is the label, so nothing is mapped; rows get a cluster.

Several answers to one prompt are several examples. They have one cluster, so no split divides them.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import LABELED_SCHEMA, StageTables, counts, to_polars
from ft_assets.data.labels import clustered
from ft_assets.data.merging import keep_by_id, repeated, several_groups
from ft_assets.data.texts import answer_lengths
from ft_assets.spill import collected, slices

__all__ = ["answer"]


def answer(table: pa.Table) -> StageTables:
    """Give cleaned conversations their cluster.

    Args:
        table: `CLEANED_SCHEMA` rows.

    Returns:
        `LABELED_SCHEMA` rows. Beyond the common counts the summary has `answer_lengths` (histogram and quartiles of
        characters), `without_answer` (plain texts), `clusters`, and `texts_in_several_groups`.
    """
    same = repeated(table)
    # Equal prompts under several groups stay together: under the smallest group, as duplicates do.
    first = same.select("place", pl.col("group").min().over("text_key"))
    groups = to_polars(table.select(["group"]))["group"].scatter(first["place"], first["group"])
    column = groups.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())
    kept = table.set_column(table.schema.get_field_index("group"), "group", column)
    examples = keep_by_id(collected((clustered(part) for part in slices(kept)), LABELED_SCHEMA))
    tables = StageTables(examples)
    summary = counts(table.num_rows, examples, tables.quarantine, tables.merged) | {
        "answer_lengths": answer_lengths(examples),
        "without_answer": examples["label"].null_count,
        "clusters": pc.count_distinct(examples["cluster"]).as_py(),
        "texts_in_several_groups": several_groups(same),
    }
    return StageTables(examples, summary=summary)
