"""One module a file format (and one for Python functions). Each has `read(path, where, source, wanted)`,
which yields a `Record` or a `Refusal` a row, in order, with no more than one row or batch in memory.

Here: the two, and what the formats share: finding columns, turning values into text.
Not here: ids, tables, groups (`ft_assets.data.readers`). A new format adds a module and a line in `readers`.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

from ft_assets.data.config import CleaningConfig, SourceConfig
from ft_assets.data.masking import mask
from ft_assets.errors import UserError

__all__ = [
    "MALFORMED",
    "MAX_RECORD_CHARS",
    "UNDECODABLE",
    "UNREADABLE_FILE",
    "Column",
    "Json",
    "Record",
    "Refusal",
    "Repeating",
    "Wanted",
    "chosen",
    "decoded_limit",
    "decodes_to_more",
    "find_columns",
    "flat",
    "from_mappings",
    "json_object",
    "nearest",
    "repeats_within",
]

MALFORMED = "malformed_row"
UNDECODABLE = "undecodable"
UNREADABLE_FILE = "unreadable_file"

# A longer line, field or value is refused unread: no text of that length is one example. 16 Mi characters
# are some 5,000 pages.
MAX_RECORD_CHARS = 16 * 2**20

# Prose is compressed to a fifth or a tenth.
_MAX_RATIO = 100

# Rows that are looked at for the names of their fields, where each row may have others.
_LOOKED_AT = 100


def decoded_limit(source: SourceConfig, size: int) -> int:
    """Bytes that a file of this size may decode to."""
    return max(source.max_decoded_mib * 2**20, _MAX_RATIO * size)


def decodes_to_more(limit: int, where: str) -> UserError:
    """The error of a file that decodes to more than its limit."""
    return UserError(
        f"the file decodes to more than {limit} bytes, {_MAX_RATIO} times its size and more",
        where=where,
        do="check where it comes from; if it is meant to be that large, raise `max_decoded_mib:` in sources",
    )


class Column(str):
    """Name of a wanted column of which more is to be said; of one that is plain text a `str` is enough.

    Attributes:
        nested: It may hold lists and mappings, which are given as `Json`. In other columns they are no text.
        optional: It need not be there; its values are None then.
        moment: It may hold dates and times, which are given as ISO 8601. In other columns they are no text.
    """

    nested: bool
    optional: bool
    moment: bool

    def __new__(
        cls, name: str, *, nested: bool = False, optional: bool = False, moment: bool = False
    ) -> Column:
        made = super().__new__(cls, name)
        made.nested, made.optional, made.moment = nested, optional, moment
        return made


class Json(str):
    """The JSON of a list or mapping: not a text that happens to be JSON."""


class Repeating(dict[str, Any]):
    """An object of JSON some of whose keys stand twice (`repeated`): which value is meant nobody can tell."""

    repeated: frozenset[str]


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What `json` is to make of an object, as its `object_pairs_hook`."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    repeating = Repeating(made)
    repeating.repeated = frozenset(
        name for name, times in Counter(name for name, _ in pairs).items() if times > 1
    )
    return repeating


def repeats_within(value: Any) -> bool:
    """Whether a key stands twice in an object anywhere within a value of JSON, as `json_object` has made it."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Repeating):
            return True
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return False


_NAMES, _NAME_CHARS, _NAME_WORDS = 20, 40, 4

Wanted = Sequence[str] | Callable[[Sequence[str]], Sequence[str]]
"""Names of the columns wanted; or what says so, given the names of those there."""


def chosen(wanted: Wanted, there: Sequence[str]) -> Sequence[str]:
    """The names of the columns wanted, given those there."""
    return wanted(there) if callable(wanted) else wanted


class Record(NamedTuple):
    """A row that could be read: its number in the file and the wanted values, in the order asked for."""

    row: int
    values: Sequence[str | None]


class Refusal(NamedTuple):
    """A row that could not be read. `raw` is what stood there, in `encoding_of_raw`; `reason` says what and where,
    without text. A file that could not be read as a whole has no row."""

    row: int | None
    rule: str
    reason: str
    raw: bytes


def nearest(name: str, known: Iterable[str], kind: str = "columns") -> str:
    """Advice for a name that is not there: the nearest known one, which may be another thing, and all of them."""
    names = [str(other) for other in known]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or [
        other for other in names if other.casefold().strip() == name.casefold().strip()
    ]
    guess = f"did you mean {shown_names(near)}? " if near else ""
    return f"{guess}{kind} there: {shown_names(names)}"


def shown_names(names: Sequence[str]) -> str:
    """Names of columns as a message may show them. In a file without a header they are its first row, whose text and
    personal data belong in no message: what is no name is told by its length."""
    import polars as pl  # forms are looked at when the code location loads

    from ft_assets.data.personal import free_of

    cleaning = CleaningConfig()
    free = free_of(pl.Series(names[:_NAMES], dtype=pl.String), cleaning.personal_data, cleaning.phone_regions)
    shown = (
        f"'{name}'"
        if len(name) <= _NAME_CHARS
        and len(name.split()) <= _NAME_WORDS
        and mask(name) == " ".join(name.split())
        and holds_nothing
        else f"(a text of {len(name)} characters)"
        for name, holds_nothing in zip(names, free, strict=False)
    )
    return ", ".join(shown) + (" …" if len(names) > _NAMES else "")


def find_columns(header: list[str], wanted: Sequence[str], where: str, hint: str = "") -> list[int | None]:
    """Positions of the wanted columns; None for an optional one that is not there.

    Raises:
        UserError: One is missing, or its name stands twice.
    """
    for name in wanted:
        found = header.count(name)
        if found == 0 and not _is_optional(name):
            raise UserError(
                f"there is no column '{name}': {nearest(name, header)}",
                where=where,
                do=f"name the right column under `columns` in the task{hint}",
            )
        if found > 1:
            raise UserError(
                f"column '{name}' stands {found} times", where=where, do="rename all but one of them"
            )
    return [header.index(name) if name in header else None for name in wanted]


def _is_optional(name: str) -> bool:
    return isinstance(name, Column) and name.optional


def from_mappings(
    rows: Iterable[tuple[int, Mapping[str, Any] | Refusal, bytes | None]], wanted: Wanted, where: str
) -> Iterator[Record | Refusal]:
    """Records out of mappings (JSON objects, dicts); a column may be missing in some rows, not in all.

    Args:
        rows: Row number, mapping (or a refusal, passed on), and the raw bytes where there are any.
        wanted: Columns wanted; what has to see the names first is shown those of the first rows.
        where: File or function, for errors.

    Raises:
        UserError: A wanted column is in no row.
    """
    if callable(wanted):
        rows = iter(rows)
        first, names = _first(rows)
        wanted = wanted(names) if names else []
        rows = chain(first, rows)
    missing = {name for name in wanted if not _is_optional(name)}
    nested = [name for name in wanted if isinstance(name, Column) and name.nested]
    keys: dict[str, None] = {}
    some = False
    for number, row, raw in rows:
        if isinstance(row, Refusal):
            yield row
            continue
        some = True
        if missing:
            missing.difference_update(row)
            if len(keys) < 1_000:
                keys.update(dict.fromkeys(map(str, row)))
        try:
            if isinstance(row, Repeating) and (twice := [name for name in wanted if name in row.repeated]):
                raise _NotText(MALFORMED, f"field '{twice[0]}' stands twice")
            if twice := [name for name in nested if repeats_within(row.get(name))]:
                raise _NotText(MALFORMED, f"in field '{twice[0]}' a key stands twice in one object")
            yield Record(number, [_as_text(flat(row.get(name), name), name) for name in wanted])
        except _NotText as refused:
            reason = f"{where}, row {number}: {refused}"
            yield Refusal(number, refused.rule, reason, raw or repr(sorted(map(str, row))).encode())
    if missing and some:
        find_columns(list(keys), [name for name in wanted if name in missing], where)


class _NotText(Exception):
    def __init__(self, rule: str, what: str) -> None:
        self.rule = rule
        super().__init__(what)


def _first(
    rows: Iterator[tuple[int, Mapping[str, Any] | Refusal, bytes | None]],
) -> tuple[list[tuple[int, Mapping[str, Any] | Refusal, bytes | None]], list[str]]:
    """Rows up to the last one that is looked at for names, and the names of their fields."""
    taken, names, looked_at = [], dict[str, None](), 0
    for entry in rows:
        taken.append(entry)
        if not isinstance(entry[1], Refusal):
            names.update(dict.fromkeys(map(str, entry[1])))
            looked_at += 1
            if looked_at == _LOOKED_AT:
                break
    return taken, list(names)


def flat(value: Any, name: str) -> Any:
    """The value; the JSON of a list or mapping where such may stand, if JSON can hold it; a date or time as ISO 8601
    where such may stand."""
    if not isinstance(name, Column):
        return value
    if (
        name.moment and isinstance(value, date) and type(value).__name__ != "NaTType"
    ):  # a datetime is one, too
        return value.isoformat()
    if not name.nested:
        return value
    if hasattr(value, "tolist"):  # a numpy array
        value = value.tolist()
    if not isinstance(value, list | tuple | dict):
        return value
    try:
        return Json(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return value


def _as_text(value: Any, name: str) -> str | None:
    """The value as a csv file would hold it. Numbers keep their own spelling: 4 is not 4.0."""
    if isinstance(value, str):
        return _text(value, name)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return None if isinstance(value, float) and math.isnan(value) else str(value)
    if not isinstance(value, str):  # numpy has texts of its own
        raise _NotText(MALFORMED, f"field '{name}' holds a {type(value).__name__}, expected text")
    return _text(value, name)


def _text(value: str, name: str) -> str:
    if len(value) > MAX_RECORD_CHARS:
        raise _NotText(MALFORMED, f"field '{name}' is longer than {MAX_RECORD_CHARS} characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _NotText(UNDECODABLE, f"field '{name}' holds half a character (a lone surrogate)") from None
    return value
