"""The labelled stage of a task whose model writes: the answer is the label, so nothing is mapped; rows get a cluster.

Several answers to one prompt are several examples. They have one cluster, so no split divides them.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from ft_assets.data.cleaning import answer_lengths, several_groups
from ft_assets.data.examples import LABELED_SCHEMA, StageTables, counts, from_polars, to_polars
from ft_assets.data.labels import clusters

__all__ = ["answer"]


def answer(table: pa.Table) -> StageTables:
    """Give cleaned conversations their cluster.

    Args:
        table: `CLEANED_SCHEMA` rows.

    Returns:
        `LABELED_SCHEMA` rows. Beyond the common counts the summary has `answer_lengths` (histogram and quartiles of
        characters), `without_answer` (plain texts), `clusters`, and `texts_in_several_groups`.
    """
    cleaned = to_polars(table)
    # Equal prompts under several groups stay together: under the smallest group, as duplicates do.
    first = pl.col("group").min().over("text_key")
    grouped = cleaned.with_columns(first.alias("group"))
    examples = from_polars(grouped.with_columns(clusters(grouped).alias("cluster")), LABELED_SCHEMA)
    tables = StageTables(examples)
    summary = counts(cleaned.height, examples, tables.quarantine, tables.merged) | {
        "answer_lengths": answer_lengths(cleaned["label"]),
        "without_answer": cleaned["label"].null_count(),
        "clusters": to_polars(examples)["cluster"].n_unique(),
        "texts_in_several_groups": several_groups(cleaned),
    }
    return StageTables(examples, summary=summary)
