"""Times as sources write them, as microseconds since 1970 in UTC.

Standard library only, since settings hold times, too. Not here: which column holds them (`readers`), what they are for
(`ledger.periods`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["iso", "microseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_OR_MONTH = re.compile(r"[0-9]{4}(?:-[0-9]{2})?")
_DAY = re.compile(r"[0-9]{8}")
"""`20260301` is a day (ISO 8601 without hyphens), as `2026` is a year: as seconds both would be days of 1970."""
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_MAX_DIGITS = 20
_UNITS = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))
"""Numbers below each bound count seconds, milliseconds, microseconds, and from the last one on nanoseconds: each unit
serves the years from 1973 to 5138."""


def microseconds(text: str) -> int | None:
    """What a text says of a time, in microseconds since 1970-01-01 in UTC; None if it says none.

    A year, month or day (its first moment), a day with a time (ISO 8601; in UTC where it names no zone), or the number
    of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by how large it is.
    """
    text = text.strip()
    if _YEAR_OR_MONTH.fullmatch(text):
        text = f"{text}-01-01"[:10]
    elif _NUMBER.fullmatch(text) and not _DAY.fullmatch(text):
        return _of_number(text)
    try:
        found = datetime.fromisoformat(text)
        zoned = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # overflow: the year 1 or 9999, and a zone
        return None
    return (zoned - _EPOCH) // timedelta(microseconds=1)


def iso(moment: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC."""
    return (_EPOCH + timedelta(microseconds=moment)).isoformat()


def _of_number(text: str) -> int | None:
    whole, _, fraction = text.partition(".")
    if len(whole) > _MAX_DIGITS:
        return None
    for bound, factor in _UNITS:
        if abs(int(whole)) < bound:
            part = int(f"{fraction:0<6}"[:6]) * factor // 10**6
            made = int(whole) * factor + (-part if whole.startswith("-") else part)
            break
    else:
        made = int(whole) // 1_000
    try:
        _EPOCH + timedelta(microseconds=made)
    except OverflowError:
        return None
    return made
