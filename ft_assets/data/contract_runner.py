"""Runs a stage's contract with Great Expectations, on a few lines of a pandas frame.

Great Expectations costs 16 to 38 times what the same test costs in a columnar engine, grows with rows and width of its
frame, and reports raw cells unless told not to. So polars makes flags of the rows and counts the different values of
each; Great Expectations judges those values, one line each; which rows have a value that failed is looked up. It never
sees a text. Texts are read in slices, and what is kept of a row are flags and hashes. Not here: what is expected
(`contracts`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported

import great_expectations as gx  # noqa: TID253 - nothing imports this module when the code location loads
import numpy as np
import polars as pl
import pyarrow as pa
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: TID253

from ft_assets.data.config import CleaningConfig
from ft_assets.data.contracts import CheckOutcome, Expectation
from ft_assets.data.examples import StageTables, to_polars
from ft_assets.data.leakage import continued_across, near_across, sharing_a_passage
from ft_assets.data.near_duplicates import SAME
from ft_assets.data.personal import free_of
from ft_assets.data.remembered import Memory, exact_keys
from ft_assets.data.texts import normalised, read_texts
from ft_assets.spill import slices
from ft_assets.turns import texts

__all__ = ["run"]

_LISTED_IDS = 20
_FREE = np.dtype([("free", "?")])
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["line"],
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


def run(
    expected: Sequence[Expectation],
    tables: StageTables,
    splits: Mapping[str, StageTables] | None,
    memory: Memory | None,
) -> list[CheckOutcome]:
    """See `contracts.run`."""
    of = {
        frame: [each for each in expected if each.frame == frame]
        for frame in ("rows", "files", "corrections", "counts", "schema")
    }
    frames: dict[str, pl.DataFrame] = {}
    if of["rows"]:
        frames["rows"] = _rows(of["rows"], tables, splits, memory or Memory())
    if of["files"]:
        frames["files"] = _files(tables)
    if of["corrections"]:
        frames["corrections"] = _corrections(tables)
    numbers = _counts(of["counts"], tables, splits) if of["counts"] else {}
    outcomes = [*_judge(expected, frames, numbers), *_judge_schema(of["schema"], tables)]
    by_name = {outcome.name: outcome for outcome in outcomes}
    return [by_name[each.name] for each in expected]


# --- what is judged -------------------------------------------------------------------------------------------


def _rows(
    expected: Sequence[Expectation],
    tables: StageTables,
    splits: Mapping[str, StageTables] | None,
    memory: Memory,
) -> pl.DataFrame:
    """One line an example: its id and the columns that the expectations name; no text."""
    wanted = {each.kwargs["column"] for each in expected}
    cleaning = {each.kwargs["column"]: each.cleaning for each in expected if each.cleaning is not None}
    private = _Impersonal(cleaning["impersonal"], memory) if "impersonal" in cleaning else None
    frame = pl.concat([_flags(part, private, wanted) for part in map(to_polars, slices(tables.examples))])
    if private is not None:
        private.settle()
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
        near = near_across(splits or {}, threshold, memory)
        frame = frame.with_columns((~pl.col("example_id").is_in(near.implode())).alias("near_only_here"))
    if "conversation_only_here" in wanted:
        continued = continued_across(splits or {})
        frame = frame.with_columns(
            (~pl.col("example_id").is_in(continued.implode())).alias("conversation_only_here")
        )
    if "near_agree" in wanted:
        frame = frame.with_columns(_near_agree(frame, tables))
    return frame.select("example_id", *sorted(wanted & set(frame.columns) - {"example_id"}))


def _flags(part: pl.DataFrame, impersonal: _Impersonal | None, wanted: Collection[str]) -> pl.DataFrame:
    """What is looked at of some rows, each by itself."""
    there = set(part.columns)
    also = {"group"} & set(wanted)  # what only a check of the task's own looks at
    kept = part.select(name for name in ("example_id", "label", *also) if name in there)
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
        if "words" in wanted:
            kept = kept.with_columns(text.str.count_matches(r"\w+").cast(pl.Int64).alias("words"))
    if impersonal is not None and {"context", "text", "label"} <= there:
        kept = kept.with_columns(impersonal(part))
    return kept


def _hashed(values: pl.Series) -> pl.Series:
    """64 bits in the place of a key: of 5 million keys two share them with a chance of one in a million."""
    return values.hash(seed=0)


class _Impersonal:
    """Whether nothing that is read of a row holds personal data: looked for anew in what is to be published, except in
    the very texts that were looked through before, for the same.

    Args:
        cleaning: What is looked for.
        memory: Which texts were free of it, and receives which are.
    """

    def __init__(self, cleaning: CleaningConfig, memory: Memory) -> None:
        self._kinds, self._regions = cleaning.personal_data, cleaning.phone_regions
        self._remembers = memory.folder is not None
        self._free = memory.of("free of personal data", _FREE, kinds=self._kinds, regions=self._regions)

    def __call__(self, frame: pl.DataFrame) -> pl.Series:
        ids, read = _all_read(frame)
        found = ids.filter(~self._free_of(read))
        return (~frame["example_id"].is_in(found.implode())).alias("impersonal")

    def settle(self) -> None:
        """Keep what was found; nothing is asked afterwards."""
        self._free.settle()

    def _free_of(self, read: pl.Series) -> pl.Series:
        if not self._remembers:
            return free_of(read, self._kinds, self._regions)
        keys = exact_keys(read)
        known, found = self._free.find(keys)
        free = np.empty(len(read), bool)
        free[known] = found["free"]
        free[~known] = free_of(read.filter(pl.Series(~known)), self._kinds, self._regions).to_numpy()
        self._free.add(keys[~known], free[~known].astype(_FREE))
        return pl.Series(free)


def _all_read(frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """All texts of the rows, none missing, each with the id of its row."""
    before = frame.select("example_id", "context").drop_nulls()
    with_tools = pl.col("context").str.contains('"tool', literal=True)
    turns = before.filter(~with_tools).with_columns(
        pl.col("context").str.json_decode(pl.List(pl.Struct({"content": pl.String})))
    )
    contents = turns.explode("context").select("example_id", pl.col("context").struct.field("content"))
    # Calls of tools are nested to any depth.
    nested = [
        (example_id, text)
        for example_id, context in before.filter(with_tools).iter_rows()
        for turn in json.loads(context)
        for text in texts(turn)
    ]
    read = [
        (frame["example_id"], frame["text"]),
        (frame["example_id"], frame["label"]),
        tuple(contents),
        tuple(pl.DataFrame(nested, contents.schema, orient="row")),
    ]
    ids = pl.concat([ids for ids, _ in read])
    all_read = pl.concat([each.alias("text") for _, each in read])
    there = all_read.is_not_null()
    return ids.filter(there), all_read.filter(there)


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
                        "text": _hashed(normalised(read_texts(part))),
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
            table.num_rows
            for split in splits.values()
            for table in (split.examples, split.quarantine, split.merged)
        )
        deviation = summary.get("largest_deviation")
        numbers["largest_deviation"] = abs(deviation["deviation"]) if deviation else 0.0
    if any(each.kwargs.get("column") == "sharing_a_passage" for each in expected):
        numbers["sharing_a_passage"] = sharing_a_passage(tables, splits or {})
    return numbers


def _largest_near_cluster(tables: StageTables) -> float:
    largest = tables.summary.get("near_duplicates", {}).get("largest") or [{"rows": 0}]
    return largest[0]["rows"] / max(tables.examples.num_rows, 1)


# --- judging --------------------------------------------------------------------------------------------------


def _judge(
    expected: Sequence[Expectation], frames: Mapping[str, pl.DataFrame], numbers: Mapping[str, float]
) -> Iterator[CheckOutcome]:
    """Judge the different values of each column, and the numbers, all at once: a call costs what 20 lines do not."""
    values = {name: pl.Series([number]) for name, number in numbers.items()}
    for name, frame in frames.items():
        wanted = {each.kwargs["column"] for each in expected if each.frame == name}
        values |= {
            column: frame[column].drop_nulls().unique().sort()
            for column in sorted(wanted & set(frame.columns))
        }
    lines = _side_by_side(values)
    judged = [each for each in expected if each.frame in frames or each.frame == "counts"]
    for each, result in _validate(judged, lines.to_arrow()):
        if each.frame == "counts":
            yield _of_numbers(each, result, numbers)
        else:
            yield _of_values(each, result, frames[each.frame], lines)


def _side_by_side(values: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Columns of different lengths: those that end earlier go on as nulls, which no expectation looks at."""
    height = max((len(found) for found in values.values()), default=0)
    padded = [found.extend_constant(None, height - len(found)).alias(name) for name, found in values.items()]
    return pl.DataFrame([pl.Series("line", range(height), dtype=pl.Int64), *padded])


def _of_values(expected: Expectation, result: Any, frame: pl.DataFrame, lines: pl.DataFrame) -> CheckOutcome:
    """What was found of a column, with the rows that have a value which failed."""
    column, found = expected.kwargs["column"], result.result or {}
    of_labels = expected.type == "ExpectColumnDistinctValuesToContainSet"
    if result.success:
        checked = len(expected.kwargs["value_set"]) if of_labels else frame.height
        return _outcome(expected, result, "", checked=checked, unexpected=0)
    if not found:
        what = f"it could not be computed, because '{column}' is missing or unusable"
        return _outcome(expected, result, what, checked=frame.height, unexpected=1)
    if of_labels:
        missing = found.get("partial_missing_list") or []
        what = f"no row has the label {', '.join(map(repr, missing))}"
        unexpected = int(found.get("missing_count") or len(missing))
        return _outcome(
            expected, result, what, checked=len(expected.kwargs["value_set"]), unexpected=unexpected
        )
    if isinstance(found.get("observed_value"), int | float):
        return _outcome(
            expected, result, f"found {found['observed_value']}", checked=frame.height, unexpected=1
        )
    failed = lines[column].gather(_failed_lines(found))
    rows = frame.filter(pl.col(column).is_in(failed.implode()))
    if rows.height <= (1 - expected.mostly) * frame.height:
        return _outcome(expected, result, "", passed=True, checked=frame.height, unexpected=rows.height)
    names = [str(name) for name in rows["example_id"].drop_nulls().head(_LISTED_IDS)]
    of = {"files": f"files ({', '.join(map(repr, names))})", "corrections": "corrected rows"}
    return _outcome(
        expected,
        result,
        f"{rows.height} of {frame.height} {of.get(expected.frame, 'rows')}",
        checked=frame.height,
        unexpected=rows.height,
        ids=[] if expected.frame == "files" else names,
    )


def _failed_lines(found: Mapping[str, Any]) -> list[int]:
    """Lines of the values that failed; with cell values excluded they come as one mapping of lists, else one a line."""
    lines: list[int] = []
    for entry in found.get("unexpected_index_list") or []:
        place = entry["line"]
        lines.extend(map(int, place) if isinstance(place, list) else [int(place)])
    return lines


def _of_numbers(expected: Expectation, result: Any, numbers: Mapping[str, float]) -> CheckOutcome:
    two = [expected.kwargs[name] for name in ("column_A", "column_B") if name in expected.kwargs]
    what = " and ".join(f"{numbers[name]:,g}" for name in two or [expected.kwargs["column"]])
    return _outcome(expected, result, f"found {what}", checked=1, unexpected=1)


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
    expected: Expectation,
    result: Any,
    what: str,
    *,
    checked: int,
    unexpected: int,
    ids: Sequence[str] = (),
    passed: bool | None = None,
) -> CheckOutcome:
    """`passed` is what the result says, where it is not given."""
    passed = bool(result.success) if passed is None else passed
    return CheckOutcome(
        name=expected.name,
        passed=passed,
        severity=expected.severity,
        description=expected.description,
        checked=checked,
        unexpected=0 if result.success else max(unexpected, 1),
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
    """Each expectation with its result; where it has failed, with what was found. To ask for that of all of them takes
    two thirds more."""
    batch = _batch_definition().get_batch({"dataframe": table.to_pandas()})
    found = _results(batch, expected, {"result_format": "BOOLEAN_ONLY"})
    failed = [each for each in expected if not found[each.name].success]
    if failed:
        found |= _results(batch, failed, _RESULT_FORMAT)
    for each in expected:
        yield each, found[each.name]


def _results(batch: Any, expected: Sequence[Expectation], result_format: dict[str, Any]) -> dict[str, Any]:
    suite = gx.ExpectationSuite(
        name="contract",
        expectations=[
            getattr(gx.expectations, each.type)(
                **each.kwargs, severity=each.severity, meta={"name": each.name}
            )
            for each in expected
        ],
    )
    found = batch.validate(suite, result_format=result_format)
    # Results come back in another order than the suite's.
    return {result.expectation_config.meta["name"]: result for result in found.results}
