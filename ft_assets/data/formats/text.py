"""Plain text: one row a line, or the whole file as one row. Blank lines are no rows. There is nothing but the text:
label and group stay empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import MAX_RECORD_CHARS, Record, Refusal, Wanted
from ft_assets.data.formats.lines import Line, fault, iterate
from ft_assets.data.formats.sniff import is_wide

__all__ = ["read"]

_COLUMN = "text"


def read(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a text file. The text is the first of the wanted columns, whatever its name; where the columns are
    told by those there, it is `text`."""
    names = wanted([_COLUMN]) if callable(wanted) else wanted
    place = names.index(_COLUMN) if callable(wanted) else 0
    lines = _whole(path, source.encoding) if source.whole_file else iterate(path, source.encoding)
    for line in lines:
        text = line.text if source.whole_file else line.text.rstrip("\r\n")
        if text.strip():
            values = [text if at == place else None for at in range(len(names))]
            yield fault(line, where, source.encoding) or Record(line.number, values)


def _whole(path: Path, encoding: str) -> Iterator[Line]:
    errors = "replace" if is_wide(encoding) else "surrogateescape"
    with path.open(encoding=encoding, errors=errors) as file:
        text = file.read(MAX_RECORD_CHARS + 1)
    yield Line(1, text[:MAX_RECORD_CHARS].removeprefix("\ufeff"), len(text) > MAX_RECORD_CHARS)
