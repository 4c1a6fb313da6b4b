"""Runs a stage's contract with Great Expectations, on a few lines of a pandas frame.

Great Expectations costs 16 to 38 times what the same test costs in a columnar engine, grows with rows and width of its
frame, and reports raw cells unless told not to. So polars makes flags of the rows and counts the different values of
each; Great Expectations judges those values, one line each; which rows have a value that failed is looked up. It never
sees a text. Texts are read in slices, and what is kept of a row are flags and hashes. Not here: what is expected
(`contracts`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported

import great_expectations as gx  # noqa: TID253 - nothing imports this module when the code location loads
import pandas as pd
import polars as pl
import pyarrow as pa
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: TID253

from ft_assets.data.config import CleaningConfig
from ft_assets.data.contracts import CheckOutcome, Expectation
from ft_assets.data.duplicates.passages import shares_passage
from ft_assets.data.duplicates.search import near_duplicates
from ft_assets.data.examples import StageTables, to_polars
from ft_assets.data.near_duplicates import SAME
from ft_assets.data.personal import free_of
from ft_assets.data.texts import normalised, read_texts, text_keys
from ft_assets.spill import slices

__all__ = ["run"]

_LISTED_IDS = 20
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["line"],
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


def run(
    expected: Sequence[Expectation], tables: StageTables, splits: Mapping[str, StageTables] | None
) -> list[CheckOutcome]:
    """See `contracts.run`."""
    of = {
        frame: [each for each in expected if each.frame == frame]
        for frame in ("rows", "files", "corrections", "counts", "schema")
    }
    outcomes: list[CheckOutcome] = []
    if of["rows"]:
        outcomes += _judge_values(of["rows"], _rows(of["rows"], tables, splits))
    if of["files"]:
        outcomes += _judge_values(of["files"], _files(tables))
    if of["corrections"]:
        outcomes += _judge_values(of["corrections"], _corrections(tables))
    if of["counts"]:
        outcomes += _judge_counts(of["counts"], _counts(of["counts"], tables, splits))
    if of["schema"]:
        outcomes += _judge_schema(of["schema"], tables)
    by_name = {outcome.name: outcome for outcome in outcomes}
    return [by_name[each.name] for each in expected]


# --- what is judged -------------------------------------------------------------------------------------------


def _rows(
    expected: Sequence[Expectation], tables: StageTables, splits: Mapping[str, StageTables] | None
) -> pl.DataFrame:
    """One line an example: its id and the columns that the expectations name; no text."""
    wanted = {each.kwargs["column"] for each in expected}
    cleaning = {each.kwargs["column"]: each.cleaning for each in expected if each.cleaning is not None}
    frame = pl.concat(
        [_flags(part, cleaning.get("impersonal")) for part in map(to_polars, slices(tables.examples))]
    )
    made = [(pl.col("example_id").is_null() | pl.col("example_id").is_unique()).alias("id_unique")]
    if "text_key" in frame.columns:
        made += [
            pl.col("text_key").is_first_distinct().alias("first_of_text"),
            pl.struct("text_key", "label").is_first_distinct().alias("first_of_text_and_label"),
        ]
    if "label" in frame.columns:
        made.append((pl.col("label_filled") | ~pl.col("label_filled").any()).alias("answered"))
    frame = frame.with_columns(made)
    if "id_only_here" in wanted:
        frame = frame.with_columns(_overlap(tables, splits))
    if "near_only_here" in cleaning:
        threshold = cleaning["near_only_here"].near_duplicates.threshold
        frame = frame.with_columns(_no_near_elsewhere(tables, splits, threshold))
    if "near_agree" in wanted:
        frame = frame.with_columns(_near_agree(frame, tables))
    return frame.select("example_id", *sorted(wanted & set(frame.columns) - {"example_id"}))


def _flags(part: pl.DataFrame, cleaning: CleaningConfig | None) -> pl.DataFrame:
    """What is looked at of some rows, each by itself."""
    there = set(part.columns)
    kept = part.select(name for name in ("example_id", "label") if name in there)
    kept = kept.with_columns(
        part[name].is_not_null().alias(f"{name}_filled")
        for name in ("example_id", "label", "cluster")
        if name in there
    )
    if "text_key" in there:
        kept = kept.with_columns(_hashed(part["text_key"]).alias("text_key"))
    if "text" in there:
        text = part["text"]
        kept = kept.with_columns(
            (text != "").fill_null(False).alias("text_filled"),
            text.str.len_chars().cast(pl.Int64).alias("chars"),
            (~text.str.contains("\ufffd", literal=True)).alias("no_replacement"),
        )
    if cleaning is not None and {"context", "text", "label"} <= there:
        kept = kept.with_columns(_impersonal(part, cleaning))
    return kept


def _hashed(values: pl.Series) -> pl.Series:
    """64 bits in the place of a key: of 5 million keys two share them with a chance of one in a million."""
    return values.hash(seed=0)


def _impersonal(frame: pl.DataFrame, cleaning: CleaningConfig) -> pl.Series:
    """Whether nothing that is read of a row holds personal data: looked for anew in what is to be published."""
    turns = frame.select(
        "example_id", pl.col("context").str.json_decode(pl.List(pl.Struct({"content": pl.String})))
    )
    contents = (
        turns.drop_nulls().explode("context").select("example_id", pl.col("context").struct.field("content"))
    )
    read = [(frame["example_id"], frame["text"]), (frame["example_id"], frame["label"]), tuple(contents)]
    ids = pl.concat([ids for ids, _ in read])
    texts = pl.concat([texts.alias("text") for _, texts in read])
    found = ids.filter(~free_of(texts, cleaning.personal_data, cleaning.phone_regions))
    return (~frame["example_id"].is_in(found.implode())).alias("impersonal")


def _overlap(tables: StageTables, splits: Mapping[str, StageTables] | None) -> list[pl.Series]:
    """Whether id, cluster and text of each row are in this split alone."""
    others = [other for other in (splits or {}).values() if other is not tables]
    if len(others) != 2:
        raise ValueError("the contract of a split needs all three splits, this one among them")
    own, elsewhere = _keys(tables), pl.concat([_keys(other) for other in others])
    return [(~own[name].is_in(elsewhere[name].implode())).alias(f"{name}_only_here") for name in own.columns]


_keys_of: WeakKeyDictionary[StageTables, pl.DataFrame] = WeakKeyDictionary()


def _keys(tables: StageTables) -> pl.DataFrame:
    """What no two splits may share, hashed: id, cluster, and the normalised text, made anew from what is to be
    published. Once for three contracts."""
    if tables not in _keys_of:
        _keys_of[tables] = pl.concat(
            [
                pl.DataFrame(
                    {
                        "id": _hashed(part["example_id"]),
                        "cluster": _hashed(part["cluster"]),
                        "text": _hashed(text_keys(read_texts(part))),
                    }
                )
                for part in map(to_polars, slices(tables.examples))
            ]
        )
    return _keys_of[tables]


def _files(tables: StageTables) -> pl.DataFrame:
    """One line a source file; its name is what tells it apart."""
    files = tables.summary.get("files", [])
    return pl.DataFrame(
        {
            "example_id": [file["file"] for file in files],
            "readable": ["unreadable" not in file for file in files],
        },
        schema={"example_id": pl.String, "readable": pl.Boolean},
    )


def _corrections(tables: StageTables) -> pl.DataFrame:
    """One line a text that is corrected, and one an id that no row has; the first of these are named."""
    told = tables.summary.get("corrections") or {"texts": 0, "unused": 0, "unused_ids": []}
    named = told["unused_ids"]
    rest = told["unused"] - len(named)
    return pl.DataFrame(
        {
            "example_id": [*named, *[None] * (rest + told["texts"])],
            "used": [*[False] * told["unused"], *[True] * told["texts"]],
        },
        schema={"example_id": pl.String, "used": pl.Boolean},
    )


def _normalised(tables: StageTables) -> Iterator[pl.Series]:
    for part in slices(tables.examples.select(["context", "text"])):
        yield normalised(read_texts(to_polars(part)))


def _sharing_a_passage(tables: StageTables, splits: Mapping[str, StageTables] | None) -> float:
    """Share of the texts that have thirteen words in a row in common with a text in train."""
    train = (splits or {})["train"]
    shared = sum(
        int(shares_passage(texts, _normalised(train)).sum()) for texts in _joined(_normalised(tables))
    )
    return shared / max(tables.examples.num_rows, 1)


def _joined(parts: Iterator[pl.Series], rows: int = 500_000) -> Iterator[pl.Series]:
    """The parts put together to about so many rows: each of these costs a look through all of train."""
    found: list[pl.Series] = []
    for part in parts:
        found.append(part)
        if sum(map(len, found)) >= rows:
            yield pl.concat(found)
            found = []
    if found:
        yield pl.concat(found)


_near_elsewhere: WeakKeyDictionary[StageTables, dict[float, pl.Series]] = WeakKeyDictionary()


def _no_near_elsewhere(
    tables: StageTables, splits: Mapping[str, StageTables] | None, threshold: float
) -> pl.Series:
    """Whether a row has no near duplicate in another split: looked for anew in the texts that are to be published, once
    for three contracts. Nothing of what was found for the clusters is used."""
    if threshold not in _near_elsewhere.get(tables, {}):
        every = list((splits or {}).values())
        ids = [to_polars(each.examples.select(["example_id"]))["example_id"] for each in every]
        where = pl.concat([pl.repeat(place, len(each), eager=True) for place, each in enumerate(ids)])
        rows = pl.DataFrame({"example_id": pl.concat(ids), "split": where})
        texts = (text for each in every for text in _normalised(each))
        pairs = near_duplicates(rows["example_id"], texts, threshold)
        for side in ("a", "b"):
            pairs = pairs.join(
                rows.rename({"example_id": f"example_id_{side}", "split": f"split_{side}"}),
                on=f"example_id_{side}",
            )
        across = pairs.filter(pl.col("split_a") != pl.col("split_b"))
        found = pl.concat([across["example_id_a"], across["example_id_b"]]).unique()
        for each in every:
            _near_elsewhere.setdefault(each, {})[threshold] = found
    own = to_polars(tables.examples.select(["example_id"]))["example_id"]
    return (~own.is_in(_near_elsewhere[tables][threshold].implode())).alias("near_only_here")


def _near_agree(frame: pl.DataFrame, tables: StageTables) -> pl.Series:
    """Whether a row's label is that of all texts that are nearly the same."""
    if tables.near_duplicates is None:
        return pl.repeat(True, frame.height, eager=True).alias("near_agree")
    pairs = to_polars(tables.near_duplicates).filter(pl.col("similarity") >= SAME)
    for side in ("a", "b"):
        labels = frame.select(
            pl.col("example_id").alias(f"example_id_{side}"), pl.col("label").alias(f"label_{side}")
        )
        pairs = pairs.join(labels, on=f"example_id_{side}")
    other = pairs.filter(pl.col("label_a") != pl.col("label_b"))
    ids = pl.concat([other["example_id_a"], other["example_id_b"]])
    return (~frame["example_id"].is_in(ids.implode())).alias("near_agree")


def _counts(
    expected: Sequence[Expectation], tables: StageTables, splits: Mapping[str, StageTables] | None
) -> dict[str, float]:
    """Numbers about the stage. What was kept is counted in the tables, not read from the summary."""
    summary = tables.summary
    accounted = tables.examples.num_rows + tables.merged.num_rows + tables.quarantine.num_rows
    accounted += summary.get("erased", 0)  # of these there is no table, on purpose
    numbers: dict[str, float] = {
        "rows_in": summary["rows_in"],
        "rows_kept": tables.examples.num_rows,
        "rows_accounted_for": accounted,
        "quarantined_share": tables.quarantine.num_rows / max(summary["rows_in"], 1),
        "largest_near_cluster": _largest_near_cluster(tables),
    }
    if splits is not None:
        numbers["rows_of_all"] = summary["rows_of_all"]
        numbers["rows_in_splits"] = sum(
            split.examples.num_rows + split.quarantine.num_rows for split in splits.values()
        )
        deviation = summary.get("largest_deviation")
        numbers["largest_deviation"] = abs(deviation["deviation"]) if deviation else 0.0
    if any(each.kwargs.get("column") == "sharing_a_passage" for each in expected):
        numbers["sharing_a_passage"] = _sharing_a_passage(tables, splits)
    return numbers


def _largest_near_cluster(tables: StageTables) -> float:
    largest = tables.summary.get("near_duplicates", {}).get("largest") or [{"rows": 0}]
    return largest[0]["rows"] / max(tables.examples.num_rows, 1)


# --- judging --------------------------------------------------------------------------------------------------


def _judge_values(expected: Sequence[Expectation], frame: pl.DataFrame) -> Iterator[CheckOutcome]:
    """Judge the different values of each column, and look up the rows that have those which failed."""
    columns = sorted({each.kwargs["column"] for each in expected} & set(frame.columns))
    values = {name: frame[name].drop_nulls().unique().sort() for name in columns}
    # Columns of different lengths: those that end earlier go on as nulls, which no expectation looks at.
    height = max((len(found) for found in values.values()), default=0)
    lines = pl.DataFrame(
        [
            pl.Series("line", range(height), dtype=pl.Int64),
            *(v.extend_constant(None, height - len(v)) for v in values.values()),
        ]
    )
    for each, result in _validate(expected, lines.to_arrow()):
        column = each.kwargs["column"]
        found = result.result or {}
        failed = lines[column].gather(_failed_lines(found)) if column in columns else None
        rows = frame.filter(pl.col(column).is_in(failed.implode())) if failed is not None else frame.clear()
        names = [str(name) for name in rows["example_id"].drop_nulls().head(_LISTED_IDS)]
        labels = found.get("partial_missing_list") or []
        checked, unexpected = frame.height, rows.height
        if not found:
            what = f"it could not be computed, because '{column}' is missing or unusable"
        elif each.type == "ExpectColumnDistinctValuesToContainSet":
            checked, unexpected = (
                len(each.kwargs["value_set"]),
                int(found.get("missing_count") or len(labels)),
            )
            what = f"no row has the label {', '.join(map(repr, labels))}"
        elif isinstance(found.get("observed_value"), int | float):
            what = f"found {found['observed_value']}"
        else:
            of = {"files": f"files ({', '.join(map(repr, names))})", "corrections": "corrected rows"}
            what = f"{unexpected} of {checked} {of.get(each.frame, 'rows')}"
        ids = [] if each.frame == "files" else names
        yield _outcome(each, result, what, checked=checked, unexpected=unexpected, ids=ids)


def _failed_lines(found: Mapping[str, Any]) -> list[int]:
    """Lines of the values that failed; with cell values excluded they come as one mapping of lists, else one a line."""
    lines: list[int] = []
    for entry in found.get("unexpected_index_list") or []:
        place = entry["line"]
        lines.extend(map(int, place) if isinstance(place, list) else [int(place)])
    return lines


def _judge_counts(expected: Sequence[Expectation], numbers: Mapping[str, float]) -> Iterator[CheckOutcome]:
    line = pa.table({"line": [0], **{name: [value] for name, value in numbers.items()}})
    for each, result in _validate(expected, line):
        two = [each.kwargs[name] for name in ("column_A", "column_B") if name in each.kwargs]
        what = " and ".join(f"{numbers[name]:,g}" for name in two or [each.kwargs["column"]])
        yield _outcome(each, result, f"found {what}", checked=1, unexpected=1)


def _judge_schema(expected: Sequence[Expectation], tables: StageTables) -> Iterator[CheckOutcome]:
    """No lines, and one column "name: type" for each column of the table."""
    columns = [f"{field.name}: {field.type}" for field in tables.examples.schema]
    for each, result in _validate(expected, pa.table({name: pa.array([], pa.int64()) for name in columns})):
        found = result.result or {}
        mismatched = (found.get("details") or {}).get("mismatched") or [None]
        what = f"the columns are {', '.join(found.get('observed_value') or [])}"
        columns_wanted = len(each.kwargs["column_list"])
        yield _outcome(each, result, what, checked=columns_wanted, unexpected=len(mismatched))


def _outcome(
    expected: Expectation, result: Any, what: str, *, checked: int, unexpected: int, ids: Sequence[str] = ()
) -> CheckOutcome:
    passed = bool(result.success)
    return CheckOutcome(
        name=expected.name,
        passed=passed,
        severity=expected.severity,
        description=expected.description,
        checked=checked,
        unexpected=0 if passed else max(unexpected, 1),
        example_ids=[] if passed else list(ids),
        advice="" if passed else f"{what}: {expected.advice}",
    )


@cache
def _batch_definition() -> Any:
    """One ephemeral context for the process: nothing on disk, nothing sent, no progress bars."""
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("examples")
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")


def _validate(expected: Sequence[Expectation], table: pa.Table) -> Iterator[tuple[Expectation, Any]]:
    """Each expectation with its result."""
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    batch = _batch_definition().get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(
        name="contract",
        expectations=[
            getattr(gx.expectations, each.type)(
                **each.kwargs, severity=each.severity, meta={"name": each.name}
            )
            for each in expected
        ],
    )
    found = batch.validate(suite, result_format=_RESULT_FORMAT)
    # Results come back in another order than the suite's.
    by_name = {result.expectation_config.meta["name"]: result for result in found.results}
    for each in expected:
        yield each, by_name[each.name]
