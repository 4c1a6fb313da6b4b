"""The splits: train, validation and test, as the ledger says; what is new is assigned and handed back to be recorded.

Shares are of rows, clusters are left whole, and new clusters are drawn so that each label has its share everywhere;
where a model writes, so have short and long answers. What is recorded is never drawn again, so what it has of imbalance
stays, and the summary tells it. Not here: how it is decided (`ledger.assignment`); checks (`contracts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import NearDuplicatesConfig, SplitsConfig
from ft_assets.data.continuations import continuations
from ft_assets.data.examples import (
    QUARANTINE_SCHEMA,
    SPLIT_SCHEMA,
    StageTables,
    conform,
    counts,
    from_polars,
    quarantine_rows,
    to_polars,
)
from ft_assets.data.ledger.assignment import Assignment, assign
from ft_assets.data.ledger.entries import SIDES, Entries
from ft_assets.data.ledger.keys import GROUP, ROW, TEXT, example_keys, group_keys, text_keys
from ft_assets.data.ledger.merged import merged_into
from ft_assets.data.ledger.periods import Boundaries, by_shares
from ft_assets.data.ledger.reasons import REASONS
from ft_assets.data.merging import keep_by_id, merged_table
from ft_assets.data.near_duplicates import pairs_of
from ft_assets.data.texts import answer_lengths, read_texts, text_lengths
from ft_assets.data.texts import text_keys as keys_of_texts
from ft_assets.errors import UserError
from ft_assets.spill import Spill, slices, take

__all__ = ["SPLITS", "Splits", "earlier_rows", "newer_than", "split"]

SplitName = Literal["train", "validation", "test"]
RECORDED_BEFORE = "recorded_before"
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """What becomes of labelled examples.

    Attributes:
        tables: The three splits. `rows_in` of a summary is what came into this split; `rows_of_all` what came into all
            three. Further: `share` of all rows, `clusters`, `labels` (rows by label), `label_shares`,
            `overall_label_shares`, and `largest_deviation` (split, label, and share minus overall share, the largest
            of this split in size). These four only where labels are classes; else `answer_lengths`. A quarantined row
            counts in the split that it was recorded in, and in test if it is new: what came into test trains nothing.
        entries: What is to be recorded once they are published.
        how: Rows by how they came to their split: recorded, meant (its source is for this split), joined, stratified,
            by_time, or a rule of the quarantine.
        periods: Where the splits go by time: since when rows are for validation and test.
    """

    tables: dict[SplitName, StageTables]
    entries: pl.DataFrame
    how: dict[str, int]
    periods: Boundaries | None = None


def split(
    table: pa.Table,
    config: SplitsConfig,
    *,
    entries: Entries,
    ledger_id: str,
    merged: Sequence[pa.Table] = (),
    periods: Boundaries | None = None,
    near: NearDuplicatesConfig | None = None,
    classes: bool = True,
    new_in_test: bool = True,
) -> Splits:
    """Assign labelled examples to splits.

    Args:
        table: `LABELED_SCHEMA` rows.
        config: Shares and salt; whether splits go by time.
        entries: What the ledger says.
        ledger_id: Its id, which goes into the keys of groups.
        merged: The rows that were merged into those (`MERGED_SCHEMA`, as each stage has them), which stay on one side
            with them. One that was recorded before the row that it was merged into is in its split instead of that.
        periods: The boundaries that are recorded, if there are any.
        near: How near duplicates are told, where they have made clusters.
        classes: Whether labels are classes, which are counted; answers are not.
        new_in_test: Whether new clusters may go to test; not if the test set is locked.

    Raises:
        UserError: splits are to go by time, and the boundaries are others than those recorded, or cannot be made.
    """
    others = merged_into(table, merged, entries)
    before = others.known_before(example_keys(table["example_id"]), entries)
    count = table.num_rows
    table = _with_rows_of_before(table, others.table, before)
    rows = _rows(table, ledger_id, classes)
    by_time = _periods(rows, config, periods or Boundaries()) if config.by == "time" else None
    made = assign(
        rows,
        entries.with_entries(others.handed_on(rows)),
        _near_duplicates(table, near),
        [config.shares[side] for side in SIDES],
        salt=config.salt,
        periods=by_time,
        new_in_test=new_in_test,
    )
    refused = made.rows["how"].is_in(list(REASONS))
    sides = made.rows.select(pl.when(~refused).then("side")).to_series()
    own, instead = sides[:count], _nulls(sides.dtype, count).scatter(before["into"], sides[count:])
    new = pl.concat([made.entries, others.entries(own.zip_with(own.is_not_null(), instead))])
    # Of a row and one of before that is equal to it one split has the latter alone.
    doubled = pl.concat([(own == instead).fill_null(False), pl.repeat(False, before.height, eager=True)])
    how = made.rows["how"].filter(~doubled).cast(pl.String).value_counts().sort("how")
    merged_again = _merged_again(table, before, doubled.arg_true())
    tables = _tables(table, made, classes, doubled, merged_again)
    return Splits(tables, new, dict(how.iter_rows()), by_time)


def _with_rows_of_before(table: pa.Table, merged: pa.Table, before: pl.DataFrame) -> pa.Table:
    """The rows, and behind them those that were merged into one that was recorded later: with what is their own, and
    for the rest as that."""
    if not before.height:
        return table
    rows = take(table, before["into"].to_numpy())
    own = take(merged, before["line"].to_numpy())
    for name in ("example_id", "context", "text", "group", "split"):
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), own[name])
    return pa.concat_tables([table, rows])


def _nulls(kind: pl.DataType, count: int) -> pl.Series:
    return pl.Series([None], dtype=kind).new_from_index(0, count)


def _merged_again(table: pa.Table, before: pl.DataFrame, places: pl.Series) -> pl.DataFrame:
    """The rows at these places, each with the row of before that it is merged into."""
    narrow = table.select(["example_id", "text_key", "group", "split"])
    instead = pl.Series(narrow["example_id"].slice(table.num_rows - before.height), dtype=pl.String)
    into = before.select("into", instead.alias("merged_into"))
    rows = to_polars(take(narrow, places.to_numpy())).with_columns(places.alias("place"))
    return rows.join(into, left_on="place", right_on="into", maintain_order="left")


def _periods(rows: pl.DataFrame, config: SplitsConfig, recorded: Boundaries) -> Boundaries:
    """The boundaries that hold: as recorded, else as set, else as the shares say."""
    wanted = Boundaries.from_dict({"validation_from": config.validation_from, "test_from": config.test_from})
    if recorded and wanted and recorded != wanted:
        raise UserError(
            f"rows were dealt by other boundaries: {recorded.as_dict()}",
            where="splits.validation_from, splits.test_from",
            do="boundaries hold for good, as the splits do: set these, or draw all anew, with another test set, by "
            "`python -m ft_assets ledger reset`",
        )
    if recorded or wanted:
        return recorded or wanted
    dealt = rows.filter(pl.col("meant").is_null() & pl.col("time").is_not_null())
    return by_shares(dealt["cluster"].to_numpy(), dealt["time"].to_numpy(), config.shares)


def newer_than(part: pa.Table, table: pa.Table, begins: int, entries: Entries) -> tuple[list[str], list[str]]:
    """Ids of the rows of a split that are from this time, or newer: those that come in, and those that were recorded
    before or that their source is for.

    Args:
        part: The rows of the split, as they are to be published.
        table: example_id, time and split of the labelled rows.
        begins: Microseconds since 1970.
        entries: What was recorded.
    """
    late = table.filter(pc.greater_equal(table["time"].cast(pa.int64()), begins))
    late = late.filter(pc.is_in(late["example_id"], value_set=part["example_id"].combine_chunks()))
    recorded = example_keys(late["example_id"]).is_in(entries.rows["example"].implode())
    told = recorded | pl.Series(late["split"].is_valid())
    ids = pl.Series(late["example_id"], dtype=pl.String)
    return ids.filter(~told).to_list(), ids.filter(told).to_list()


def earlier_rows(splits: Mapping[str, pa.Table], ledger_id: str, *, with_groups: bool) -> pl.DataFrame:
    """The rows of published splits, as `ledger.imported` takes them over.

    Args:
        splits: example_id, context, text and cluster of each split, by its name.
        ledger_id: of the ledger that they are for.
        with_groups: Whether the clusters are groups as the user has named them (`g:…`), or texts. So they were before
            there was a ledger; later a cluster may be made of several.
    """
    parts = []
    for name, table in splits.items():
        for part in slices(table):
            keys = keys_of_texts(read_texts(to_polars(part.select(["context", "text"]))))
            cluster = pl.Series(part["cluster"]).str
            named = (
                cluster.starts_with("g:")
                if with_groups
                else pl.Series([False]).new_from_index(0, part.num_rows)
            )
            group = cluster.slice(2).zip_with(named, pl.Series([None], dtype=pl.String))
            parts.append(
                pl.DataFrame(
                    {
                        "example": example_keys(part["example_id"]),
                        "text": text_keys(pa.chunked_array([keys.to_arrow()])),
                        "group": group_keys(pa.chunked_array([group.to_arrow()]), ledger_id),
                        "side": pl.Series([SIDES.index(name)], dtype=pl.UInt8).new_from_index(
                            0, part.num_rows
                        ),
                    }
                )
            )
    schema = {"example": ROW, "text": TEXT, "group": GROUP, "side": pl.UInt8}
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def _rows(table: pa.Table, ledger_id: str, classes: bool) -> pl.DataFrame:
    """The rows as the ledger takes them: numbers alone."""
    return pl.DataFrame(
        {
            "example": example_keys(table["example_id"]),
            "text": text_keys(table["text_key"]),
            "group": group_keys(table["group"], ledger_id),
            "cluster": _codes(table["cluster"]),
            "stratum": _labels_as_numbers(table) if classes else _magnitudes(table),
            "time": pl.Series(table["time"].cast(pa.int64())),
            "meant": pl.Series(pc.index_in(table["split"], pa.array(SIDES)), dtype=pl.UInt8),
        }
    )


def _codes(column: pa.ChunkedArray) -> pl.Series:
    """Each value as a number from 0 on. Of 5 million values two come together with a chance of one in a million: two
    clusters would go to one split."""
    hashes = [pl.Series(part["value"]).hash().to_numpy() for part in slices(pa.table({"value": column}))]
    return pl.Series(np.unique(np.concatenate(hashes), return_inverse=True)[1].astype(np.uint32))


def _labels_as_numbers(table: pa.Table) -> pl.Series:
    names = sorted(pc.unique(table["label"]).to_pylist())
    return pl.Series(pc.index_in(table["label"], pa.array(names, pa.string())), dtype=pl.UInt32)


def _magnitudes(table: pa.Table) -> pl.Series:
    """How long the answer of each row is, or its text where it has none, as a power of two of characters."""
    chars = text_lengths(table, "label").fill_null(text_lengths(table, "text"))
    return pl.Series(np.floor(np.log2(chars.to_numpy() + 1)).astype(np.uint32))


def _near_duplicates(
    table: pa.Table, config: NearDuplicatesConfig | None
) -> Callable[[npt.NDArray[np.integer]], pl.DataFrame]:
    """What finds near duplicates and conversations that go on among some of the rows, looking at their texts anew: what
    was found among all rows may lack a pair, where very many are alike."""

    def pairs_among(places: npt.NDArray[np.integer]) -> pl.DataFrame:
        if config is None or config.action == "ignore":
            return pl.DataFrame(schema={"a": ROW, "b": ROW})
        rows = take(table, places)
        pairs = pairs_of(rows, config.threshold).to_arrow()
        alike = {side: example_keys(pairs[f"example_id_{side}"].cast(pa.string())) for side in ("a", "b")}
        examples, goes_on = example_keys(rows["example_id"]), continuations(rows)
        continued = {side: examples.gather(goes_on[side]) for side in ("a", "b")}
        return pl.concat([pl.DataFrame(alike), pl.DataFrame(continued)])

    return pairs_among


def _tables(
    table: pa.Table, made: Assignment, classes: bool, doubled: pl.Series, merged: pl.DataFrame
) -> dict[SplitName, StageTables]:
    """The three splits.

    Args:
        doubled: Which rows are in no split by themselves.
        merged: These rows, each with the one that it is merged into.
    """
    refused = made.rows["how"].is_in(list(REASONS))
    place = made.rows["side"].fill_null(SIDES.index("test"))
    names = _names_of_parts(table, made)
    kept = {name: Spill(SPLIT_SCHEMA) for name in SPLITS}
    aside = {name: Spill(QUARANTINE_SCHEMA) for name in SPLITS}
    start = 0
    for part in slices(table):
        here = slice(start, start + part.num_rows)
        start += part.num_rows
        rows = to_polars(conform(part, SPLIT_SCHEMA)).with_columns(names[here].alias("part"))
        rows = rows.with_columns(
            pl.when(pl.col("part").is_null())
            .then("cluster")
            .otherwise(pl.format("{}/{}", "cluster", "part"))
            .alias("cluster")
        )
        bad = refused[here]
        for name in SPLITS:
            mine = (place[here] == SIDES.index(name)) & ~doubled[here]
            kept[name].add(from_polars(rows.filter(mine & ~bad), SPLIT_SCHEMA, sort=False))
            if bad.any():
                why = _reasons(made.rows[here].filter(mine & bad))
                aside[name].add(quarantine_rows(rows.filter(mine & bad).with_columns(why), f"{name}_split"))
    sides = place.gather(merged["place"])
    labels = table["label"].filter((~doubled).to_arrow())
    found = {}
    for name in SPLITS:
        parts = StageTables(
            keep_by_id(kept[name].table()),
            keep_by_id(aside[name].table()),
            merged_table(table, merged.filter(sides == SIDES.index(name)), RECORDED_BEFORE),
        )
        found[name] = _told(name, parts, table.num_rows, labels, classes)
    return found


def _names_of_parts(table: pa.Table, made: Assignment) -> pl.Series:
    """Of each row whose cluster falls apart, the smallest example_id of its part; else null."""
    part = made.rows["part"]
    names = pl.Series([None], dtype=pl.String).new_from_index(0, len(part))
    places = part.is_not_null().arg_true()
    if not len(places):
        return names
    ids = pl.Series(table["example_id"].take(places.to_arrow()))
    smallest = pl.DataFrame({"id": ids, "part": part.gather(places)}).select(pl.col("id").min().over("part"))
    return names.scatter(places, smallest["id"])


def _reasons(rows: pl.DataFrame) -> list[pl.Series]:
    """`rule` and `reason` of quarantined rows."""
    reasons = [
        _reason(rule, side, sides) for side, rule, sides in rows.select("side", "how", "sides").iter_rows()
    ]
    rules = rows["how"].cast(pl.String).alias("rule")
    return [rules, pl.Series("reason", reasons, dtype=pl.String)]


def _reason(rule: str, side: int | None, sides: int) -> str:
    named = [name for place, name in enumerate(SIDES) if sides >> place & 1]
    if side is None:
        return REASONS[rule].format(" and ".join(named))
    return REASONS[rule].format(SIDES[side], next(name for name in named if name != SIDES[side]))


def _told(
    name: SplitName, parts: StageTables, rows_of_all: int, labels: pa.ChunkedArray, classes: bool
) -> StageTables:
    """The tables of a split with its summary.

    Args:
        labels: Those of all rows that are in a split, or refused.
    """
    part = parts.examples
    rows_in = part.num_rows + parts.quarantine.num_rows + parts.merged.num_rows
    summary = counts(rows_in, part, parts.quarantine, parts.merged) | {
        "rows_of_all": rows_of_all,
        "share": round(part.num_rows / len(labels), 6) if len(labels) else 0.0,
        "clusters": pc.count_distinct(part["cluster"]).as_py(),
    }
    own = _balance(name, part, labels) if classes else {"answer_lengths": answer_lengths(part)}
    return replace(parts, summary=summary | own)


def _balance(name: SplitName, part: pa.Table, labels: pa.ChunkedArray) -> dict[str, Any]:
    """How the labels are spread over this split, and over all rows."""
    overall, own = _tally(labels), _tally(part["label"])
    overall_shares = _shares(overall)
    shares = _shares({label: own.get(label, 0) for label in overall})
    return {
        "labels": {label: own.get(label, 0) for label in overall},
        "label_shares": shares,
        "overall_label_shares": overall_shares,
        "largest_deviation": _largest_deviation(name, shares, overall_shares),
    }


def _tally(labels: pa.ChunkedArray) -> dict[str, int]:
    tally = pc.value_counts(labels).to_pylist()
    return {entry["values"]: entry["counts"] for entry in sorted(tally, key=lambda entry: entry["values"])}


def _shares(labels: dict[str, int]) -> dict[str, float]:
    total = sum(labels.values())
    return {label: round(count / total, 6) if total else 0.0 for label, count in labels.items()}


def _largest_deviation(
    name: SplitName, shares: dict[str, float], overall: dict[str, float]
) -> dict[str, Any] | None:
    if not overall:
        return None
    label = max(overall, key=lambda each: abs(shares[each] - overall[each]))
    return {"split": name, "label": label, "deviation": round(shares[label] - overall[label], 6)}
