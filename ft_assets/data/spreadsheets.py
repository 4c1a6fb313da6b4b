"""CSV files that people open in a spreadsheet: no cell of ours is run as a formula, and what comes back is the same.

A cell that begins with `=`, `+`, `-`, `@` (also in full width), a tab or a line end may be run as a formula. An
apostrophe before it makes it text (OWASP, "CSV Injection"). One that such a cell had already gets another one, so that
taking one away again gives every cell back, whatever stood in it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

__all__ = ["neutral", "restored", "to_csv"]

_SIGNS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"'*[{_SIGNS}]")
_NEUTRAL = re.compile(f"'+[{_SIGNS}]")


def neutral(cell: str) -> str:
    """The cell as a spreadsheet takes it for text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """What `neutral` was given."""
    return cell[1:] if _NEUTRAL.match(cell) else cell


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file in UTF-8 (RFC 4180, lines end in LF), header first; text is neutral, None an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue().encode()
