"""Delimited text (csv, tsv): a header line or `columns:`, then one row a record. Blank lines are no rows.

With quoting, fields follow RFC 4180, strictly: a quote that is not closed, or followed by more text, makes
its line malformed, and reading goes on with the next line; so one stray quote costs one line, not the rest of
the file. Without quoting, a line is a row and quotes are characters.
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
    rows = (_quoted if dialect.quoting == "double" else _plain)(iterate(path, dialect.encoding), dialect)
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


def _quoted(lines: Iterator[Line], dialect: _Dialect) -> Iterator[Record | Refusal]:
    feed = _Feed(lines)
    rows = csv.reader(feed, delimiter=dialect.delimiter, strict=True)
    while True:
        feed.taken.clear()
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            first, *later = feed.taken
            feed.put_back(later)
            reason = f"{dialect.at(first.number)}: {_what(error)}"
            refusal = Refusal(first.number, MALFORMED, reason, to_bytes(first.text, dialect.encoding))
            yield fault(first, dialect.where, dialect.encoding) or refusal
            continue
        if values:
            faults = (fault(line, dialect.where, dialect.encoding) for line in feed.taken)
            yield next(filter(None, faults), None) or Record(feed.taken[0].number, values)


def _what(error: csv.Error) -> str:
    """csv's words, where they say more than ours."""
    if "end of data" in str(error) or "expected after" in str(error):
        return "a quote is opened and not closed, or not doubled inside a field"
    return f"no csv ({error})"


class _Feed:
    """Hands lines to csv.reader, remembers those of the current record, and takes some back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self.taken: list[Line] = []
        self._lines = lines
        self._again: list[Line] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.taken.append(line)
        return line.text

    def put_back(self, lines: list[Line]) -> None:
        self._again.extend(reversed(lines))
