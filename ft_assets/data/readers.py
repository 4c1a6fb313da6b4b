"""The raw stage: rows of all sources as one table, in source order, each with its id and where it stood.

Here: ids, groups, files that cannot be used as a whole. A row that cannot be read goes to quarantine and the
others go on; a file more than half of whose rows cannot be read is an error, because then the task's encoding
or format is wrong and not the rows. Not here: the formats (`ft_assets.data.formats`), finding and fetching
files (`ft_assets.sources`), any repair of what was read (`cleaning`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import ColumnRef, ColumnsConfig, SourceConfig
from ft_assets.data.examples import QUARANTINE_SCHEMA, RAW_SCHEMA, StageTables, counts, example_ids, first_ids
from ft_assets.data.formats import UNDECODABLE, Record, Refusal, delimited, function, jsonl, parquet, sniff
from ft_assets.data.layouts import Layout, load_layout
from ft_assets.errors import UserError

if TYPE_CHECKING:
    from ft_assets.sources import ResolvedFile

__all__ = ["raw_examples", "read_source"]

STAGE = "raw_examples"
_READERS = {
    "csv": delimited.read_csv,
    "tsv": delimited.read_tsv,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
}
_CHUNK_ROWS = 10_000


def raw_examples(
    sources: Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]],
    columns: ColumnsConfig,
    task_type: str = "text-classification",
    base: Path | None = None,
    suppressed: Collection[str] = frozenset(),
) -> StageTables:
    """Read all sources of a task.

    Args:
        sources: Each source with its files in reading order; a function source has none.
        columns: Which columns hold what.
        task_type: Says which columns are input, and so make the id.
        base: Folder in which the modules of function sources are looked for first; the working directory
            when not given.
        suppressed: Ids of erased rows. They are left out and counted, wherever they stand now; so is every row
            that equals one of them, because only their order tells the ids of equal rows apart.

    Returns:
        `RAW_SCHEMA` rows in source order. Beyond the common counts the summary has `erased` (rows left out),
        `files` (source, file, rows, refused; erased where there are any), `groups` (different ones),
        `without_group` and `without_label` (rows).

    Raises:
        UserError: A source or file cannot be used: says which, why, and what to do.
    """
    layout = load_layout(task_type)
    seen: dict[bytes, int] = {}
    parts = [
        read_source(source, files, columns, layout, seen=seen, base=base, suppressed=suppressed)
        for source, files in sources
    ]
    return _together(parts)


def read_source(
    source: SourceConfig,
    files: Sequence[ResolvedFile],
    columns: ColumnsConfig,
    layout: Layout,
    *,
    seen: dict[bytes, int] | None = None,
    base: Path | None = None,
    suppressed: Collection[str] = frozenset(),
) -> StageTables:
    """Read one source; arguments, result and errors as for `raw_examples`.

    Args:
        source: The source.
        files: Its files in reading order.
        columns: Which columns hold what.
        layout: Which columns are input.
        seen: Occurrences counted so far, shared by the sources of a task.
        base: As for `raw_examples`.
        suppressed: As for `raw_examples`.
    """
    seen = {} if seen is None else seen
    reader = _Source(source, columns, layout, seen, suppressed)
    if source.function is not None:
        rows = function.read(source.function, base or Path.cwd(), reader.wanted)
        return reader.table(source.function, rows)
    if not files:
        raise UserError("no file was found", where=f"source '{source.path}'", do="check the path or pattern")
    return _together([_read_file(file, source, reader) for file in files])


def _read_file(file: ResolvedFile, source: SourceConfig, reader: _Source) -> StageTables:
    try:
        kind = sniff.file_format(file.name, source)
        sniff.check(file.path, file.name, kind, source.encoding)
        return reader.table(file.name, _READERS[kind](file.path, file.name, source, reader.wanted))
    except UserError as error:
        # Files of several sources may have the same name.
        raise UserError(error.what, where=f"{error.where} (at {file.path})", do=error.do) from error.__cause__


@dataclass
class _Source:
    """What all files of a source have in common."""

    source: SourceConfig
    columns: ColumnsConfig
    layout: Layout
    seen: dict[bytes, int]
    suppressed: Collection[str]
    wanted: list[str] = field(init=False)
    erased: int = field(init=False, default=0)
    """Rows of the present file that were left out."""

    def __post_init__(self) -> None:
        group = self.columns.group
        self.wanted = [self.columns.text, self.columns.label]
        if group is not None:
            self.wanted.append(group.column if isinstance(group, ColumnRef) else group)
        pattern = group.pattern if isinstance(group, ColumnRef) else None
        self._pattern = re.compile(pattern) if pattern is not None else None

    def table(self, where: str, rows: Iterable[Record | Refusal]) -> StageTables:
        """All rows of one file (or function) as tables."""
        good, bad = [RAW_SCHEMA.empty_table()], [QUARANTINE_SCHEMA.empty_table()]
        total, rules, first = 0, Counter[str](), ""
        for chunk in _chunks(rows):
            total += len(chunk)
            refusals = [row for row in chunk if isinstance(row, Refusal)]
            rules.update(refusal.rule for refusal in refusals)
            first = first or (refusals[0].reason if refusals else "")
            good.append(self._examples(where, [row for row in chunk if isinstance(row, Record)]))
            bad.append(self._refused(where, refusals))
        self._judge(where, total, rules, first)
        examples, refused = pa.concat_tables(good), pa.concat_tables(bad)
        entry = {"source": self.source.name, "file": where, "rows": total, "refused": refused.num_rows}
        if self.erased:
            entry["erased"], self.erased = self.erased, 0
        return _tables(total, examples, refused, [entry])

    def _examples(self, where: str, records: Sequence[Record]) -> pa.Table:
        values = list(zip(*(record.values for record in records), strict=True)) or [()] * len(self.wanted)
        columns: dict[str, Sequence[str | None]] = {"text": values[0], "label": values[1]}
        columns["group"] = (
            [self._group(value) for value in values[2]] if len(values) > 2 else [None] * len(records)
        )
        inputs = zip(*(columns[name] for name in self.layout.input_fields), strict=True)
        encoded = [[None if value is None else value.encode() for value in row] for row in inputs]
        count = len(records)
        table = pa.table(
            {
                "example_id": example_ids(self.source.name, encoded, self.seen),
                "source": [self.source.name] * count,
                "file": [where] * count,
                "row": [record.row for record in records],
                **columns,
            },
            schema=RAW_SCHEMA,
        )
        return self._without_erased(table, encoded)

    def _without_erased(self, table: pa.Table, records: Sequence[Sequence[bytes | None]]) -> pa.Table:
        if not self.suppressed:
            return table
        ids = zip(table["example_id"].to_pylist(), first_ids(self.source.name, records), strict=True)
        kept = [own not in self.suppressed and first not in self.suppressed for own, first in ids]
        self.erased += kept.count(False)
        return table.filter(pa.array(kept, pa.bool_()))

    def _group(self, value: str | None) -> str | None:
        if value is None or self._pattern is None:
            return (value or "").strip() or None
        match = self._pattern.search(value)
        return (match[self._pattern.groups] or "").strip() or None if match else None

    def _refused(self, where: str, refusals: Sequence[Refusal]) -> pa.Table:
        # Two leading fields that no readable row has keep these ids apart from those of examples.
        raw = [(None, b"refused", refusal.raw) for refusal in refusals]
        count = len(refusals)
        table = pa.table(
            {
                "example_id": example_ids(self.source.name, raw, self.seen),
                "stage": [STAGE] * count,
                "rule": [refusal.rule for refusal in refusals],
                "reason": [refusal.reason for refusal in refusals],
                "text": [refusal.raw.decode(self.source.encoding, "replace") for refusal in refusals],
                "file": [where] * count,
                "row": [refusal.row for refusal in refusals],
            },
            schema=QUARANTINE_SCHEMA,
        )
        return self._without_erased(table, raw)

    def _judge(self, where: str, total: int, rules: Counter[str], first: str) -> None:
        if total == 0:
            raise UserError(
                "there are no rows", where=where, do="give a source with rows, or take it out of `sources`"
            )
        if rules[UNDECODABLE] * 2 > total:
            raise UserError(
                f"{rules[UNDECODABLE]} of {total} rows are not {self.source.encoding}",
                where=where,
                do="set `encoding:` in sources, for example to cp1252, latin-1 or utf-16",
            )
        if rules.total() * 2 > total:
            raise UserError(
                f"{rules.total()} of {total} rows cannot be read",
                where=f"{where}; the first of them: {first}",
                do="compare `format:`, `delimiter:`, `quoting:` and `columns:` with the file's first lines",
            )


def _chunks(rows: Iterable[Record | Refusal]) -> Iterator[list[Record | Refusal]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK_ROWS)):
        yield chunk


def _together(parts: Sequence[StageTables]) -> StageTables:
    files = [entry for part in parts for entry in part.summary["files"]]
    return _tables(
        sum(part.summary["rows_in"] for part in parts),
        pa.concat_tables([part.examples for part in parts]),
        pa.concat_tables([part.quarantine for part in parts]).sort_by("example_id"),
        files,
    )


def _tables(total: int, examples: pa.Table, quarantine: pa.Table, files: list[dict[str, Any]]) -> StageTables:
    tables = StageTables(examples, quarantine)
    summary = counts(total, examples, quarantine, tables.merged) | {
        "erased": sum(entry.get("erased", 0) for entry in files),
        "files": files,
        "groups": pc.count_distinct(examples["group"]).as_py(),
        "without_group": examples["group"].null_count,
        "without_label": examples["label"].null_count,
    }
    return StageTables(examples, quarantine, tables.merged, summary)
