"""The corrections of a task: what people have decided about single rows. They have the last word about a label.

Here: the file (JSON Lines or CSV with the columns example_id, label, by, at, why), reading it strictly, and adding to
it. It lies outside the store, because it has to outlive every artifact, and lines are only ever added: who decided
what, when and why stays in it, and nowhere else. Not here: what a correction does to a row (`labels`).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ft_assets.data.formats import Repeating, json_object, nearest
from ft_assets.data.spreadsheets import neutral, restored
from ft_assets.disk import flock, make_directory, room, sync, write_synced
from ft_assets.errors import UserError

__all__ = [
    "COLUMNS",
    "REJECT",
    "Correction",
    "add",
    "holding",
    "parse",
    "read",
    "time_of",
    "undecided",
    "unknown",
]

COLUMNS = ("example_id", "label", "by", "at", "why")
REJECT = "reject"
"""In the place of a label: the row is taken out. In a task that has a label of this name, it is that label."""
_REQUIRED = ("example_id", "label", "by", "at")
# Longer values are a mistake; the limit keeps a damaged file from filling the memory.
_MOST_CHARS = 10_000
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Correction:
    """One line of the file."""

    example_id: str
    label: str
    """A label of the task, or `REJECT`."""
    by: str
    """Who decided. Personal data: shown nowhere, and in no artifact."""
    at: str
    """When: ISO 8601 in UTC, to the microsecond where it says so. A date alone means its beginning."""
    why: str = ""
    line: int = 0
    """Where it stands in the file."""


def read(path: Path, labels: Sequence[str]) -> list[Correction]:
    """The corrections in a file, in its order.

    Args:
        path: The file, `.jsonl` or `.csv`. An empty one holds none.
        labels: The task's labels.

    Raises:
        UserError: It cannot be read, or a line is wrong: says which, and what is wrong. Nothing is read then, because
            a correction that is left out would be lost.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"the corrections cannot be read: {error.strerror}",
            where=str(path),
            do="correct `labels.corrections` in the task, or make an empty file there",
        ) from error
    return parse(data, path, labels)


def parse(data: bytes, path: Path, labels: Sequence[str]) -> list[Correction]:
    """The corrections in the content of a file; arguments and errors as for `read`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(path, line, "it is not UTF-8") from error
    rows = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    return [_correction(row, line, path, labels) for line, row in rows]


def add(path: Path, corrections: Sequence[Correction], labels: Sequence[str]) -> int:
    """Add corrections to the end of a file, which is made where there is none; gives how many are new.

    A line that is there already, in all that it says, is not added again. The file is replaced as a whole, so that a
    crash leaves no half line, and only if all of it can be read again.

    Args:
        path: The file. The columns of a CSV stay those of its first line, in their order.
        corrections: What to add; their line numbers do not count.
        labels: The task's labels.

    Raises:
        UserError: The file holds a wrong line or has no column for the reasons, what is to be added could not be read
            again, or there is no room. Nothing is added then.
    """
    path = path.resolve()  # a link stays one
    with room("the corrections", path.parent):
        make_directory(path.parent)
        with flock(path.with_name(f".{path.name}.lock")):
            before = path.read_bytes() if path.is_file() else b""
            new = _new(parse(before, path, labels), corrections)
            if not new:
                return 0
            after = _with_lines(before, new, path)
            _check_added(after, new, path, labels)
            draft = path.with_name(f".{path.name}.new")
            try:
                write_synced(draft, after)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            sync(path.parent)
    return len(new)


def unknown(path: Path, corrections: Sequence[Correction], labels: Sequence[str]) -> list[Correction]:
    """Those of the corrections that `add` would add; arguments and errors as there."""
    contents = set(_new(read(path, labels) if path.is_file() else [], corrections))
    first = {_content(each): each for each in reversed(corrections)}
    return [each for each in corrections if first[_content(each)] is each and _content(each) in contents]


def holding(corrections: Sequence[Correction]) -> list[Correction]:
    """Those that hold, of the corrections of one text: the latest ones, and of these what most people say.

    Several people may have answered at one time, as in exports that tell no times. Where as many say one thing as
    another, those of all that lead are given: nothing is decided.
    """
    latest = max(each.at for each in corrections)
    people: dict[str, set[str]] = {}
    for each in corrections:
        if each.at == latest:
            people.setdefault(each.label, set()).add(each.by)
    most = max(map(len, people.values()))
    return [each for each in corrections if each.at == latest and len(people[each.label]) == most]


def undecided(corrections: Iterable[Correction]) -> set[str]:
    """Ids of the examples about which nothing is decided: as many people say different things at the latest time."""
    about: dict[str, list[Correction]] = {}
    for each in corrections:
        about.setdefault(each.example_id, []).append(each)
    return {example for example, said in about.items() if len({each.label for each in holding(said)}) > 1}


def time_of(text: str) -> str | None:
    """A date or time (ISO 8601) as one in UTC that sorts as text; None if it is none. Without a zone it is in UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    zoned = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    try:
        return zoned.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:  # the year 1 or 9999, and a zone
        return None


def _content(each: Correction) -> tuple[str, ...]:
    """The fields of a line, in the order of `COLUMNS`, with the time as people write it."""
    at = each.at.replace(".000000", "").replace("+00:00", "Z")
    return (each.example_id.strip(), each.label, each.by.strip(), at, each.why.strip())


def _new(known: Sequence[Correction], corrections: Sequence[Correction]) -> list[tuple[str, ...]]:
    """What the corrections say that is not known, each once, in their order."""
    there = set(map(_content, known))
    return [each for each in dict.fromkeys(map(_content, corrections)) if each not in there]


def _with_lines(before: bytes, contents: Sequence[tuple[str, ...]], path: Path) -> bytes:
    """The content of a file with further lines at its end."""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    rows = [dict(zip(COLUMNS, each, strict=True)) for each in contents]
    if path.suffix.lower() != ".csv":
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    else:
        header = _header(before)
        if header and "why" not in header and any(row["why"] for row in rows):
            raise UserError(
                "there is no column 'why', and the answers give reasons",
                where=str(path),
                do="add the column to the first line, and a comma to each other one; nothing was added",
            )
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if not header:
            writer.writerow(COLUMNS)
        writer.writerows([neutral(row[name]) for name in header or COLUMNS] for row in rows)
        lines = text.getvalue()
    # Half a character does not stop here: it is told with all else that could not be read again.
    return before + lines.encode("utf-8", "surrogatepass")


def _header(data: bytes) -> list[str]:
    """The columns of a CSV that can be read; none if nothing stands in it."""
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    return next((cells for cells in lines if any(cells)), [])


def _check_added(data: bytes, contents: Sequence[tuple[str, ...]], path: Path, labels: Sequence[str]) -> None:
    """See that what was added is read as it was meant: a correction that is misread is lost.

    Raises:
        UserError: It is not.
    """
    try:
        found = [_content(each) for each in parse(data, path, labels)]
        what = "" if found[-len(contents) :] == list(contents) else "they would say something else"
    except UserError as error:
        what = error.what
    if what:
        raise UserError(
            f"the answers cannot be added: read again, {what}",
            where=str(path),
            do="correct them in the file that they come from; nothing was added",
        )


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    # Not `splitlines`: JSON may hold line separators of Unicode as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=json_object)
        except (ValueError, RecursionError) as error:
            raise _wrong(path, number, "it is no JSON") from error
        if not isinstance(row, dict):
            raise _wrong(path, number, "it is no JSON object")
        twice = row.repeated if isinstance(row, Repeating) else ()
        _check_columns([*row, *twice], path, number)
        for name, value in row.items():
            if value is not None and not isinstance(value, str):
                raise _wrong(path, number, f"'{name}' is no text: put it in quotes")
        yield number, {name: value or "" for name, value in row.items()}


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    started = 1
    try:
        for cells in lines:
            line, started = started, lines.line_num + 1
            if not any(cells):
                continue
            if header is None:
                header = cells
                _check_columns(header, path, line)
            elif len(cells) != len(header):
                raise _wrong(path, line, f"{len(cells)} fields, the first line has {len(header)}")
            else:
                yield line, {name: restored(cell) for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise _wrong(path, started, "it is no CSV: look for a quote that is not closed") from error


def _check_columns(names: Sequence[str], path: Path, line: int) -> None:
    for name in names:
        if name not in COLUMNS:
            raise _wrong(path, line, f"there is a column that is unknown: {nearest(name, COLUMNS)}")
        if names.count(name) > 1:
            raise _wrong(path, line, f"column '{name}' stands twice")
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise _wrong(path, line, f"there is no column '{missing[0]}'")


def _correction(row: Mapping[str, str], line: int, path: Path, labels: Sequence[str]) -> Correction:
    values = {name: row.get(name, "").strip() for name in COLUMNS}
    for name in _REQUIRED:
        if not values[name]:
            raise _wrong(path, line, f"'{name}' is empty")
    for name, value in values.items():
        if len(value) > _MOST_CHARS or "\0" in value or _HALF.search(value):
            raise _wrong(
                path, line, f"'{name}' is over {_MOST_CHARS} characters, or holds a NUL or half a character"
            )
    # White space around a label does not count, here as in the data.
    known = {REJECT: REJECT} | {name.strip(): name for name in labels}
    if values["label"] not in known:
        told = nearest(values["label"], known, "labels")
        raise _wrong(path, line, f"the label is none of the task: {told}")
    values["label"] = known[values["label"]]
    at = time_of(values["at"])
    if at is None:
        raise _wrong(
            path, line, "'at' is no date or time (ISO 8601), such as 2026-01-31 or 2026-01-31T12:30:00Z"
        )
    return Correction(**{**values, "at": at}, line=line)


def _wrong(path: Path, line: int, what: str) -> UserError:
    return UserError(
        f"a correction cannot be used: {what}",
        where=f"{path}, line {line}",
        do=f"mend the line; wanted are {', '.join(COLUMNS)}",
    )
