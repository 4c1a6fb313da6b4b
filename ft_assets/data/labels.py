"""The labelled stage: the raw label becomes one of the task's labels, each text gets one label and a cluster.

Rules: `missing_label`, `not_a_number` (thresholds), `unknown_label`, `conflicting_labels` (a text with two
different labels: all its rows go, because nothing says which is right). White space around a raw label does
not count; case does. After this stage no text_key occurs twice, whatever the groups.
"""

from __future__ import annotations

from collections import Counter

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import LabelsConfig, Threshold
from ft_assets.data.examples import (
    CLEANED_SCHEMA,
    LABELED_SCHEMA,
    QUARANTINE_SCHEMA,
    StageTables,
    counts,
    from_polars,
    quarantine_rows,
    to_polars,
)
from ft_assets.data.masking import mask
from ft_assets.data.merging import keep_by_id, merge, merged_table, repeated, several_groups
from ft_assets.spill import Spill, collected, slices, take

__all__ = ["cluster_key", "clustered", "label"]

STAGE = "labeled_examples"
# How many unknown values a summary lists, and how much of each: enough to see a misspelling.
_LISTED_VALUES = 20
_LISTED_CHARS = 40


def label(table: pa.Table, config: LabelsConfig) -> StageTables:
    """Label cleaned examples.

    Args:
        table: `CLEANED_SCHEMA` rows.
        config: How a raw label becomes one of the task's.

    Returns:
        `LABELED_SCHEMA` rows. Beyond the common counts the summary has `labels` (rows by label, in the task's
        order, labels without rows included), `labels_before` (the same of the rows that came in), `unknown_values`
        (the commonest raw labels outside the set, masked and cut, with their rows), `clusters`, and
        `texts_in_several_groups` among the rows that came in (those that cleaning has merged are counted there).
    """
    usable, refused = Spill(CLEANED_SCHEMA), Spill(QUARANTINE_SCHEMA)
    unknown, before = Counter[str](), Counter[str]()
    for part in slices(table):
        mapped = to_polars(part).with_columns(_map(config).alias("mapped"))
        before.update(dict(mapped["mapped"].drop_nulls().value_counts().iter_rows()))
        judged = mapped.with_columns(_rule(config).alias("rule"))
        bad = judged.filter(pl.col("rule").is_not_null())
        unknown.update(_unknown_values(bad))
        refused.add(_refused(bad, config))
        good = judged.filter(pl.col("rule").is_null()).with_columns(pl.col("mapped").alias("label"))
        usable.add(from_polars(good, CLEANED_SCHEMA, sort=False))
    labelled = usable.table()
    same = repeated(labelled)
    different = pl.col("label").n_unique().over("text_key") > 1
    conflicting = same.filter(different)
    refused.add(_refused(_with_texts(labelled, conflicting), config))
    gone = merge(same.filter(~different))
    kept = keep_by_id(labelled, conflicting["place"], gone["place"])
    examples = collected((clustered(part) for part in slices(kept)), LABELED_SCHEMA)
    quarantine, merged = keep_by_id(refused.table()), merged_table(gone)
    tally = {entry["values"]: entry["counts"] for entry in pc.value_counts(examples["label"]).to_pylist()}
    summary = counts(table.num_rows, examples, quarantine, merged) | {
        "labels": {name: tally.get(name, 0) for name in config.label_names()},
        "labels_before": {name: before[name] for name in config.label_names()},
        "unknown_values": _listed(unknown),
        "clusters": pc.count_distinct(examples["cluster"]).as_py(),
        "texts_in_several_groups": several_groups(repeated(table)),
    }
    return StageTables(examples, quarantine, merged, summary)


def _refused(rows: pl.DataFrame, config: LabelsConfig) -> pa.Table:
    return quarantine_rows(rows.with_columns(_reason(config).alias("reason")), STAGE)


def _with_texts(table: pa.Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose text stands with different labels, as they stand in the table."""
    texts = to_polars(take(table, rows["place"].to_numpy()))
    return texts.with_columns(pl.lit("conflicting_labels").alias("rule"))


def clustered(part: pa.Table) -> pa.Table:
    """Labelled rows with their cluster (`LABELED_SCHEMA`)."""
    frame = to_polars(part)
    return from_polars(frame.with_columns(_clusters(frame).alias("cluster")), LABELED_SCHEMA, sort=False)


def cluster_key(group: str | None, text_key: str) -> str:
    """What is never split apart: `g:` and the user's group, else `t:` and the text_key."""
    return f"t:{text_key}" if group is None else f"g:{group}"


def _clusters(frame: pl.DataFrame) -> pl.Series:
    """The cluster key of each row, from its group and text_key."""
    keys = [cluster_key(group, key) for group, key in zip(frame["group"], frame["text_key"], strict=True)]
    return pl.Series(keys, dtype=pl.String)


def _raw() -> pl.Expr:
    return pl.col("label").str.strip_chars()


def _number() -> pl.Expr:
    number = _raw().cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _map(config: LabelsConfig) -> pl.Expr:
    if config.thresholds is not None:
        return pl.coalesce(*(pl.when(_matches(rule)).then(pl.lit(rule.label)) for rule in config.thresholds))
    known = config.map if config.map is not None else {name: name for name in config.names or []}
    return _raw().replace_strict(
        [raw.strip() for raw in known], list(known.values()), default=None, return_dtype=pl.String
    )


def _matches(rule: Threshold) -> pl.Expr:
    number = _number()
    matches = number.is_not_null()
    if rule.above is not None:
        matches = matches & (number > rule.above)
    if rule.below is not None:
        matches = matches & (number < rule.below)
    return matches


def _rule(config: LabelsConfig) -> pl.Expr:
    no_number = _number().is_null() if config.thresholds is not None else pl.lit(False)
    return (
        pl.when(_raw().is_null() | (_raw() == ""))
        .then(pl.lit("missing_label"))
        .when(no_number)
        .then(pl.lit("not_a_number"))
        .when(pl.col("mapped").is_null())
        .then(pl.lit("unknown_label"))
    )


def _reason(config: LabelsConfig) -> pl.Expr:
    known = f"the {len(config.label_names())} labels" if config.map is None else "the keys of `labels.map`"
    outside = (
        "no threshold takes the number" if config.thresholds else f"the label is none of {known} of the task"
    )
    reasons = {
        "missing_label": "the label is missing",
        "not_a_number": "the label is not a finite number, and the task's labels are thresholds",
        "unknown_label": outside,
        "conflicting_labels": "the same text stands with different labels",
    }
    return pl.col("rule").replace_strict(reasons, return_dtype=pl.String)


def _unknown_values(refused: pl.DataFrame) -> dict[str, int]:
    unknown = refused.filter(pl.col("rule").is_in(["unknown_label", "not_a_number"]))
    return dict(unknown.group_by(_raw().alias("value")).len().iter_rows())


def _listed(unknown: Counter[str]) -> list[dict[str, str | int]]:
    commonest = sorted(unknown.items(), key=lambda entry: (-entry[1], entry[0]))[:_LISTED_VALUES]
    return [{"value": mask(value, _LISTED_CHARS), "rows": rows} for value, rows in commonest]
