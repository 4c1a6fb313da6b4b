"""What a file is, whatever its ending says: from the ending, and from its first bytes.

Not here: reading it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import get_args

from ft_assets.data.config import FileFormat, SourceConfig
from ft_assets.data.formats import MAX_RECORD_CHARS
from ft_assets.data.formats.compression import without_ending
from ft_assets.errors import UserError

__all__ = ["check", "encoding_of_raw", "file_format", "is_wide"]

_ENDINGS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".txt": "text",
}
# Those that a text may begin with, too, are told by what follows.
_MAGIC = [
    (rb"PAR1[\0-\x08\x0e-\x1f]", "a Parquet file"),
    (rb"ARROW1\0", "an Arrow file"),
    (rb"\x1f\x8b", "a gzip file"),
    (rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", "a zstd file"),
    (rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", "a bzip2 file"),
    (rb"\xfd7zXZ\x00", "an xz file"),
    (rb"PK\x03\x04", "a ZIP archive (an Excel workbook is one)"),
    (rb"\xd0\xcf\x11\xe0", "an old Office document (.xls, .doc)"),
    (b"%PDF-", "a PDF document"),
    (rb"SQLite format 3\0", "an SQLite database"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched (git lfs pull)"),
]
_PACKED = ("a gzip file", "a zstd file")
# An Arrow stream begins with a message.
_BINARY: dict[FileFormat, tuple[bytes, ...]] = {
    "parquet": (b"PAR1",),
    "arrow": (b"ARROW1", b"\xff\xff\xff\xff"),
}
_AN_ARRAY = "a JSON array: write one object a line"
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD_BYTES = 1 << 16


def file_format(name: str, source: SourceConfig) -> FileFormat:
    """The format that the task or the file's ending says.

    Raises:
        UserError: Neither does.
    """
    if source.format is not None:
        return source.format
    ending = Path(without_ending(name)).suffix.lower()
    if ending not in _ENDINGS:
        raise UserError(
            f"the ending '{ending}' does not tell the format",
            where=name,
            do=f"set `format:` in sources to one of {', '.join(get_args(FileFormat))}",
        )
    return _ENDINGS[ending]


@cache
def is_wide(encoding: str) -> bool:
    """Whether the encoding spends two or four bytes on an ASCII character."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def encoding_of_raw(encoding: str) -> str:
    """How a refused row of a file is kept (`Refusal.raw`): as it stood there; in UTF-8 where that would be wide."""
    return "utf-8" if is_wide(encoding) else encoding


def check(path: Path, name: str, expected: FileFormat, encoding: str, *, whole: bool = False) -> None:
    """Look at the first bytes.

    Args:
        path: Where the file is.
        name: What messages call it.
        expected: Its format.
        encoding: That of its text.
        whole: Whether the file is one text, which may be markup, too.

    Raises:
        UserError: The file is empty, or something else than expected; says what it looks like.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise UserError(
            "the file is empty", where=name, do="give a file with rows, or take it out of `sources`"
        )
    found = _binary(head, expected, encoding)
    if found is None and expected not in _BINARY:
        text = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
        found = _TEXTS[expected](text) or (None if whole and expected == "text" else _markup(text))
        if found == _AN_ARRAY and _objects_follow(path, encoding):
            found = None
    if found is not None:
        raise UserError(
            f"expected {expected}, but it looks like {found}",
            where=name,
            do="set `format:` (and `encoding:`) in sources to what it is, or convert the file"
            + ("; a packed file has a name such as tickets.csv.gz" if found in _PACKED else ""),
        )


def _binary(head: bytes, expected: FileFormat, encoding: str) -> str | None:
    if head.startswith(_BINARY.get(expected, ())):
        return None
    magic = next((what for start, what in _MAGIC if re.match(start, head)), None)
    if expected in _BINARY:
        return magic or _text_kind(head)
    if magic or is_wide(encoding):
        return magic
    if head.startswith(_UTF16_BOMS):
        return "UTF-16 text: set `encoding: utf-16`"
    return _many_nuls(head)


def _many_nuls(head: bytes) -> str | None:
    """A stray NUL damages a row; when a tenth of the bytes are NUL, the file is no text in its encoding."""
    if head.count(0) * 10 <= len(head):
        return None
    # ASCII characters in UTF-16, low byte first, have a NUL in each second byte.
    utf16 = head[1::2].count(0) * 3 > len(head)
    return "UTF-16 text: set `encoding: utf-16-le`" if utf16 else "binary data"


def _text_kind(head: bytes) -> str:
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if _many_nuls(head) or text.count("\ufffd") * 10 > len(text):
        return "binary data"
    return _markup(text) or _json_instead(text) or "delimited text (csv or tsv)"


def _markup(text: str) -> str | None:
    start = text[:20].lower()
    if start.startswith(("<!doctype html", "<html")):
        return "an HTML page (a log-in or error page saved instead of the data?)"
    return "an XML document" if start.startswith("<?xml") else None


def _json_instead(text: str) -> str | None:
    """JSON where delimited text was expected."""
    first = text.split("\n", 1)[0]
    if not first.startswith(("{", "[")):
        return None
    try:
        value = json.loads(first)
    except ValueError:
        return "a JSON document" if first.strip() in ("{", "[") else None
    return "JSON Lines" if isinstance(value, dict) else "a JSON array"


def _no_json_lines(text: str) -> str | None:
    """Something else where JSON Lines were expected; one bad line among good ones is a row's matter."""
    lines = [line.strip() for line in text.split("\n")[:10]]
    if lines[0].startswith("["):
        return _AN_ARRAY
    if lines[0] == "{":
        return "one JSON object over several lines: write one object a line"
    return None if any(line.startswith("{") for line in lines) else "delimited or plain text"


def _objects_follow(path: Path, encoding: str) -> bool:
    """Whether the first line, which begins as an array, ends as one, and the next one is an object: a row's matter."""
    with path.open(encoding=encoding, errors="replace") as file:
        ends_as, read = "", 0
        while read < MAX_RECORD_CHARS and (part := file.readline(_HEAD_BYTES)):
            read += len(part)
            ends_as = part.strip("\ufeff \t\r\n")[-1:] or ends_as
            if ends_as and part.endswith("\n"):
                break
        following = (line for line in iter(lambda: file.readline(_HEAD_BYTES), "") if line.strip())
        line = next(following, "").strip() if ends_as == "]" else ""
        return line.startswith("{") and not line.endswith(",")


def _no_json_array(text: str) -> str | None:
    if text.startswith("["):
        return None
    found = _json_instead(text)
    if found == "a JSON document" or (text.startswith("{") and not found):
        return "one JSON object: write an array of objects"
    return found or "delimited or plain text"


_TEXTS: dict[FileFormat, Callable[[str], str | None]] = {
    "csv": _json_instead,
    "tsv": _json_instead,
    "jsonl": _no_json_lines,
    "json": _no_json_array,
    "text": lambda text: None,
}
