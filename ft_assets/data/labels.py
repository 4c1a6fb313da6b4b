"""The labelled stage: the raw label becomes one of the task's labels, each text gets one label and a cluster.

Rules: `missing_label`, `not_a_number` (thresholds), `unknown_label`, `conflicting_labels` (a text with two
different labels: all its rows go, because nothing says which is right). White space around a raw label does
not count; case does. After this stage no text_key occurs twice, whatever the groups.
"""

from __future__ import annotations

import hashlib

import polars as pl
import pyarrow as pa

from ft_assets.data.cleaning import merge_duplicates, several_groups
from ft_assets.data.config import LabelsConfig, Threshold
from ft_assets.data.examples import (
    LABELED_SCHEMA,
    StageTables,
    counts,
    from_polars,
    quarantine_rows,
    to_polars,
)
from ft_assets.data.masking import mask

__all__ = ["cluster_key", "clusters", "label"]

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
        order, labels without rows included), `unknown_values` (the commonest raw labels outside the set,
        masked and cut, with their rows), `clusters`, and `texts_in_several_groups` among the rows that came
        in (those that cleaning has merged are counted there).
    """
    cleaned = to_polars(table)
    mapped = cleaned.with_columns(_map(config).alias("mapped"))
    judged = mapped.with_columns(_rule(config).alias("rule"))
    refused = judged.filter(pl.col("rule").is_not_null())
    usable = judged.filter(pl.col("rule").is_null()).with_columns(pl.col("mapped").alias("label"))
    different = pl.col("label").n_unique().over("text_key")
    conflicting = usable.filter(different > 1).with_columns(pl.lit("conflicting_labels").alias("rule"))
    kept, merged = merge_duplicates(usable.filter(different == 1).drop("mapped", "rule"))
    kept = kept.with_columns(clusters(kept).alias("cluster"))

    examples = from_polars(kept, LABELED_SCHEMA)
    refusals = pl.concat([refused, conflicting]).with_columns(_reason(config).alias("reason"))
    quarantine = quarantine_rows(refusals, STAGE)
    tally = dict(kept["label"].value_counts().iter_rows())
    summary = counts(cleaned.height, examples, quarantine, merged) | {
        "labels": {name: int(tally.get(name, 0)) for name in config.label_names()},
        "unknown_values": _unknown_values(refused),
        "clusters": kept["cluster"].n_unique(),
        "texts_in_several_groups": several_groups(cleaned),
    }
    return StageTables(examples, quarantine, merged, summary)


def cluster_key(group: str | None, text_key: str) -> str:
    """What is never split apart: `g:` and the user's group, else `t:` and the hash of the normalised text.

    The text enters as 128 bits of SHA-256, so that a key says nothing about the text and has one length.
    """
    if group is not None:
        return f"g:{group}"
    return f"t:{hashlib.sha256(text_key.encode()).hexdigest()[:32]}"


def clusters(frame: pl.DataFrame) -> pl.Series:
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


def _unknown_values(refused: pl.DataFrame) -> list[dict[str, str | int]]:
    unknown = refused.filter(pl.col("rule").is_in(["unknown_label", "not_a_number"]))
    values = (
        unknown.group_by(_raw().alias("value")).len("rows").sort("rows", "value", descending=[True, False])
    )
    return [
        {"value": mask(value, _LISTED_CHARS), "rows": rows}
        for value, rows in values.head(_LISTED_VALUES).iter_rows()
    ]
