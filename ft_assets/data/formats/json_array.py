"""JSON: a file that is one array of objects, read one object at a time.

Each object is read by the parser that reads JSON Lines, so a row is the same in both. Where an object has no end that
can be found, nothing says where the next one begins: the file is refused then, not the row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import (
    MALFORMED,
    MAX_RECORD_CHARS,
    Record,
    Refusal,
    Wanted,
    from_mappings,
    json_object,
)
from ft_assets.data.formats.lines import Line, fault, to_bytes
from ft_assets.data.formats.sniff import is_wide
from ft_assets.errors import UserError

__all__ = ["read"]

_CHUNK_CHARS = 1 << 16
_SPACE = re.compile(r"[ \t\r\n]*")
# A control character within a string costs its row, and not the file.
_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=json_object)


def read(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a JSON file; see the package for what is yielded.

    Raises:
        UserError: It is no array, cut off, or no JSON; a wanted column is in no row.
    """
    encoding = source.encoding
    rows = (
        (number, *_checked(number, value, text, where, encoding))
        for number, (value, text) in enumerate(_items(path, where, encoding), start=1)
    )
    return from_mappings(rows, wanted, where)


def _checked(
    number: int, value: Any, text: str, where: str, encoding: str
) -> tuple[Mapping[str, Any] | Refusal, bytes]:
    raw = to_bytes(text, encoding)
    refusal = fault(Line(number, text, cut=False), where, encoding, unit="row")
    if refusal is None and not isinstance(value, dict):
        what = f"a JSON {type(value).__name__}, expected an object"
        refusal = Refusal(number, MALFORMED, f"{where}, row {number}: {what}", raw)
    return refusal or value, raw


def _items(path: Path, where: str, encoding: str) -> Iterator[tuple[Any, str]]:
    """The array's values, each with its own text."""
    errors = "replace" if is_wide(encoding) else "surrogateescape"
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        text = _Text(file, where)
        if text.character() != "[":
            raise text.error("the file is no JSON array")
        text.at += 1
        more = text.character() != "]"
        while more:
            yield text.value()
            more = text.character() == ","
            if more:
                text.at += 1
        if text.character() != "]":
            raise text.error("no ',' or ']' follows" if text.character() else _CUT_OFF)
        text.at += 1
        if text.character():
            raise text.error("more follows after the array")


_CUT_OFF = "the file ends within the array: it is cut off"


@dataclass
class _Text:
    """The part of a file that is looked at."""

    file: IO[str]
    where: str
    text: str = ""
    at: int = 0
    row: int = 0

    def character(self) -> str:
        """The next one that is no white space; empty at the end."""
        while True:
            space = _SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._read_on():
                return ""
            if self.row == 0:
                self.text = self.text.removeprefix("\ufeff")

    def value(self) -> tuple[Any, str]:
        """The next value and its text."""
        self.row += 1
        self.character()
        while True:
            fault = ""
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                fault = f"no JSON ({error.msg})"
            except (ValueError, RecursionError) as error:  # a number of 4,300 digits, thousands of brackets
                raise self.error(f"no usable JSON ({type(error).__name__})") from None
            else:
                if end < len(self.text):  # a number that ends with the part may go on
                    found, self.at = self.text[self.at : end], end
                    return value, found
            if len(self.text) - self.at > MAX_RECORD_CHARS:
                raise self.error(f"longer than {MAX_RECORD_CHARS} characters, or {fault or 'without an end'}")
            if not self._read_on():
                raise self.error(f"{_CUT_OFF}, or {fault}" if fault else _CUT_OFF)

    def _read_on(self) -> bool:
        rest = self.text[self.at :]
        # As much again as is there: a long value is then not parsed anew for each chunk.
        chunk = self.file.read(max(_CHUNK_CHARS, len(rest)))
        self.text, self.at = rest + chunk, 0
        return bool(chunk)

    def error(self, what: str) -> UserError:
        return UserError(
            what,
            where=f"{self.where}, row {self.row}" if self.row else self.where,
            do="export it again as one array of objects; with one object a line, set `format: jsonl`",
        )
