"""The raw stage: rows of all sources as one table, in source order, each with its id and where it stood.

Here: ids, groups, files that cannot be used as a whole. A row that cannot be read goes to quarantine and the
others go on. A file more than half of whose rows cannot be read is refused as a whole, because then its encoding
or format is wrong and not the rows; it goes to quarantine as one entry, and the other files go on. Where no file
is left, that is an error. Not here: the formats (`ft_assets.data.formats`), finding and fetching
files (`ft_assets.sources`), any repair of what was read (`cleaning`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import ColumnRef, ColumnsConfig, SourceConfig
from ft_assets.data.examples import QUARANTINE_SCHEMA, RAW_SCHEMA, StageTables, counts, example_ids, first_ids
from ft_assets.data.formats import (
    UNDECODABLE,
    UNREADABLE_FILE,
    Column,
    Record,
    Refusal,
    Wanted,
    arrow,
    compression,
    delimited,
    function,
    json_array,
    jsonl,
    parquet,
    sniff,
    text,
)
from ft_assets.data.forms import Form, Unusable, columns_by_field, recognised
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
    "json": json_array.read,
    "arrow": arrow.read,
    "text": text.read,
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
        `files` (source, file, rows, refused; erased where there are any; `unreadable`, the reason, of a file that
        was refused, which counts as one row), `groups` (different ones),
        `without_group` and `without_label` (rows); where rows are conversations `forms` (file, form, mapping).

    Raises:
        UserError: A source cannot be used, or none of the files: says which, why, and what to do.
    """
    layout = load_layout(task_type)
    seen: dict[bytes, int] = {}
    faults: list[UserError] = []
    parts = [
        read_source(
            source, files, columns, layout, seen=seen, base=base, suppressed=suppressed, faults=faults
        )
        for source, files in sources
    ]
    made = _together(parts)
    if faults and len(faults) == len(made.summary["files"]):
        raise faults[0]
    return made


def read_source(
    source: SourceConfig,
    files: Sequence[ResolvedFile],
    columns: ColumnsConfig,
    layout: Layout,
    *,
    seen: dict[bytes, int] | None = None,
    base: Path | None = None,
    suppressed: Collection[str] = frozenset(),
    faults: list[UserError] | None = None,
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
        faults: Receives why files were refused; where not given, the first of them is raised.
    """
    seen = {} if seen is None else seen
    reader = _Source(source, columns, layout, seen, suppressed)
    if source.function is not None:
        rows = function.read(source.function, base or Path.cwd(), reader.wanted)
        return reader.table(source.function, rows)
    if not files:
        raise UserError("no file was found", where=f"source '{source.path}'", do="check the path or pattern")
    return _together([_read_or_refuse(file, source, reader, faults) for file in files])


def _read_or_refuse(
    file: ResolvedFile, source: SourceConfig, reader: _Source, faults: list[UserError] | None
) -> StageTables:
    before = reader.seen
    # The rows of a file that is refused half-way have not been seen: those of other files keep their ids.
    reader.seen = _Seen(before)
    try:
        made = _read_file(file, source, reader)
        before.update(reader.seen)
        return made
    except compression.NoRoom:
        raise
    except UserError as error:
        # Files of several sources may have the same name.
        where = f"{error.where} (at {file.path})"
        fault = UserError(error.what, where=where, do=error.do)
        fault.__cause__ = error.__cause__
        if faults is None:
            raise fault from error.__cause__
        faults.append(fault)
        reader.seen = before
        return reader.unreadable(file.name, error)
    finally:
        reader.seen = before


class _Seen(dict[bytes, int]):
    """Occurrences counted in one file, on top of those before it."""

    def __init__(self, before: dict[bytes, int]) -> None:
        super().__init__()
        self._before = before

    def get(self, key: bytes, default: Any = None) -> Any:
        found = super().get(key)
        return self._before.get(key, default) if found is None else found


def _read_file(file: ResolvedFile, source: SourceConfig, reader: _Source) -> StageTables:
    kind = sniff.file_format(file.name, source)
    with compression.unpacked(file.path, file.name, source) as path:
        sniff.check(path, file.name, kind, source.encoding)
        return reader.table(file.name, _READERS[kind](path, file.name, source, reader.wanted))


class _Row(NamedTuple):
    """A row by its meaning."""

    row: int
    context: str | None
    text: str | None
    label: str | None
    group: str | None


@dataclass
class _Source:
    """What all files of a source have in common."""

    source: SourceConfig
    columns: ColumnsConfig
    layout: Layout
    seen: dict[bytes, int]
    suppressed: Collection[str]
    wanted: Wanted = field(init=False)
    erased: int = field(init=False, default=0)
    """Rows of the present file that were left out."""
    form: Form | None = field(init=False, default=None)
    """That of the present file, where rows are conversations."""
    _fields: list[str] = field(init=False, default_factory=list)
    """The form's fields in the order of a record's values."""
    _renamed: dict[str, str] = field(init=False, default_factory=dict)
    """Columns of the present file that are called otherwise than the field that they hold."""
    _where: str = field(init=False, default="")

    def __post_init__(self) -> None:
        group = self.columns.group
        pattern = group.pattern if isinstance(group, ColumnRef) else None
        self._pattern = re.compile(pattern) if pattern is not None else None
        column = group.column if isinstance(group, ColumnRef) else group
        self._group_column = [column] if column is not None else []
        if self.layout.forms:
            self.wanted = self._columns_of_form
        else:
            self.wanted = [self.columns.text, self.columns.label, *self._group_column]

    def _columns_of_form(self, there: Sequence[str]) -> Sequence[str]:
        """Recognise the form of the present file; the columns that hold its fields, and the group."""
        named = columns_by_field(there, self.columns.rename, self._where)
        form = recognised(list(named), self.layout.forms, self.columns.layout, self._where)
        # A row further down may have an optional column that those looked at have not.
        later = columns_by_field([*self.columns.rename, *form.optional], self.columns.rename)
        optional = {name: place for name, place in (later | named).items() if name in form.optional}
        self.form, self._fields = form, [*form.fields, *optional]
        self._renamed = {name: field for field, name in named.items() if name != field}
        wanted = [Column(named[name], nested=name in form.nested) for name in form.fields]
        wanted += [Column(name, optional=True) for name in optional.values()]
        return [*wanted, *self._group_column]

    def table(self, where: str, rows: Iterable[Record | Refusal]) -> StageTables:
        """All rows of one file (or function) as tables."""
        self._where, self.form = where, None
        good, bad = [RAW_SCHEMA.empty_table()], [QUARANTINE_SCHEMA.empty_table()]
        total, rules, first = 0, Counter[str](), ""
        for chunk in _chunks(rows):
            total += len(chunk)
            made = [row if isinstance(row, Refusal) else self._row(row) for row in chunk]
            refusals = [row for row in made if isinstance(row, Refusal)]
            rules.update(refusal.rule for refusal in refusals)
            first = first or (refusals[0].reason if refusals else "")
            good.append(self._examples(where, [row for row in made if isinstance(row, _Row)]))
            bad.append(self._refused(where, refusals))
        self._judge(where, total, rules, first)
        examples, refused = pa.concat_tables(good), pa.concat_tables(bad)
        entry = {"source": self.source.name, "file": where, "rows": total, "refused": refused.num_rows}
        if self.erased:
            entry["erased"], self.erased = self.erased, 0
        return _tables(total, examples, refused, [entry], self._forms())

    def unreadable(self, where: str, error: UserError) -> StageTables:
        """A file that was refused: one entry of the quarantine."""
        self.erased = 0
        reason = "; ".join(part for part in (f"{error.where}: {error.what}", error.do) if part)
        refused = self._refused(where, [Refusal(None, UNREADABLE_FILE, reason, b"")], (where.encode(),))
        entry = {"source": self.source.name, "file": where, "rows": 1, "refused": refused.num_rows}
        entry["unreadable"] = reason
        if self.erased:
            entry["erased"], self.erased = self.erased, 0
        return _tables(1, RAW_SCHEMA.empty_table(), refused, [entry], [])

    def _forms(self) -> list[dict[str, str]]:
        """How the present file was read, for people."""
        if self.form is None:
            return []
        fields = (*self.form.fields, *self.form.optional)
        renamed = [f"{name} as {to}" for name, to in self._renamed.items() if to in fields]
        mapping = self.form.mapping + (f" ({', '.join(renamed)})" if renamed else "")
        return [{"file": self._where, "form": self.form.name, "mapping": mapping}]

    def _row(self, record: Record) -> _Row | Refusal:
        """What a record holds, by its meaning."""
        *values, group = record.values if self._group_column else [*record.values, None]
        if self.form is None:
            text, label = values
            return _Row(record.row, None, text, label, self._group(group))
        held = dict(zip(self._fields, values, strict=True))
        try:
            turns = self.form.read(held)
        except Unusable as fault:
            raw = json.dumps(held, ensure_ascii=False).encode("utf-8", "replace")
            # What is kept is written in the source's encoding, as all that it holds.
            raw = raw.decode().encode(self.source.encoding, "replace")
            return Refusal(record.row, fault.rule, f"{self._where}, row {record.row}: {fault.reason}", raw)
        return _Row(record.row, *turns, self._group(group))

    def _examples(self, where: str, rows: Sequence[_Row]) -> pa.Table:
        columns: dict[str, Sequence[str | None]] = {
            name: [getattr(row, name) for row in rows] for name in ("context", "text", "label", "group")
        }
        inputs = zip(*(columns[name] for name in self.layout.input_fields), strict=True)
        encoded = [[None if value is None else value.encode() for value in row] for row in inputs]
        count = len(rows)
        table = pa.table(
            {
                "example_id": example_ids(self.source.name, encoded, self.seen),
                "source": [self.source.name] * count,
                "file": [where] * count,
                "row": [row.row for row in rows],
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

    def _refused(self, where: str, refusals: Sequence[Refusal], also: tuple[bytes, ...] = ()) -> pa.Table:
        # Two leading fields that no readable row has keep these ids apart from those of examples.
        raw = [(None, b"refused", refusal.raw, *also) for refusal in refusals]
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
                do="compare `format:`, `delimiter:`, `quoting:` and `columns:` with the file's first lines"
                + (f"; it was read as {self.form.name}: {self.form.mapping}" if self.form else ""),
            )


def _chunks(rows: Iterable[Record | Refusal]) -> Iterator[list[Record | Refusal]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK_ROWS)):
        yield chunk


def _together(parts: Sequence[StageTables]) -> StageTables:
    files, forms = (
        [entry for part in parts for entry in part.summary.get(name, [])] for name in ("files", "forms")
    )
    return _tables(
        sum(part.summary["rows_in"] for part in parts),
        pa.concat_tables([part.examples for part in parts]),
        pa.concat_tables([part.quarantine for part in parts]).sort_by("example_id"),
        files,
        forms,
    )


def _tables(
    total: int,
    examples: pa.Table,
    quarantine: pa.Table,
    files: list[dict[str, Any]],
    forms: list[dict[str, str]],
) -> StageTables:
    tables = StageTables(examples, quarantine)
    summary = counts(total, examples, quarantine, tables.merged) | {
        "erased": sum(entry.get("erased", 0) for entry in files),
        "files": files,
        "groups": pc.count_distinct(examples["group"]).as_py(),
        "without_group": examples["group"].null_count,
        "without_label": examples["label"].null_count,
    }
    if forms:
        summary["forms"] = forms
    return StageTables(examples, quarantine, tables.merged, summary)
