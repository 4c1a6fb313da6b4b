"""What becomes of near duplicates among labelled examples: they get one cluster, or are merged.

It is done once rows have their labels, because rows with one label alone are merged, and clusters are what is given
there. Of a conversation the prompt counts (what stood before it included), as with exact duplicates. Not here: finding
pairs (`duplicates.search`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import NearDuplicatesConfig
from ft_assets.data.continuations import continuations
from ft_assets.data.duplicates.corpus import Corpus
from ft_assets.data.duplicates.search import components, near_duplicates
from ft_assets.data.examples import (
    LABELED_SCHEMA,
    PAIRS_SCHEMA,
    StageTables,
    counts,
    from_polars,
    to_polars,
)
from ft_assets.data.merging import keep_by_id, merged_table, precedence, repeated, with_times
from ft_assets.data.remembered import Memory
from ft_assets.data.texts import answer_lengths
from ft_assets.spill import collected, slices

__all__ = ["NEAR_DUPLICATE", "SAME", "pairs_of", "settled"]

NEAR_DUPLICATE = "near_duplicate"
SAME = 0.9
"""Similarity from which on two texts with different labels are one to look at: one word of fifty differs."""
_LARGEST = 5


def settled(made: StageTables, config: NearDuplicatesConfig, memory: Memory | None = None) -> StageTables:
    """The labelled examples with near duplicates in one cluster, or merged; and with those in one cluster that are one
    conversation which goes on (`continuations`).

    A cluster is what is connected: by a group of the user's, by equal texts, by near duplicates, by a conversation. Its
    key is the smallest of those that its parts would have by themselves, so where there are none of these nothing
    changes.

    Where they are merged, rows are taken in their order (`merging.precedence`), of one split those that a person has
    corrected first. Each is kept unless it has a near duplicate with the same label that was kept before; then it is
    merged into the first such one. So what is merged was compared with the row that it is merged into, and near
    duplicates that are left share a cluster.

    Args:
        made: `LABELED_SCHEMA` examples, each with the cluster that it has by itself.
        config: What is a near duplicate, and what becomes of it.
        memory: What was found of the same texts before.

    Returns:
        The same with `near_duplicates` (`PAIRS_SCHEMA`, those of merged rows included), and in the summary
        `near_duplicates`: threshold, `pairs`, `rows` that have one, `by_similarity`, `clusters` made of several,
        `largest` (rows of the largest of these, and one id of each), `other_labels` (pairs with different labels) and
        `continued` (pairs of rows of which one begins with the other).
    """
    if config.action == "ignore":
        return made
    memory = memory or Memory()
    found = pairs_of(made.examples, config.threshold, memory)
    rows = _rows(made.examples, found)
    gone = _merges(rows, found) if config.action == "merge" else rows.clear()
    examples, left = made.examples, (found, rows)
    if len(gone):
        examples = keep_by_id(_first_known(examples, rows, gone), gone["place"])
        # Among fewer rows a pair may be found that was not compared among many.
        again = pairs_of(examples, config.threshold, memory.of_more())
        left = again, _rows(examples, again)
        found = pl.concat([found, again]).unique(["example_id_a", "example_id_b"], maintain_order=True)
        found = found.sort("example_id_a", "example_id_b")
    goes_on = continuations(examples)
    names = _names(pl.concat([_of_near(*left), _of_places(examples, goes_on)]))
    if names:
        examples = collected((_renamed(part, names) for part in slices(examples)), LABELED_SCHEMA)
    merged = made.merged
    if len(gone):
        merged = keep_by_id(pa.concat_tables([merged, merged_table(made.examples, gone, NEAR_DUPLICATE)]))
    summary = (
        made.summary
        | counts(made.summary["rows_in"], examples, made.quarantine, merged)
        | _recounted(made, examples)
    )
    told = _told(rows, found, config) | _largest(examples, set(names.values()))
    summary["near_duplicates"] = told | {"continued": goes_on.height}
    return replace(
        made,
        examples=examples,
        merged=merged,
        near_duplicates=from_polars(found, PAIRS_SCHEMA, sort=False),
        summary=summary,
    )


def pairs_of(table: pa.Table, threshold: float, memory: Memory | None = None) -> pl.DataFrame:
    """The near duplicates among a table's texts (`search.PAIRS`); of rows with one text the first one is compared.

    Args:
        table: example_id, context, text and text_key.
    """
    again = np.zeros(table.num_rows, bool)
    same = repeated(table)
    first = same.sort("example_id").select("place", pl.col("text_key").is_first_distinct().alias("first"))
    again[first.filter(~pl.col("first"))["place"].to_numpy()] = True
    ids = to_polars(table.select(["example_id"]))["example_id"].filter(pl.Series(~again))
    return near_duplicates(ids, Corpus(table, ~again), threshold, memory=memory)


def _rows(table: pa.Table, pairs: pl.DataFrame) -> pl.DataFrame:
    """Place, and what is asked of them, of all rows whose texts have near duplicates."""
    names = ["example_id", "text_key", "group", "split", "label", "cluster", "corrected", "time"]
    ids = pl.concat([pairs["example_id_a"], pairs["example_id_b"]]).unique()
    keys = pl.concat(
        [
            frame.filter(pl.col("example_id").is_in(ids.implode()))["text_key"]
            for frame, _ in _narrow(table, names[:2])
        ]
    ).unique()
    return pl.concat(
        frame.with_row_index("place", start)
        .with_columns(pl.col("place").cast(pl.Int64))
        .filter(pl.col("text_key").is_in(keys.implode()))
        for frame, start in _narrow(table, names)
    )


def _narrow(table: pa.Table, names: list[str]) -> Iterator[tuple[pl.DataFrame, int]]:
    start = 0
    for part in slices(table.select(names)):
        yield to_polars(part), start
        start += part.num_rows


def _of_rows(rows: pl.DataFrame, pairs: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The pairs of rows behind pairs of texts, with these columns of both (`…_a`, `…_b`)."""
    texts = rows.select("example_id", "text_key")
    found = pairs
    for side in ("a", "b"):
        keys = texts.rename({"example_id": f"example_id_{side}", "text_key": f"text_key_{side}"})
        found = found.join(keys, on=f"example_id_{side}")
    found = found.drop("example_id_a", "example_id_b")
    for side in ("a", "b"):
        own = rows.select("text_key", *names).rename(
            {name: f"{name}_{side}" for name in ("text_key", *names)}
        )
        found = found.join(own, on=f"text_key_{side}")
    return found


def _merges(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The rows that are merged, with `merged_into`."""
    rank, *others = precedence()
    ordered = rows.sort(rank, pl.col("corrected").is_null(), *others).with_row_index("rank")
    both = _of_rows(ordered, pairs, "rank", "label").filter(pl.col("label_a").eq_missing(pl.col("label_b")))
    ranks = both.select(
        pl.min_horizontal("rank_a", "rank_b").alias("first"),
        pl.max_horizontal("rank_a", "rank_b").alias("second"),
    ).sort("first", "second")
    into = list(range(ordered.height))
    for first, second in ranks.iter_rows():
        if into[first] == first and into[second] == second:
            into[second] = first
    merged = ordered.with_columns(ordered["example_id"].gather(into).alias("merged_into"))
    return merged.filter(pl.col("merged_into") != pl.col("example_id"))


def _first_known(table: pa.Table, rows: pl.DataFrame, gone: pl.DataFrame) -> pa.Table:
    """The table with the oldest time of all that is merged into a row at each: that is when what it says was known."""
    kept = rows.filter(pl.col("example_id").is_in(gone["merged_into"].implode()))
    of = pl.concat(
        [gone.select(pl.col("merged_into").alias("example_id"), "time"), kept.select("example_id", "time")]
    )
    oldest = kept.select("example_id", "place").join(
        of.group_by("example_id").agg(pl.col("time").min()), on="example_id"
    )
    return with_times(table, oldest)


def _of_near(pairs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The clusters of near duplicates: `cluster_a`, `cluster_b`."""
    return _of_rows(rows, pairs, "cluster").select("cluster_a", "cluster_b")


def _of_places(table: pa.Table, pairs: pl.DataFrame) -> pl.DataFrame:
    """The clusters of rows that belong together: `cluster_a`, `cluster_b`."""
    clusters = to_polars(table.select(["cluster"]))["cluster"]
    return pl.DataFrame({f"cluster_{side}": clusters.gather(pairs[side]) for side in ("a", "b")})


def _names(pairs: pl.DataFrame) -> dict[str, str]:
    """Cluster → the cluster that it becomes part of, or gives its name to; only where several come together."""
    both = pairs.filter(pl.col("cluster_a") != pl.col("cluster_b"))
    names = pl.concat([both["cluster_a"], both["cluster_b"]]).unique().sort()
    a, b = (names.search_sorted(both[f"cluster_{side}"]).to_numpy().astype(np.int64) for side in ("a", "b"))
    smallest = names.gather(components(len(names), a, b))
    return dict(zip(names.to_list(), smallest.to_list(), strict=True))


def _renamed(part: pa.Table, names: dict[str, str]) -> pa.Table:
    frame = to_polars(part)
    return from_polars(frame.with_columns(pl.col("cluster").replace(names)), LABELED_SCHEMA, sort=False)


def _recounted(made: StageTables, examples: pa.Table) -> dict[str, Any]:
    """What the summary tells of the examples, of those that are left."""
    told: dict[str, Any] = {"clusters": pc.count_distinct(examples["cluster"]).as_py()}
    if examples.num_rows == made.examples.num_rows:
        return told
    if "labels" in made.summary:
        tally = {entry["values"]: entry["counts"] for entry in pc.value_counts(examples["label"]).to_pylist()}
        told["labels"] = {name: tally.get(name, 0) for name in made.summary["labels"]}
    else:
        told |= {"answer_lengths": answer_lengths(examples), "without_answer": examples["label"].null_count}
    return told


def _told(rows: pl.DataFrame, pairs: pl.DataFrame, config: NearDuplicatesConfig) -> dict[str, Any]:
    tenths = (pairs["similarity"] * 10 + 1e-9).floor().clip(0, 9).cast(pl.Int64)
    tally = dict(tenths.value_counts().iter_rows())
    other = _of_rows(rows, pairs, "label").filter(pl.col("label_a").ne_missing(pl.col("label_b")))
    return {
        "action": config.action,
        "threshold": config.threshold,
        "pairs": pairs.height,
        "rows": rows.height,
        "by_similarity": {
            f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}": tally[tenth] for tenth in sorted(tally)
        },
        "other_labels": other.height,
    }


def _largest(examples: pa.Table, names: set[str]) -> dict[str, Any]:
    """The clusters that several have become, the largest first; by an id, since a cluster's key may be a name."""
    found = pl.concat(
        [
            frame.filter(pl.col("cluster").is_in(list(names)))
            .group_by("cluster")
            .agg(pl.len().alias("rows"), pl.col("example_id").min())
            for frame, _ in _narrow(examples, ["example_id", "cluster"])
        ]
    )
    sizes = found.group_by("cluster").agg(pl.col("rows").sum(), pl.col("example_id").min())
    largest = sizes.sort("rows", "example_id", descending=[True, False]).head(_LARGEST)
    return {"clusters": len(names), "largest": largest.select("example_id", "rows").to_dicts()}
