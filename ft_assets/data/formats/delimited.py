"""Delimited text (csv, tsv): a header line or `columns:`, then one row a record. Blank lines are no rows.

With quoting, fields follow RFC 4180, strictly: a quote that is not closed, or followed by more text, makes
its line malformed, and reading goes on with the next line; so one stray quote costs one line, not the rest of
the file. A record that ends as it should and is too long is refused as one. Without quoting, a line is a row and quotes
are characters.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import (
    MALFORMED,
    MAX_RECORD_CHARS,
    Record,
    Refusal,
    Wanted,
    chosen,
    find_columns,
)
from ft_assets.data.formats.lines import Line, fault, iterate, to_bytes
from ft_assets.errors import UserError

__all__ = ["read_csv", "read_tsv"]

# Python's own limit (131,072) is below what we read; the setting is the process's, so it is set once, here.
csv.field_size_limit(MAX_RECORD_CHARS)


@dataclass(frozen=True)
class _Dialect:
    where: str
    encoding: str
    delimiter: str
    quoting: str

    def at(self, line: int) -> str:
        return f"{self.where}, line {line}"


def read_csv(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a csv file: commas and double quotes, unless the source says otherwise.

    Raises:
        UserError: A wanted column is missing or stands twice.
    """
    dialect = _Dialect(where, source.encoding, source.delimiter or ",", source.quoting or "double")
    return _read(path, dialect, source.columns, wanted)


def read_tsv(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a tsv file: tabs and no quoting, unless the source says otherwise.

    Raises:
        UserError: A wanted column is missing or stands twice.
    """
    dialect = _Dialect(where, source.encoding, source.delimiter or "\t", source.quoting or "none")
    return _read(path, dialect, source.columns, wanted)


def _read(
    path: Path, dialect: _Dialect, header: list[str] | None, wanted: Wanted
) -> Iterator[Record | Refusal]:
    lines = iterate(path, dialect.encoding)
    if dialect.quoting == "double":
        rows = _quoted(_Feed(lines, iterate(path, dialect.encoding), dialect), dialect)
    else:
        rows = _plain(lines, dialect)
    header = header or _header(rows, dialect.where)
    names = chosen(wanted, header)
    positions = find_columns(header, names, dialect.where, _delimiter_hint(header, dialect.delimiter))
    for row in rows:
        if isinstance(row, Refusal):
            yield row
        elif len(row.values) != len(header):
            reason = f"{dialect.at(row.row)}: {len(row.values)} fields, expected {len(header)}"
            raw = dialect.delimiter.join(value or "" for value in row.values)
            yield Refusal(row.row, MALFORMED, reason, to_bytes(raw, dialect.encoding))
        else:
            values = row.values
            yield Record(row.row, [None if at is None else values[at] for at in positions])


def _header(rows: Iterator[Record | Refusal], where: str) -> list[str]:
    first = next(rows, None)
    if isinstance(first, Record):
        return [name.strip() for name in first.values if name is not None]
    what = f"the header line is unusable: {first.reason}" if first else "the header line is missing"
    raise UserError(what, where=where, do="mend it, or give the names in `columns:` of the source")


def _delimiter_hint(header: list[str], delimiter: str) -> str:
    if len(header) == 1:
        for other, name in ((";", "';'"), ("\t", "'\\t'"), (",", "','"), ("|", "'|'")):
            if other != delimiter and other in header[0]:
                return f", or set `delimiter: {name}` in sources: the header looks separated by it"
    return ""


def _plain(lines: Iterator[Line], dialect: _Dialect) -> Iterator[Record | Refusal]:
    for line in lines:
        text = line.text.rstrip("\r\n")
        if text:
            yield fault(line, dialect.where, dialect.encoding) or Record(
                line.number, text.split(dialect.delimiter)
            )


def _quoted(feed: _Feed, dialect: _Dialect) -> Iterator[Record | Refusal]:
    rows = csv.reader(feed, delimiter=dialect.delimiter, strict=True)
    while True:
        feed.begins = True
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            first = feed.first
            reason = f"{dialect.at(first.number)}: {_what(error)}"
            refusal = Refusal(first.number, MALFORMED, reason, to_bytes(first.text, dialect.encoding))
            yield fault(first, dialect.where, dialect.encoding) or refusal
            continue
        if values:
            yield feed.fault or Record(feed.first.number, values)


def _what(error: csv.Error) -> str:
    """csv's words, where they say more than ours."""
    if isinstance(error, _TooLong):
        return f"longer than {MAX_RECORD_CHARS} characters"
    if _is_open(error) or "expected after" in str(error):
        return "a quote is opened and not closed, or not doubled inside a field"
    return f"no csv ({error})"


def _is_open(error: csv.Error) -> bool:
    return "end of data" in str(error)


class _TooLong(csv.Error):
    """A record that ends as it should, and is passed over."""


class _Feed:
    """Hands lines to csv.reader. Where a record goes on after its first line, a second pass over the file, which runs
    ahead, tells whether and where it ends: so no line is held, nor is one read more than twice."""

    def __init__(self, lines: Iterator[Line], ahead: Iterator[Line], dialect: _Dialect) -> None:
        self.begins = True
        """Whether the next line is the first of a record."""
        self.first = Line(0, "", cut=False)
        """That of the record at hand."""
        self.fault: Refusal | None = None
        self._lines, self._ahead, self._dialect = lines, ahead, dialect
        self._known = False
        self._unclosed = 0
        """A field that is open where a line begins, from the one looked at to this, is not closed as it should be."""

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self.begins:
            self.first = line = next(self._lines)
            self.begins, self.fault, self._known = False, None, False
        else:
            if not self._known:
                self._look_ahead(self.first)
                self._known = True
            line = next(self._lines)
        self.fault = self.fault or fault(line, self._dialect.where, self._dialect.encoding)
        return line.text

    def _look_ahead(self, first: Line) -> None:
        """Whether a record that its first line leaves open can be read.

        Raises:
            csv.Error: It does not end as it should, or is too long.
        """
        length, last, state = len(first.text), first.number, _OPEN
        if not first.cut and first.number >= self._unclosed:
            for line in self._ahead:
                if line.number > first.number:
                    last, length = line.number, length + len(line.text)
                    state = _WRONG if line.cut else _after(line.text, self._dialect.delimiter)
                    if state != _OPEN:
                        break
            self._unclosed = last
        if state != _CLOSED:
            raise csv.Error(_NOT_CLOSED)
        if length > MAX_RECORD_CHARS:
            for line in self._lines:
                if line.number == last:
                    break
            raise _TooLong


_OPEN, _CLOSED, _WRONG = "open", "closed", "wrong"
_NOT_CLOSED = "unexpected end of data"


def _after(text: str, delimiter: str) -> str:
    """What becomes of a field in quotes that is open where this line begins, and of its record."""
    if '"' not in text.replace('""', ""):  # far faster than what follows
        return _OPEN
    try:
        next(csv.reader(['"' + text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return _OPEN if _is_open(error) else _WRONG
    return _CLOSED
