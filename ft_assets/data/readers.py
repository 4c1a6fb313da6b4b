"""The raw stage: rows of all sources as one table, in source order, each with its id and where it stood.

Here: ids, groups, files that cannot be used as a whole. A row that cannot be read goes to quarantine and the
others go on. A file more than half of whose rows cannot be read is refused as a whole, because then its encoding
or format is wrong and not the rows; it goes to quarantine as one entry, and the other files go on. Where no file
is left, that is an error. Not here: the formats (`ft_assets.data.formats`), finding and fetching
files (`ft_assets.sources`), which files need not be read again (`taken_over`), any repair of what was read
(`cleaning`).
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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import ColumnRef, ColumnsConfig, SourceConfig
from ft_assets.data.examples import (
    QUARANTINE_SCHEMA,
    RAW_SCHEMA,
    StageTables,
    counts,
    digests,
    example_ids,
    occurrences,
)
from ft_assets.data.formats import (
    MALFORMED,
    UNDECODABLE,
    UNREADABLE_FILE,
    Column,
    Record,
    Refusal,
    Wanted,
    arrow,
    compression,
    delimited,
    disk,
    function,
    json_array,
    jsonl,
    parquet,
    sniff,
    sql,
    text,
)
from ft_assets.data.forms import Form, Unusable, columns_by_field, recognised
from ft_assets.data.layouts import Layout, load_layout
from ft_assets.data.ratings import as_label, is_list, pseudonym
from ft_assets.data.taken_over import EqualRows, TakenOver
from ft_assets.data.times import microseconds
from ft_assets.errors import UserError
from ft_assets.sources.files import shown_name
from ft_assets.spill import Spill, slices, take

if TYPE_CHECKING:
    from ft_assets.sources import ResolvedFile

__all__ = ["raw_examples"]

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
_NO_TIME = "what `columns.time` names is no time: neither ISO 8601 nor a number of seconds since 1970"


def raw_examples(
    sources: Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]],
    columns: ColumnsConfig,
    task_type: str = "text-classification",
    base: Path | None = None,
    suppressed: Collection[str] = frozenset(),
    *,
    former_names: Collection[str] = (),
    before: TakenOver | None = None,
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
        former_names: What sources may have been called when rows were erased. A row stays out, too, if it is suppressed
            by the id that it had then.
        before: Files that stand before those of the sources, and need not be read again; none of their rows is
            erased. The result is that of reading them, too.

    Returns:
        `RAW_SCHEMA` rows in source order. Beyond the common counts the summary has `erased` (rows left out),
        `files` (source, file, rows, refused; erased where there are any; `unreadable`, the reason, of a file that
        was refused, which counts as one row), `groups` (different ones),
        `without_group`, `without_label` and `without_time` (rows); where rows are conversations `forms` (file, form,
        mapping).

    Raises:
        UserError: A source cannot be used, or none of the files: says which, why, and what to do.
    """
    layout, before = load_layout(task_type), before or TakenOver()
    erased = _Erased(suppressed, sorted(set(former_names) - {source.name for source, _ in sources}))
    good, bad = Spill(_unidentified(RAW_SCHEMA)), Spill(_unidentified(QUARANTINE_SCHEMA))
    files_read: list[_File] = []
    faults: list[UserError] = []
    for source, files in sources:
        for file, its_rows, its_refusals in _read(
            _Source(source, columns, layout, erased), files, base, faults
        ):
            good.add(its_rows)
            bad.add(its_refusals)
            files_read.append(file)
    if faults and len(faults) == len(files_read) and not before.files:
        raise faults[0]
    examples, kept = _identified(good.table(), before.examples, suppressed)
    refused, kept_refused = _identified(bad.table(), before.quarantine, suppressed)
    refused = take(refused, pc.sort_indices(refused["example_id"]).to_numpy())
    tables = StageTables(examples, refused)
    entries = [*before.files, *_entries(files_read, kept, kept_refused)]
    summary = counts(sum(entry["rows"] for entry in entries), examples, refused, tables.merged) | {
        "erased": int((~kept).sum() + (~kept_refused).sum()),
        "files": entries,
        "groups": pc.count_distinct(examples["group"]).as_py(),
        "without_group": examples["group"].null_count,
        "without_label": examples["label"].null_count,
        "without_time": examples["time"].null_count,
    }
    forms = [*before.forms, *({"file": file.name} | file.form for file in files_read if file.form)]
    return StageTables(examples, refused, tables.merged, summary | ({"forms": forms} if forms else {}))


def _read(
    reader: _Source, files: Sequence[ResolvedFile], base: Path | None, faults: list[UserError]
) -> Iterator[tuple[_File, pa.Table, pa.Table]]:
    """Each file of a source, its rows and its refusals. Why a file cannot be used is added to the faults."""
    source = reader.source
    if source.function is not None:
        rows = function.read(source.function, base or Path.cwd(), reader.wanted)
        yield reader.tables(source.function, rows)
        return
    if source.sql is not None:
        rows = sql.read(source, base or Path.cwd(), reader.wanted)
        yield reader.tables(sql.name_of(source), rows)
        return
    if not files:
        raise UserError("no file was found", where=f"source '{source.path}'", do="check the path or pattern")
    for file in files:
        try:
            yield _read_file(file, reader)
        except compression.NoRoom:
            raise
        except UserError as error:
            # Files of several sources may have the same name.
            where = f"{error.where} (at {shown_name(str(file.path))})"
            fault = UserError(error.what, where=where, do=error.do)
            fault.__cause__ = error.__cause__
            faults.append(fault)
            yield reader.unreadable(file.name, error)


def _read_file(file: ResolvedFile, reader: _Source) -> tuple[_File, pa.Table, pa.Table]:
    source = reader.source
    kind = sniff.file_format(file.name, source)
    disk.check(file.path, file.name)
    with compression.unpacked(file.path, file.name, source) as path:
        sniff.check(path, file.name, kind, source.encoding, whole=source.whole_file)
        rows = _READERS[kind](path, file.name, source, reader.wanted)
        try:
            return reader.tables(file.name, disk.told(rows, file.name))
        except UnicodeError as error:  # some codecs give up: UTF-16 without its mark, ISO 2022 cut off
            raise UserError(
                f"the file is not {source.encoding}",
                where=file.name,
                do="set `encoding:` in sources to what it is, or convert the file",
            ) from error


def _unidentified(schema: pa.Schema) -> pa.Schema:
    """The schema before rows have ids: an id counts equal rows, and which ones stand before is known at the end."""
    return schema.set(schema.get_field_index("example_id"), pa.field("example_id", pa.binary(16)))


def _identified(
    table: pa.Table, before: pa.Table, suppressed: Collection[str]
) -> tuple[pa.Table, np.ndarray]:
    """The rows before and, with their ids, those of the table that are not suppressed; and which of the table's are
    kept."""
    number, start = occurrences(table["example_id"]), 0
    equal = EqualRows(before["example_id"])
    ids = [pa.array([], pa.string())]
    kept = np.ones(table.num_rows, dtype=bool)
    for part in slices(table.select(["example_id"])):
        end, keys = start + part.num_rows, part["example_id"].to_pylist()
        own = example_ids(keys, (equal.count(keys) + number[start:end]).tolist())
        if suppressed:
            first = example_ids(keys, [0] * len(keys))
            kept[start:end] = [
                one not in suppressed and other not in suppressed
                for one, other in zip(own, first, strict=True)
            ]
        ids.append(pa.array(own, pa.string()))
        start = end
    place = before.schema.get_field_index("example_id")
    identified = table.set_column(place, before.schema.field(place), pa.chunked_array(ids))
    identified = identified if kept.all() else take(identified, np.flatnonzero(kept))
    return pa.concat_tables([before, identified]), kept


@dataclass(frozen=True)
class _Erased:
    """Rows that are kept out, and names that no source has any longer."""

    ids: Collection[str]
    names: Sequence[str]

    def digests(self, source: str, records: Sequence[Sequence[bytes | None]]) -> list[bytes]:
        """The digests of a source's records; of those that were erased under a former name the ones from then, by which
        they are known."""
        found = digests(source, records)
        for name in self.names:
            then = digests(name, records)
            known = example_ids(then, [0] * len(then))
            found = [
                old if one in self.ids else new for new, old, one in zip(found, then, known, strict=True)
            ]
        return found


class _File(NamedTuple):
    """A file (or function) that was read, in numbers and words."""

    source: str
    name: str
    rows: int
    kept: int
    refused: int
    form: dict[str, str] | None = None
    """How it was read, for people, where rows are conversations."""
    unreadable: str = ""
    """Why it was refused as a whole."""


def _entries(files: Sequence[_File], kept: np.ndarray, kept_refused: np.ndarray) -> list[dict[str, Any]]:
    """The files for the summary, given which of all rows and of all refusals have not been erased."""
    entries, row, refusal = [], 0, 0
    for file in files:
        refused = int(kept_refused[refusal : refusal + file.refused].sum())
        erased = file.kept - int(kept[row : row + file.kept].sum()) + file.refused - refused
        row, refusal = row + file.kept, refusal + file.refused
        entry = {"source": file.source, "file": file.name, "rows": file.rows, "refused": refused}
        entry |= {"unreadable": file.unreadable} if file.unreadable else {}
        entries.append(entry | ({"erased": erased} if erased else {}))
    return entries


class _Row(NamedTuple):
    """A row by its meaning."""

    row: int
    context: str | None
    text: str | None
    label: str | None
    group: str | None
    time: int | None


@dataclass
class _Picked:
    """A column beside those that make the row, and the part of its value that is meant."""

    ref: str | ColumnRef
    moment: bool = False

    def __post_init__(self) -> None:
        pattern = self.ref.pattern if isinstance(self.ref, ColumnRef) else None
        self._pattern = re.compile(pattern) if pattern is not None else None
        self.column = Column(
            self.ref.column if isinstance(self.ref, ColumnRef) else self.ref, moment=self.moment
        )

    def __call__(self, value: str | None) -> str | None:
        """What is meant of a value; None where that is nothing."""
        if value is None or self._pattern is None:
            return (value or "").strip() or None
        match = self._pattern.search(value)
        return (match[self._pattern.groups] or "").strip() or None if match else None


@dataclass
class _Source:
    """What all files of a source have in common."""

    source: SourceConfig
    columns: ColumnsConfig
    layout: Layout
    erased: _Erased
    wanted: Wanted = field(init=False)
    form: Form | None = field(init=False, default=None)
    """That of the present file, where rows are conversations."""
    _fields: list[str] = field(init=False, default_factory=list)
    """The form's fields in the order of a record's values."""
    _renamed: dict[str, str] = field(init=False, default_factory=dict)
    """Columns of the present file that are called otherwise than the field that they hold."""
    _where: str = field(init=False, default="")

    def __post_init__(self) -> None:
        group, time = self.columns.group, self.columns.time
        self._group = None if group is None else _Picked(group)
        self._time = None if time is None else _Picked(time, moment=True)
        self._beside = [each.column for each in (self._group, self._time) if each is not None]
        if self.layout.forms:
            self.wanted = self._columns_of_form
        else:
            self.wanted = [self.columns.text, *self._label_columns(), *self._beside]

    def _label_columns(self) -> list[str]:
        columns = self.columns
        if columns.ratings:
            return [Column(name, nested=True) for name in columns.ratings]
        return [columns.label, *([columns.rater] if columns.rater else [])]

    def _label(self, values: Sequence[str | None]) -> str | None:
        """The raw label: what stands in its column, or the ratings."""
        columns = self.columns
        if columns.ratings:
            # A column is a rater, a list in it those of people whom nothing tells apart.
            raters = zip(columns.ratings, values, strict=True)
            return as_label((None if is_list(value) else pseudonym(name), value) for name, value in raters)
        if columns.rater:
            label, rater = values
            return as_label([(pseudonym(rater) if rater and rater.strip() else None, label)])
        return values[0]

    def _columns_of_form(self, there: Sequence[str]) -> Sequence[str]:
        """Recognise the form of the present file; the columns that hold its fields, and those beside."""
        named = columns_by_field(there, self.columns.rename, self._where)
        form = recognised(list(named), self.layout.forms, self.columns.layout, self._where)
        # A row further down may have an optional column that those looked at have not.
        later = columns_by_field([*self.columns.rename, *form.optional], self.columns.rename)
        optional = {name: place for name, place in (later | named).items() if name in form.optional}
        self.form, self._fields = form, [*form.fields, *optional]
        self._renamed = {name: field for field, name in named.items() if name != field}
        wanted = [Column(named[name], nested=name in form.nested) for name in form.fields]
        wanted += [Column(at, nested=name in form.nested, optional=True) for name, at in optional.items()]
        return [*wanted, *self._beside]

    def tables(self, where: str, rows: Iterable[Record | Refusal]) -> tuple[_File, pa.Table, pa.Table]:
        """All rows of one file (or function), and all refusals."""
        self._where, self.form = where, None
        good, bad = Spill(_unidentified(RAW_SCHEMA)), Spill(_unidentified(QUARANTINE_SCHEMA))
        total, rules, first = 0, Counter[str](), ""
        for chunk in _chunks(rows):
            total += len(chunk)
            made = [row if isinstance(row, Refusal) else self._row(row) for row in chunk]
            refusals = [row for row in made if isinstance(row, Refusal)]
            rules.update(refusal.rule for refusal in refusals)
            first = first or (refusals[0].reason if refusals else "")
            good.add(self._examples(where, [row for row in made if isinstance(row, _Row)]))
            bad.add(self._refused(where, refusals))
        self._judge(where, total, rules, first)
        kept, refused = good.table(), bad.table()
        file = _File(self.source.name, where, total, kept.num_rows, refused.num_rows, self._shown_form())
        return file, kept, refused

    def unreadable(self, where: str, error: UserError) -> tuple[_File, pa.Table, pa.Table]:
        """A file that was refused: one entry of the quarantine."""
        reason = "; ".join(part for part in (f"{error.where}: {error.what}", error.do) if part)
        refused = self._refused(where, [Refusal(None, UNREADABLE_FILE, reason, b"")], (where.encode(),))
        file = _File(self.source.name, where, 1, 0, 1, unreadable=reason)
        return file, _unidentified(RAW_SCHEMA).empty_table(), refused

    @property
    def _advice(self) -> str:
        """What to look at where many rows cannot be read."""
        if self.source.sql is not None:
            return "make texts of these columns in the query, such as `cast(rating as text) as label`"
        return "compare `format:`, `delimiter:`, `quoting:` and `columns:` with the file's first lines"

    def _shown_form(self) -> dict[str, str] | None:
        """How the present file was read, for people."""
        if self.form is None:
            return None
        fields = (*self.form.fields, *self.form.optional)
        renamed = [f"{name} as {to}" for name, to in self._renamed.items() if to in fields]
        mapping = self.form.mapping + (f" ({', '.join(renamed)})" if renamed else "")
        return {"form": self.form.name, "mapping": mapping}

    def _row(self, record: Record) -> _Row | Refusal:
        """What a record holds, by its meaning."""
        values = list(record.values)
        written = self._time(values.pop()) if self._time else None
        group = self._group(values.pop()) if self._group else None
        time = microseconds(written) if written else None
        if written and time is None:
            return self._refusal(record.row, MALFORMED, _NO_TIME, values)
        if self.form is None:
            text, *rest = values
            return _Row(record.row, None, text, self._label(rest), group, time)
        try:
            turns = self.form.read(dict(zip(self._fields, values, strict=True)), self.columns)
        except Unusable as fault:
            return self._refusal(record.row, fault.rule, fault.reason, values)
        return _Row(record.row, *turns, group, time)

    def _refusal(self, row: int, rule: str, reason: str, values: Sequence[str | None]) -> Refusal:
        """A row that could be read, and cannot be used."""
        held = dict(zip(self._fields, values, strict=True)) if self.form else values
        raw = json.dumps(held, ensure_ascii=False).encode("utf-8", "replace")
        # What is kept is written in the source's encoding, as all that it holds.
        raw = raw.decode().encode(sniff.encoding_of_raw(self.source.encoding), "replace")
        return Refusal(row, rule, f"{self._where}, row {row}: {reason}", raw)

    def _examples(self, where: str, rows: Sequence[_Row]) -> pa.Table:
        columns: dict[str, Sequence[Any]] = {
            name: [getattr(row, name) for row in rows]
            for name in ("context", "text", "label", "group", "time")
        }
        inputs = zip(*(columns[name] for name in self.layout.input_fields), strict=True)
        encoded = [[None if value is None else value.encode() for value in row] for row in inputs]
        count = len(rows)
        return pa.table(
            {
                "example_id": self.erased.digests(self.source.name, encoded),
                "source": [self.source.name] * count,
                "file": [where] * count,
                "row": [row.row for row in rows],
                **columns,
                "split": [self.source.split] * count,
            },
            schema=_unidentified(RAW_SCHEMA),
        )

    def _refused(self, where: str, refusals: Sequence[Refusal], also: tuple[bytes, ...] = ()) -> pa.Table:
        # Two leading fields that no readable row has keep these ids apart from those of examples.
        raw = [(None, b"refused", refusal.raw, *also) for refusal in refusals]
        count, encoding = len(refusals), sniff.encoding_of_raw(self.source.encoding)
        return pa.table(
            {
                "example_id": self.erased.digests(self.source.name, raw),
                "stage": [STAGE] * count,
                "rule": [refusal.rule for refusal in refusals],
                "reason": [refusal.reason for refusal in refusals],
                "text": [_shown(refusal.raw, encoding) for refusal in refusals],
                "file": [where] * count,
                "row": [refusal.row for refusal in refusals],
            },
            schema=_unidentified(QUARANTINE_SCHEMA),
        )

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
                do=self._advice
                + (f"; it was read as {self.form.name}: {self.form.mapping}" if self.form else ""),
            )


def _chunks(rows: Iterable[Record | Refusal]) -> Iterator[list[Record | Refusal]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK_ROWS)):
        yield chunk


def _shown(raw: bytes, encoding: str) -> str:
    """What stood there, as text; UTF-7 can spell half a character, which no table can hold."""
    return raw.decode(encoding, "replace").encode("utf-8", "replace").decode()
