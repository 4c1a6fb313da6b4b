"""The ledger on the disk: segments that are only ever added, each chained to the one before by its hash.

    <data directory>/ledger/<task>/
        ledger.json        the ledger's id, when it was begun, which ledgers it was begun instead of
        000001.parquet     what a segment holds: entries, or a list of locked rows
        000001.json        its hash, the hash of the JSON before it (`ledger.json` for the first), when, and why
        head.json          number and hash of the last segment: one that is cut off the end is missed

A segment is there once its JSON is: that is renamed last. What a killed process left before that is overwritten.
Everything is verified whenever a ledger is opened. What is missing or altered is an error that says what to do; nothing
is ever drawn anew because of it. Whoever reads a ledger to write to it holds `lock` meanwhile.

Not here: what segments hold (`entries`, `golden`); export and reset (`archive`).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ft_assets.disk import flock, make_directory, room, sync, write_synced
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir
from ft_assets.versions import canonical_json, file_sha256

__all__ = ["NO_LEDGER", "Ledger", "Segment", "lock", "lock_file"]

FORMAT = 1
NO_LEDGER = "none"
"""Stands for the id of a ledger, where splits were made without one."""


@dataclass(frozen=True)
class Segment:
    """What was recorded at one time."""

    number: int
    sha256: str
    """Of its JSON."""
    record: Mapping[str, Any]
    """format, ledger, number, previous, kind (entries, lock, release), at, sha256 (of its file, if it has one), and
    what belongs to the kind."""


def lock_file(task: str) -> Path:
    """Held by whoever reads the ledger of a task to write to it."""
    folder = ledger_dir(task)
    return folder.with_name(f".{folder.name}.lock")


def lock(task: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
    """One writer at a time; `on_wait` may raise to give up."""
    return flock(lock_file(task), on_wait)


class Ledger:
    """The ledger of one task; made by `open` or `create`.

    Args:
        folder: where it lies.
        about: what `ledger.json` says.
        segments: the segments, oldest first.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], segments: Sequence[Segment]) -> None:
        self.folder = folder
        self.about = about
        self.segments = tuple(segments)

    @property
    def id(self) -> str:
        """32 hex digits, made once: kept over all that is added, over export and restore."""
        return self.about["id"]

    @property
    def instead_of(self) -> Sequence[str]:
        """Ids of the ledgers that were reset before this one was begun."""
        return self.about["instead_of"]

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> Ledger | None:
        """The ledger in a folder; None if there is none.

        Args:
            folder: where it lies.
            verify: whether the files of the segments are read, too, and not their records alone.

        Raises:
            UserError: something of it is missing, altered, or of another format.
        """
        if not any(path.suffix in (".json", ".parquet") for path in folder.glob("*")):
            return None
        about_bytes = _read(folder, "ledger.json")
        about = _parsed(folder, "ledger.json", about_bytes, {"id": str, "begun": str, "instead_of": list})
        segments: list[Segment] = []
        previous = _sha256(about_bytes)
        names = sorted(path.name for path in folder.glob("[0-9]*.json"))
        for number, name in enumerate(names, 1):
            if name != f"{_name(number)}.json":
                raise _damaged(folder, f"segment {_name(number)} is missing")
            data = _read(folder, name)
            record = _parsed(folder, name, data, _RECORD)
            if (record["number"], record["ledger"], record["previous"]) != (number, about["id"], previous):
                raise _damaged(folder, f"{name} does not follow from what stands before it")
            if verify:
                _verify(folder, record)
            previous = _sha256(data)
            segments.append(Segment(number, previous, record))
        ledger = cls(folder, about, segments)
        ledger._check_head()
        return ledger

    @classmethod
    def create(cls, folder: Path, instead_of: Sequence[str] = ()) -> Ledger:
        """Begin a ledger; the caller holds the lock, and there is none in the folder."""
        about = {
            "format": FORMAT,
            "id": uuid.uuid4().hex,
            "begun": datetime.now(UTC).isoformat(timespec="seconds"),
            "instead_of": list(instead_of),
        }
        with room("the split ledger", folder):
            make_directory(folder)
            _write(folder / "ledger.json", about)
        return cls(folder, about, ())

    @property
    def locked(self) -> Segment | None:
        """The lock on the test set; None if it is not locked."""
        last = [segment for segment in self.segments if segment.record["kind"] in ("lock", "release")][-1:]
        return last[0] if last and last[0].record["kind"] == "lock" else None

    def of_kind(self, kind: str) -> list[Segment]:
        """Its segments of one kind."""
        return [segment for segment in self.segments if segment.record["kind"] == kind]

    def file_of(self, segment: Segment) -> Path:
        """The file of a segment."""
        return self.folder / f"{_name(segment.number)}.parquet"

    def add(
        self, kind: str, at: datetime, about: Mapping[str, Any], write: Callable[[Path], object] | None
    ) -> Ledger:
        """The ledger with a segment more; the caller has held the lock since this one was opened.

        Args:
            kind: entries, lock or release.
            at: when.
            about: what else its record says.
            write: writes its file to the path that it is given; None: it has none.

        Raises:
            UserError: somebody else has written to it, or the disk is full.
        """
        number = len(self.segments) + 1
        path = self.folder / f"{_name(number)}.json"
        if path.exists() or not (self.folder / "ledger.json").is_file():
            raise UserError(
                "the split ledger was changed while something was to be written to it",
                where=str(self.folder),
                do="run it again",
            )
        record = {
            "format": FORMAT,
            "ledger": self.id,
            "number": number,
            "previous": self._last(),
            "kind": kind,
            "at": at.astimezone(UTC).isoformat(timespec="seconds"),
            **about,
        }
        with room("the split ledger", self.folder):
            if write is not None:
                data = self.folder / f"{_name(number)}.parquet"
                draft = data.with_name(f".{data.name}.new")
                write(draft)
                sync(draft)
                record["sha256"] = file_sha256(draft)
                draft.replace(data)
            _write(path, record)
            segment = Segment(number, file_sha256(path), record)
            _write(self.folder / "head.json", {"format": FORMAT, "number": number, "sha256": segment.sha256})
        return Ledger(self.folder, self.about, [*self.segments, segment])

    def _last(self) -> str:
        return self.segments[-1].sha256 if self.segments else file_sha256(self.folder / "ledger.json")

    def _check_head(self) -> None:
        """The head names the last segment, or one before it if the process was killed in between."""
        if not (self.folder / "head.json").exists():
            # Of two segments, the first has made a head.
            if len(self.segments) > 1:
                raise _damaged(self.folder, "head.json is missing")
            return
        head = _parsed(
            self.folder, "head.json", _read(self.folder, "head.json"), {"number": int, "sha256": str}
        )
        number = head["number"]
        if not 1 <= number <= len(self.segments):
            raise _damaged(
                self.folder, f"segment {_name(number)} is missing, which was the last one when it was written"
            )
        if self.segments[number - 1].sha256 != head["sha256"]:
            raise _damaged(self.folder, f"{_name(number)}.json is not what was written")


_RECORD: Mapping[str, type] = {
    "ledger": str,
    "number": int,
    "previous": str,
    "kind": str,
    "at": str,
}


def _verify(folder: Path, record: Mapping[str, Any]) -> None:
    path = folder / f"{_name(record['number'])}.parquet"
    if record["kind"] == "release":
        return
    if not path.is_file():
        raise _damaged(folder, f"{path.name} is missing")
    if file_sha256(path) != record.get("sha256"):
        raise _damaged(folder, f"{path.name} is not what was written")


def _parsed(folder: Path, name: str, data: bytes, wanted: Mapping[str, type]) -> dict[str, Any]:
    try:
        found = json.loads(data)
        if found["format"] != FORMAT:
            raise UserError(
                f"{name} has format {found['format']}, this version of ft_assets reads {FORMAT}",
                where=str(folder),
                do="use the version of ft_assets that wrote it",
            )
        if not all(isinstance(found[key], kind) for key, kind in wanted.items()):
            raise _damaged(folder, f"{name} is not what was written")
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{name} cannot be read") from error
    return found


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise _damaged(folder, f"{name} is missing") from error
    except OSError as error:
        raise _damaged(folder, f"{name} cannot be read: {error.strerror}") from error


def _write(path: Path, record: Mapping[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.new")
    write_synced(draft, canonical_json(dict(record)) + b"\n")
    draft.replace(path)
    sync(path.parent)


def _name(number: int) -> str:
    return f"{number:06d}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _damaged(folder: Path, what: str) -> UserError:
    return UserError(
        f"the split ledger is damaged: {what}",
        where=str(folder),
        do=f"restore it: `python -m ft_assets ledger restore {folder.name} FILE --replace` with what "
        "`ledger export` has written, or from a backup of the folder. Nothing was drawn anew",
    )
