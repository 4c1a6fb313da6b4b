"""The ledger on the disk: segments that are only ever added, each chained to the one before by its hash.

    <data directory>/ledger/<task>/
        ledger.json            the ledger's id, when it was begun, which ledgers it was begun instead of
        head.json              number and hash of the last segment: one that is cut off the end is missed
        000001.parquet         the entries of a segment
        000001.json            their hash, the hash of `000000.json` (of `ledger.json` for the first), when, and why

A segment is there once its JSON is: that is renamed last. What a killed process left before that is overwritten.
Everything is verified whenever a ledger is opened. What is missing or altered is an error that says what to do; nothing
is ever drawn anew because of it. Whoever reads a ledger to write to it holds `lock` meanwhile.

Not here: what is recorded and why (`assignment`); export and reset (`archive`).
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

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.data.ledger.keys import GROUP, ROW, TEXT, numbers, to_binary
from ft_assets.disk import flock, make_directory, room, sync, write_synced
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir
from ft_assets.versions import canonical_json, file_sha256

__all__ = ["ENTRIES", "SIDES", "Entries", "Ledger", "Segment", "find", "lock", "lock_file"]

FORMAT = 1
SIDES = ("test", "validation", "train")
"""The splits, in the order in which one goes before another where rows that belong together are on several sides."""
ENTRIES = pa.schema(
    [
        ("kind", pa.string()),  # row or group
        ("key", pa.binary(16)),  # of its text, or of the group
        ("example", pa.binary(8)),  # null for a group
        ("split", pa.string()),
        ("rule", pa.string()),
        (
            "cluster",
            pa.binary(16),
        ),  # the smallest text key of the cluster that it was recorded with; null: its own
    ]
)
_WORDS = ["kind", "split", "rule"]
_ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Segment:
    """What was recorded at one time."""

    number: int
    sha256: str
    """Of its JSON."""
    record: Mapping[str, Any]
    """format, ledger, number, previous, file, sha256, entries, at, settings, made_from, rules."""


@dataclass(frozen=True)
class Entries:
    """What a ledger says, in memory: 25 bytes a row.

    Attributes:
        rows: `text`, `example`, `side` (place in `SIDES`) of each recorded row.
        groups: `group`, `side` of each recorded group.
    """

    rows: pl.DataFrame
    groups: pl.DataFrame

    @classmethod
    def none(cls) -> Entries:
        """Those of a ledger that has recorded nothing."""
        return cls(
            pl.DataFrame(schema={"text": TEXT, "example": ROW, "side": pl.UInt8}),
            pl.DataFrame(schema={"group": GROUP, "side": pl.UInt8}),
        )


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
    def open(cls, folder: Path) -> Ledger | None:
        """The ledger in a folder; None if there is none.

        Raises:
            UserError: something of it is missing, altered, or of another format.
        """
        if not folder.is_dir() or not any(folder.glob("*.json")):
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

    def entries(self) -> Entries:
        """Everything that it says."""
        rows, groups = [Entries.none().rows], [Entries.none().groups]
        for segment in self.segments:
            with pq.ParquetFile(self.folder / segment.record["file"]) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["kind", "key", "example", "split"]):
                    part = _in_numbers(batch)
                    is_row = pl.col("kind") == "row"
                    rows.append(part.filter(is_row).select(pl.col("key").alias("text"), "example", "side"))
                    groups.append(part.filter(~is_row).select(pl.col("key").alias("group"), "side"))
        return Entries(pl.concat(rows, rechunk=True), pl.concat(groups, rechunk=True))

    def append(
        self, entries: pl.DataFrame, *, settings: Mapping[str, Any], made_from: str, at: datetime
    ) -> Ledger:
        """The ledger with a segment more; the caller has held the lock since this one was opened.

        Args:
            entries: `kind`, `key`, `example`, `side`, `rule`, `cluster`, as `assignment` gives them.
            settings: by which was drawn.
            made_from: the data version of the labelled rows.
            at: when.

        Raises:
            UserError: somebody else has written to it, or the disk is full.
        """
        if not entries.height:
            return self
        number = len(self.segments) + 1
        path = self.folder / f"{_name(number)}.json"
        if path.exists() or not (self.folder / "ledger.json").is_file():
            raise UserError(
                "the split ledger was changed while the splits were made",
                where=str(self.folder),
                do="run it again",
            )
        data = self.folder / f"{_name(number)}.parquet"
        with room("the split ledger", self.folder, int(entries.estimated_size())):
            draft = data.with_name(f".{data.name}.new")
            # Keys are random: dictionaries and compression do nothing for them.
            with pq.ParquetWriter(draft, ENTRIES, compression="zstd", use_dictionary=_WORDS) as writer:
                for part in entries.iter_slices(_ROWS_AT_ONCE):
                    writer.write_batch(_as_batch(part))
            sync(draft)
            record = {
                "format": FORMAT,
                "ledger": self.id,
                "number": number,
                "previous": self._last(),
                "file": data.name,
                "sha256": file_sha256(draft),
                "entries": entries.height,
                "at": at.astimezone(UTC).isoformat(timespec="seconds"),
                "settings": dict(settings),
                "made_from": made_from,
            }
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


def find(ledger: Ledger, example: pl.Series) -> list[dict[str, Any]]:
    """What is recorded of a row, oldest first: `split`, `rule`, `at`, `segment`.

    Args:
        ledger: where to look.
        example: its id as one number (`keys.example_keys`).
    """
    wanted = pa.scalar(int(example[0]).to_bytes(8, "big"), pa.binary(8))
    found = []
    for segment in ledger.segments:
        rows = pq.read_table(
            ledger.folder / segment.record["file"],
            columns=["split", "rule"],
            filters=pc.field("example") == wanted,
        )
        for row in rows.to_pylist():
            found.append({**row, "at": segment.record["at"], "segment": segment.number})
    return found


_RECORD: Mapping[str, type] = {
    "ledger": str,
    "number": int,
    "previous": str,
    "file": str,
    "sha256": str,
    "entries": int,
    "at": str,
    "settings": dict,
    "made_from": str,
}


def _in_numbers(batch: pa.RecordBatch) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(batch))
    sides = {name: place for place, name in enumerate(SIDES)}
    return frame.select(
        "kind",
        numbers(frame["key"], TEXT),
        numbers(frame["example"], ROW),
        pl.col("split").replace_strict(sides, return_dtype=pl.UInt8).alias("side"),
    )


def _as_batch(entries: pl.DataFrame) -> pa.RecordBatch:
    splits = entries["side"].replace_strict(range(len(SIDES)), SIDES, return_dtype=pl.String)
    columns = {
        "kind": entries["kind"].to_arrow(),
        "key": to_binary(entries["key"]),
        "example": to_binary(entries["example"]),
        "split": splits.to_arrow(),
        "rule": entries["rule"].to_arrow(),
        "cluster": to_binary(entries["cluster"]),
    }
    return pa.record_batch(columns).cast(ENTRIES)


def _verify(folder: Path, record: Mapping[str, Any]) -> None:
    path = folder / record["file"]
    if record["file"] != f"{_name(record['number'])}.parquet" or not path.is_file():
        raise _damaged(folder, f"{_name(record['number'])}.parquet is missing")
    if file_sha256(path) != record["sha256"]:
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
