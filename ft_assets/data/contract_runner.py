"""Runs a stage's contract with Great Expectations, on narrow Arrow-backed pandas frames.

Great Expectations costs 16 to 38 times what the same test costs in a columnar engine, grows with the width of
its frame, and reports raw cells unless told not to: so what needs the text is computed once, as flags, and it
never sees a text. Not here: what is expected (`contracts`).
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
from ft_assets.data.examples import StageTables, to_polars
from ft_assets.data.personal import free_of
from ft_assets.data.texts import read_texts, text_keys

__all__ = ["run"]

_LISTED_IDS = 20
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["example_id"],
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


def run(
    expected: Sequence[Expectation], tables: StageTables, splits: Mapping[str, StageTables] | None
) -> list[CheckOutcome]:
    """See `contracts.run`."""
    frames = {
        "rows": lambda: _rows(expected, tables, splits),
        "counts": lambda: _counts(tables, splits),
        "schema": lambda: _schema(tables),
        "files": lambda: _files(tables),
    }
    outcomes: dict[str, CheckOutcome] = {}
    for name, frame in frames.items():
        wanted = [each for each in expected if each.frame == name]
        if wanted:
            outcomes |= {outcome.name: outcome for outcome in _validate(wanted, frame())}
    return [outcomes[each.name] for each in expected]


def _rows(
    expected: Sequence[Expectation], tables: StageTables, splits: Mapping[str, StageTables] | None
) -> pd.DataFrame:
    """One line an example: id, label, cluster and the flags that the expectations name; no text."""
    wanted = {each.kwargs["column"] for each in expected if each.frame == "rows" and "column" in each.kwargs}
    frame = to_polars(tables.examples)
    columns = [name for name in ("example_id", "label", "cluster") if name in frame.columns]
    narrow = frame.select(columns)
    if "text" in frame.columns:
        narrow = narrow.with_columns(_text_flags(frame))
    for each in expected:
        if each.cleaning is not None and {"context", "text", "label"} <= set(frame.columns):
            narrow = narrow.with_columns(_impersonal(frame, each.cleaning))
    if "label" in frame.columns:
        label = frame["label"]
        narrow = narrow.with_columns((label.is_not_null() | label.is_null().all()).alias("answered"))
    if "text_key" in frame.columns:
        narrow = narrow.with_columns(
            frame.select(
                pl.col("text_key").is_first_distinct().alias("first_of_text"),
                pl.struct("text_key", "label").is_first_distinct().alias("first_of_text_and_label"),
            )
        )
    if any(column.endswith("_only_here") for column in wanted):
        narrow = narrow.with_columns(_overlap(frame, tables, splits))
    names = ["example_id", *(name for name in narrow.columns if name in wanted and name != "example_id")]
    return _to_pandas(narrow.select(names).to_arrow())


def _text_flags(frame: pl.DataFrame) -> list[pl.Series]:
    text = frame["text"]
    return [
        pl.Series("text_filled", (text != "").replace(False, None)),
        text.str.len_chars().cast(pl.Int64).alias("chars"),
        (~text.str.contains("\ufffd", literal=True)).alias("no_replacement"),
    ]


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


def _overlap(
    frame: pl.DataFrame, tables: StageTables, splits: Mapping[str, StageTables] | None
) -> list[pl.Series]:
    """Whether id, cluster and text of each row are in this split alone."""
    others = [other for other in (splits or {}).values() if other is not tables]
    if len(others) != 2:
        raise ValueError("the contract of a split needs all three splits, this one among them")
    elsewhere = pl.concat([to_polars(other.examples) for other in others])
    texts_elsewhere = pl.concat([_keys(other) for other in others])
    return [
        (~frame["example_id"].is_in(elsewhere["example_id"].implode())).alias("id_only_here"),
        (~frame["cluster"].is_in(elsewhere["cluster"].implode())).alias("cluster_only_here"),
        (~_keys(tables).is_in(texts_elsewhere.implode())).alias("text_only_here"),
    ]


_text_keys: WeakKeyDictionary[StageTables, pl.Series] = WeakKeyDictionary()


def _keys(tables: StageTables) -> pl.Series:
    """The normalised texts of a split: anew from what is to be published, once for three contracts."""
    if tables not in _text_keys:
        _text_keys[tables] = text_keys(read_texts(to_polars(tables.examples)))
    return _text_keys[tables]


def _counts(tables: StageTables, splits: Mapping[str, StageTables] | None) -> pd.DataFrame:
    """One line of numbers. What was kept is counted in the tables, not read from the summary."""
    summary = tables.summary
    accounted = tables.examples.num_rows + tables.merged.num_rows + tables.quarantine.num_rows
    accounted += summary.get("erased", 0)  # of these there is no table, on purpose
    numbers: dict[str, Any] = {
        "rows_in": summary["rows_in"],
        "rows_accounted_for": accounted,
        "quarantined_share": tables.quarantine.num_rows / max(summary["rows_in"], 1),
    }
    if splits is not None:
        numbers["rows_of_all"] = summary["rows_of_all"]
        numbers["rows_in_splits"] = sum(
            split.examples.num_rows + split.quarantine.num_rows for split in splits.values()
        )
        deviation = summary.get("largest_deviation")
        numbers["largest_deviation"] = abs(deviation["deviation"]) if deviation else 0.0
    # The id column is there because the result format names it; the line has none.
    return _to_pandas(pa.table({"example_id": ["-"], **{name: [value] for name, value in numbers.items()}}))


def _schema(tables: StageTables) -> pd.DataFrame:
    return pd.DataFrame(columns=[f"{field.name}: {field.type}" for field in tables.examples.schema])


def _files(tables: StageTables) -> pd.DataFrame:
    files = tables.summary.get("files", [])
    columns = {
        "example_id": pa.array(
            [file["file"] for file in files], pa.string()
        ),  # as the result format names it
        "readable": pa.array(["unreadable" not in file for file in files], pa.bool_()),
    }
    return _to_pandas(pa.table(columns))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(types_mapper=pd.ArrowDtype)


@cache
def _batch_definition() -> Any:
    """One ephemeral context for the process: nothing on disk, nothing sent, no progress bars."""
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("examples")
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")


def _validate(expected: Sequence[Expectation], frame: pd.DataFrame) -> Iterator[CheckOutcome]:
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
        yield _outcome(each, by_name[each.name], len(frame))


def _outcome(expected: Expectation, result: Any, rows: int) -> CheckOutcome:
    passed, values = bool(result.success), result.result or {}
    unexpected = 0 if passed else int(values.get("unexpected_count") or values.get("missing_count") or 1)
    mismatched = (values.get("details") or {}).get("mismatched")
    checked = int(values.get("element_count", rows))
    if expected.type == "ExpectTableColumnsToMatchOrderedList":
        checked = len(expected.kwargs["column_list"])
        unexpected = len(mismatched) if mismatched else unexpected
    elif expected.type == "ExpectColumnDistinctValuesToContainSet":
        checked = len(expected.kwargs["value_set"])
    return CheckOutcome(
        name=expected.name,
        passed=passed,
        severity=expected.severity,
        description=expected.description,
        checked=checked,
        unexpected=unexpected,
        example_ids=[] if passed or expected.frame != "rows" else _ids(values),
        advice="" if passed else f"{_found(expected, values, checked, unexpected)}: {expected.advice}",
    )


def _ids(values: Mapping[str, Any]) -> list[str]:
    """Ids of failing rows; with cell values excluded they come as one mapping of lists, else as one a row."""
    ids: list[str] = []
    for entry in values.get("unexpected_index_list") or []:
        found = entry["example_id"]
        ids.extend(found if isinstance(found, list) else [found])
    return [str(each) for each in ids[:_LISTED_IDS]]


def _found(expected: Expectation, values: Mapping[str, Any], checked: int, unexpected: int) -> str:
    """What was found, in numbers and names of columns and labels."""
    if not values:
        column = expected.kwargs.get("column", "a column")
        return f"it could not be computed, because '{column}' is missing or unusable"
    if expected.type == "ExpectTableColumnsToMatchOrderedList":
        return f"the columns are {', '.join(values.get('observed_value') or [])}"
    if expected.type == "ExpectColumnDistinctValuesToContainSet":
        return f"no row has the label {', '.join(map(repr, values.get('partial_missing_list') or []))}"
    if isinstance(values.get("observed_value"), int | float):
        return f"found {values['observed_value']}"
    if expected.frame == "counts":
        return "the numbers differ" if "column_A" in expected.kwargs else "above the limit"
    what = f"files ({', '.join(map(repr, _ids(values)))})" if expected.frame == "files" else "rows"
    return f"{unexpected} of {checked} {what}"
