"""Lines of a text file with their numbers, in bounded memory, and what is wrong with their bytes.

Bytes that are not in the declared encoding become lone surrogates (PEP 383) and are found again in the row
that holds them; encodings of two and four bytes a character (UTF-16, UTF-32) cannot do that and get U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ft_assets.data.formats import MALFORMED, MAX_RECORD_CHARS, UNDECODABLE, Refusal
from ft_assets.data.formats.sniff import encoding_of_raw, is_wide

__all__ = ["Line", "fault", "iterate", "to_bytes"]


class Line(NamedTuple):
    """A line with its end; `cut` when only its first `MAX_RECORD_CHARS` were kept."""

    number: int
    text: str
    cut: bool


def iterate(path: Path, encoding: str) -> Iterator[Line]:
    """All lines, the first one without a byte order mark."""
    errors = "replace" if is_wide(encoding) else "surrogateescape"
    end = _line_end(path, encoding, errors)
    with path.open(encoding=encoding, errors=errors, newline=end) as file:
        number = 0
        while text := file.readline(MAX_RECORD_CHARS):
            number += 1
            cut = len(text) == MAX_RECORD_CHARS and not text.endswith(end)
            while cut and (rest := file.readline(MAX_RECORD_CHARS)) and not rest.endswith(end):
                continue
            yield Line(number, text.removeprefix("\ufeff") if number == 1 else text, cut)


def _line_end(path: Path, encoding: str, errors: str) -> str:
    """LF (CR LF ends in it), or CR in files that know no LF (as old Macintosh programs write them)."""
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        head = file.read(1 << 16)
    return "\r" if "\r" in head and "\n" not in head else "\n"


def fault(line: Line, where: str, encoding: str, unit: str = "line") -> Refusal | None:
    """Why this line (or other unit that is counted) cannot be a row, or part of one."""
    at = f"{where}, {unit} {line.number}"
    if line.cut:
        return Refusal(
            line.number,
            MALFORMED,
            f"{at}: longer than {MAX_RECORD_CHARS} characters",
            line.text[:1_000].encode("utf-8", "replace"),
        )
    if "\0" in line.text:
        return Refusal(line.number, MALFORMED, f"{at}: holds a NUL byte", to_bytes(line.text, encoding))
    start = _undecoded(line.text, encoding)
    if start is None:
        return None
    offset = len(to_bytes(line.text[:start], encoding)) + 1
    reason = f"{at}, byte {offset}: not {encoding}; set `encoding:` in sources"
    return Refusal(line.number, UNDECODABLE, reason, to_bytes(line.text, encoding))


def _undecoded(text: str, encoding: str) -> int | None:
    """Position of the first character that stands for bytes outside the encoding."""
    if text.isascii():
        return None
    if is_wide(encoding):
        position = text.find("\ufffd")
        return None if position < 0 else position
    try:
        text.encode()  # fails at a lone surrogate; ten times as fast as searching for one
    except UnicodeEncodeError as error:
        return error.start
    return None


def to_bytes(text: str, encoding: str) -> bytes:
    """The bytes that the text was read from; of UTF-16 and UTF-32 what could be decoded, in `encoding_of_raw`."""
    if is_wide(encoding):
        return text.encode(encoding_of_raw(encoding), "replace")
    return text.encode(encoding, "surrogateescape")
