"""The labelled stage: the raw label becomes one of the task's labels, each text gets one label and a cluster.

Rules: `missing_label`, `not_a_number` (thresholds), `unknown_label`, `tied_ratings` (several labels have the most
ratings), `conflicting_labels` (a text with two different labels: all its rows go, because nothing says which is right;
but those of a source that is for test, else validation, stay if they agree among themselves, and of ratings theirs
alone count), `rejected` (a person has taken the text out). A correction has the last word over all of these. White
space around a raw label does not count; case does. After this stage no text_key occurs twice, whatever the groups.

Not here: how ratings are counted (`ratings`), which correction holds (`rulings`).
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
from ft_assets.data.merging import (
    first_seen,
    keep_by_id,
    merge,
    merged_table,
    repeated,
    several_groups,
    split_rank,
)
from ft_assets.data.ratings import disagreement, majority, tally, votes
from ft_assets.data.rulings import Rulings
from ft_assets.spill import Spill, collected, slices, take

__all__ = ["cluster_key", "clustered", "label"]

STAGE = "labeled_examples"
_JUDGED_SCHEMA = pa.schema(
    [*CLEANED_SCHEMA, *(LABELED_SCHEMA.field(name) for name in ("disagreement", "corrected"))]
)
# How many unknown values a summary lists, and how much of each: enough to see a misspelling.
_LISTED_VALUES = 20
_LISTED_CHARS = 40


def label(
    table: pa.Table, config: LabelsConfig, *, rated: bool = False, rulings: Rulings | None = None
) -> StageTables:
    """Label cleaned examples.

    Args:
        table: `CLEANED_SCHEMA` rows.
        config: How a raw label becomes one of the task's.
        rated: Whether raw labels are ratings (`ratings.as_label`). Those of all rows of a text are counted together.
        rulings: What corrections say; None where there is no file of them.

    Returns:
        `LABELED_SCHEMA` rows. Beyond the common counts the summary has `labels` (rows by label, in the task's
        order, labels without rows included), `labels_before` (the same of the rows that came in), `unknown_values`
        (the commonest raw labels outside the set, masked and cut, with their rows), `clusters`, and
        `texts_in_several_groups` among the rows that came in (those that cleaning has merged are counted there).
        Where rows are rated `ratings` (ratings, unusable; contested: rows whose raters disagree; mean_disagreement);
        where there are corrections `corrections` (what `Rulings.summary` gives; relabelled: rows that would have
        another label or none without them).
    """
    usable, refused = Spill(_JUDGED_SCHEMA), Spill(QUARANTINE_SCHEMA)
    same = repeated(table)
    judge = _Ratings(config, same) if rated else _Labels(config)
    before, relabelled = Counter[str](), 0
    for part in slices(table):
        judged = judge(to_polars(part))
        own = judged["mapped"]
        before.update(dict(own.drop_nulls().value_counts().iter_rows()))
        judged = _ruled(judged, config, rulings or Rulings.none())
        relabelled += int(own.ne_missing(judged["mapped"]).sum())
        judged = judged.with_columns(judge.disagreement(judged))
        refused.add(_refused(judged.filter(pl.col("rule").is_not_null()), config, rated=rated))
        good = judged.filter(pl.col("rule").is_null()).with_columns(pl.col("mapped").alias("label"))
        usable.add(from_polars(good, _JUDGED_SCHEMA, sort=False))
    labelled = usable.table()
    alike = repeated(labelled)
    conflicting = alike.filter(_in_conflict())
    refused.add(_refused(_with_texts(labelled, conflicting), config, rated=rated))
    agreeing = alike.filter(~_in_conflict())
    gone = merge(agreeing)
    kept = keep_by_id(first_seen(labelled, agreeing), conflicting["place"], gone["place"])
    examples = collected((clustered(part) for part in slices(kept)), LABELED_SCHEMA)
    quarantine, merged = keep_by_id(refused.table()), merged_table(labelled, gone)
    counted = {entry["values"]: entry["counts"] for entry in pc.value_counts(examples["label"]).to_pylist()}
    summary = counts(table.num_rows, examples, quarantine, merged) | {
        "labels": {name: counted.get(name, 0) for name in config.label_names()},
        "labels_before": {name: before[name] for name in config.label_names()},
        "unknown_values": _listed(judge.unknown),
        "clusters": pc.count_distinct(examples["cluster"]).as_py(),
        "texts_in_several_groups": several_groups(same),
    }
    if isinstance(judge, _Ratings):
        summary["ratings"] = judge.summary(examples)
    if rulings is not None:
        summary["corrections"] = rulings.summary() | {"relabelled": relabelled}
    return StageTables(examples, quarantine, merged, summary)


class _Labels:
    """Judges rows by their own raw label."""

    def __init__(self, config: LabelsConfig) -> None:
        self._config = config
        self.unknown = Counter[str]()

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with `mapped` (the label) and `rule` (why there is none)."""
        mapped = rows.with_columns(_map(self._config).alias("mapped"))
        judged = mapped.with_columns(_rule(self._config).alias("rule"))
        self.unknown.update(_values(judged.filter(pl.col("rule").is_in(["unknown_label", "not_a_number"]))))
        return judged

    def disagreement(self, judged: pl.DataFrame) -> pl.Series:
        """Nobody disagrees where there is one label a row."""
        return pl.Series("disagreement", [None] * judged.height, dtype=pl.Float64)


class _Ratings:
    """Judges rows by the ratings of their text.

    Args:
        config: What a rating means, and how several become one.
        same: The rows whose text stands more than once (`repeated`): their ratings are counted together, those of the
            rows that have the last word (`_rank`).
    """

    def __init__(self, config: LabelsConfig, same: pl.DataFrame) -> None:
        self._config = config
        self._tally = pl.DataFrame()
        self._usable = self._unusable = 0
        self.unknown = Counter[str]()
        said = same.filter(pl.col("label").is_not_null())
        self._pooled = self._counted(self._rated(said.filter(_rank() == _rank().min().over("text_key"))))
        self._repeated = same.select("text_key").unique()

    def _rated(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line a rating that counts: text_key, label (as it was read) and mapped (the label that it is for)."""
        return votes(rows).with_columns(_map(self._config).alias("mapped"))

    def _counted(self, rated: pl.DataFrame) -> pl.DataFrame:
        """The same, once they are counted for the summary."""
        bad = rated.filter(pl.col("mapped").is_null())
        self._usable += rated.height - bad.height
        self._unusable += bad.height
        self.unknown.update(_values(bad))
        return rated

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with `mapped` (the label) and `rule` (why there is none)."""
        own = self._counted(self._rated(rows.join(self._repeated, on="text_key", how="anti")))
        together = self._pooled.join(rows.select("text_key").unique(), on="text_key", how="semi")
        rated = pl.concat([own, together])
        self._tally = tally(rated)
        decided = self._by_mean(rated) if self._config.rated_by == "mean" else majority(self._tally)
        judged = rows.join(decided, on="text_key", how="left", maintain_order="left")
        rule = (
            pl.when(pl.col("label").is_null())
            .then(pl.lit("missing_label"))
            .when(pl.col("tied"))
            .then(pl.lit("tied_ratings"))
            .when(pl.col("mapped").is_null())
            .then(pl.lit("unknown_label"))
        )
        return judged.with_columns(rule.alias("rule"))

    def _by_mean(self, rated: pl.DataFrame) -> pl.DataFrame:
        # Sorted, so that the sum is the same whatever the order of the rows.
        mean = _number().sort().mean().cast(pl.String).alias("label")
        means = rated.group_by("text_key").agg(mean)
        return means.select("text_key", _map(self._config).alias("mapped"), pl.lit(value=False).alias("tied"))

    def disagreement(self, judged: pl.DataFrame) -> pl.Series:
        """That of the rows that were judged last, given the labels that they have in the end."""
        return disagreement(judged, self._tally)

    def summary(self, examples: pa.Table) -> dict[str, int | float | None]:
        """Ratings counted, and how far raters disagree about the rows kept."""
        share = examples["disagreement"]
        mean = pc.mean(share).as_py()
        return {
            "ratings": self._usable,
            "unusable": self._unusable,
            "contested": pc.sum(pc.greater(share, 0)).as_py() or 0,
            "mean_disagreement": None if mean is None else round(mean, 6),
        }


def _ruled(judged: pl.DataFrame, config: LabelsConfig, rulings: Rulings) -> pl.DataFrame:
    """The rows with what corrections say of them: `mapped`, `rule`, `corrected`, and the `line` of the correction."""
    ruling = pl.col("ruling")
    given = pl.when(ruling.is_in(config.label_names())).then(ruling)
    out = pl.when(ruling.is_not_null()).then(pl.lit("rejected")).otherwise("rule")
    rows = judged.join(rulings.texts, on="text_key", how="left", maintain_order="left")
    return rows.with_columns(
        pl.coalesce(given, "mapped").alias("mapped"),
        pl.when(given.is_null()).then(out).alias("rule"),
        pl.col("at").str.slice(0, 10).alias("corrected"),
    )


def _refused(rows: pl.DataFrame, config: LabelsConfig, *, rated: bool) -> pa.Table:
    return quarantine_rows(rows.with_columns(_reason(config, rated=rated).alias("reason")), STAGE)


def _in_conflict() -> pl.Expr:
    """Of rows with one text, those that have several labels; some have the last word (`_rank`)."""
    first = _rank() == _rank().min().over("text_key")
    decisive = pl.when(first).then("label")
    lowest, highest = decisive.min().over("text_key"), decisive.max().over("text_key")
    return (lowest != highest) | (pl.col("label") != lowest)


def _rank() -> pl.Expr:
    """Of rows with one text the lowest have the last word: those of a source that is for test, then validation, since
    others may be wrong and they may not be lost. A source for train is no better than one that is for no split: its
    row would take another from test, into which it was drawn."""
    return split_rank().clip(upper_bound=2)


def _with_texts(table: pa.Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose text stands with different labels, as they stand in the table."""
    texts = to_polars(take(table, rows["place"].to_numpy()))
    return texts.with_columns(
        pl.lit("conflicting_labels").alias("rule"), pl.lit(None, pl.Int64).alias("line")
    )


def clustered(part: pa.Table) -> pa.Table:
    """Labelled rows with their cluster (`LABELED_SCHEMA`). What they do not say of ratings and corrections is null."""
    frame = to_polars(part)
    kinds = {"disagreement": pl.Float64, "corrected": pl.String}
    missing = [pl.lit(None, kind).alias(name) for name, kind in kinds.items() if name not in frame.columns]
    rows = frame.with_columns(_clusters(frame).alias("cluster"), *missing)
    return from_polars(rows, LABELED_SCHEMA, sort=False)


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


def _reason(config: LabelsConfig, *, rated: bool) -> pl.Expr:
    known = f"the {len(config.label_names())} labels" if config.map is None else "the keys of `labels.map`"
    outside = (
        "no threshold takes the number" if config.thresholds else f"the label is none of {known} of the task"
    )
    reasons = {
        "missing_label": "the text has no rating" if rated else "the label is missing",
        "not_a_number": "the label is not a finite number, and the task's labels are thresholds",
        "unknown_label": "no rating of the text leads to a label of the task" if rated else outside,
        "tied_ratings": "several labels have the most ratings",
        "conflicting_labels": "the same text stands with different labels",
    }
    rejected = pl.format("a correction takes it out (line {} of the corrections)", pl.col("line"))
    told = pl.col("rule").replace_strict(reasons, default=None, return_dtype=pl.String)
    return pl.when(pl.col("rule") == "rejected").then(rejected).otherwise(told)


def _values(rows: pl.DataFrame) -> dict[str, int]:
    """How often each raw label stands there."""
    return dict(rows.group_by(_raw().alias("value")).len().iter_rows())


def _listed(unknown: Counter[str]) -> list[dict[str, str | int]]:
    commonest = sorted(unknown.items(), key=lambda entry: (-entry[1], entry[0]))[:_LISTED_VALUES]
    return [{"value": mask(value, _LISTED_CHARS), "rows": rows} for value, rows in commonest]
