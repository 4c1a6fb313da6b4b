"""A test split that is locked: which rows it has, what stands in them, and how often it was looked at.

A lock is a segment of the ledger (`chain`): a list of ids, each with the SHA-256 of what stands in the row. As long as
it holds, every locked row has to be in test, unchanged, or a duplicate of it with its label, into which it was merged
(which of two is kept does not tell which was there first). It may have another id there: the order of a file's rows
tells the ids of two answers to one prompt. And no new cluster is drawn for test, though what belongs to rows of test
still joins them, since it would leak anywhere else.

Each look at a test set tells a little about it, and a choice between models that were all judged on it overfits it. So
evaluations are counted, in `reads.jsonl` beside the segments, one line each.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.data.examples import to_polars
from ft_assets.data.ledger.chain import Ledger, Segment
from ft_assets.data.texts import read_texts, text_keys
from ft_assets.disk import make_directory, room, sync, write_synced
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir
from ft_assets.spill import slices
from ft_assets.versions import canonical_json

__all__ = ["Tampered", "add_reads", "count_read", "lock", "reads", "release", "tampered"]

_SCHEMA = pa.schema([("example_id", pa.string()), ("sha256", pa.binary(32)), ("same", pa.binary(32))])
"""`same` is what duplicates have in common: the SHA-256 of text key and label. Older locks lack it."""
_READ = ("evaluation", "test_split", "checkpoint", "at")


@dataclass(frozen=True)
class Tampered:
    """Ids of locked rows that are not as they were."""

    missing: list[str]
    """In none of the splits, nor is a duplicate with the same label in test. Rows that were erased are not missed."""
    changed: list[str]
    """With another text, context or label, and what they had is in test under no other id."""
    elsewhere: list[str]
    """In train or validation."""

    @property
    def ids(self) -> list[str]:
        """All of them."""
        return sorted({*self.missing, *self.changed, *self.elsewhere})


def lock(ledger: Ledger, test: pa.Table, data_version: str, at: datetime) -> Ledger:
    """Lock the rows of a test split; the caller holds the ledger's lock.

    Raises:
        UserError: something is locked already, or the disk is full.
    """
    if ledger.locked is not None:
        raise UserError(
            "a test set is locked already",
            where=str(ledger.folder),
            do=f"`python -m ft_assets lock {ledger.folder.name} --release` first; what was measured on it is no longer "
            "comparable then",
        )
    parts = [
        pa.table(
            {"example_id": part["example_id"], "sha256": _contents(part), "same": _in_common(part)},
            schema=_SCHEMA,
        )
        for part in slices(test)
    ]
    rows = pa.concat_tables(parts).sort_by("example_id")
    about = {"rows": rows.num_rows, "made_from": data_version}
    return ledger.add("lock", at, about, lambda path: pq.write_table(rows, path, compression="zstd"))


def release(ledger: Ledger, at: datetime) -> Ledger:
    """Give a locked test set free; the caller holds the ledger's lock.

    Raises:
        UserError: nothing is locked.
    """
    if ledger.locked is None:
        raise UserError(
            "no test set is locked",
            where=str(ledger.folder),
            do=f"lock one: `python -m ft_assets lock {ledger.folder.name}`",
        )
    return ledger.add("release", at, {}, None)


def tampered(
    ledger: Ledger, holds: Segment, splits: Mapping[str, pa.Table], erased: Collection[str] = ()
) -> Tampered:
    """What is wrong with locked rows.

    Args:
        ledger: the ledger.
        holds: the lock.
        splits: the rows of `train`, `validation` and `test`, as they are to be published.
        erased: ids of rows that were taken out for good.
    """
    rows = pq.read_table(ledger.file_of(holds))
    wanted = dict(zip(rows["example_id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    elsewhere: list[str] = []
    others: list[tuple[str, str]] = []  # split and id, where the id has other contents
    intact = Counter[bytes]()
    seen: set[str] = set()
    for name, table in splits.items():
        for part in slices(table):
            ids = part["example_id"].to_pylist()
            mine = [place for place, each in enumerate(ids) if each in wanted]
            if not mine:
                continue
            seen.update(ids[place] for place in mine)
            for place, found in zip(mine, _contents(part.take(mine)).to_pylist(), strict=True):
                if found != wanted[ids[place]]:
                    others.append((name, ids[place]))
                elif name == "test":
                    intact[found] += 1
                else:
                    elsewhere.append(ids[place])
    changed: list[str] = []
    if others:
        free = _counted(splits["test"]) - intact
        for name, each in sorted(others):
            if free[wanted[each]]:
                free[wanted[each]] -= 1
            else:
                (changed if name == "test" else elsewhere).append(each)
    missing = wanted.keys() - seen - set(erased)
    if missing and "same" in rows.column_names:
        there = {each for part in slices(splits["test"]) for each in _in_common(part).to_pylist()}
        same = dict(zip(rows["example_id"].to_pylist(), rows["same"].to_pylist(), strict=True))
        missing = {each for each in missing if same[each] not in there}
    return Tampered(sorted(missing), sorted(changed), sorted(elsewhere))


def count_read(task: str, evaluation: str, *, test_split: str, checkpoint: str, at: datetime) -> None:
    """Note that an evaluation has read the test split; the same evaluation counts once, however often it is tried.

    Args:
        task: the task.
        evaluation: its build key.
        test_split: data version of what was read.
        checkpoint: data version of what was judged.
        at: when.

    Raises:
        UserError: the disk is full.
    """
    path = ledger_dir(task) / "reads.jsonl"
    with room("the count of evaluations", path.parent):
        make_directory(path.parent)
        if any(each["evaluation"] == evaluation for each in _lines(path)):
            return
        line = {
            "evaluation": evaluation,
            "test_split": test_split,
            "checkpoint": checkpoint,
            "at": at.astimezone(UTC).isoformat(timespec="seconds"),
        }
        before = path.read_bytes() if path.exists() else b""
        _write(path, before + canonical_json(line) + b"\n")


def add_reads(folder: Path, other: Path) -> None:
    """Add to the evaluations counted in a ledger's folder those of another one; each counts from its first time.

    Raises:
        UserError: a count cannot be read.
    """
    ours, others = _lines(folder / "reads.jsonl"), _lines(other / "reads.jsonl")
    first: dict[str, dict[str, str]] = {}
    for line in sorted([*ours, *others], key=lambda each: each["at"]):
        first.setdefault(line["evaluation"], line)
    if (lines := list(first.values())) != ours:
        _write(folder / "reads.jsonl", b"".join(canonical_json(line) + b"\n" for line in lines))


def reads(task: str, since: str = "") -> int:
    """How many evaluations have read the test split; those from a moment on (ISO 8601 in UTC) where one is given."""
    return sum(each["at"] >= since for each in _lines(ledger_dir(task) / "reads.jsonl"))


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    try:
        found = [json.loads(line) for line in data.splitlines()]
        return [{name: str(each[name]) for name in _READ} for each in found]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "the count of evaluations cannot be read",
            where=str(path),
            do="restore it from a backup, or mend the line",
        ) from error


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(".reads.jsonl.new")
    write_synced(draft, data)
    draft.replace(path)
    sync(path.parent)


def _contents(rows: pa.Table) -> pa.Array:
    """SHA-256 of context, text and label of each row, length-prefixed."""
    return _digests(*(rows[name].to_pylist() for name in ("context", "text", "label")))


def _counted(rows: pa.Table) -> Counter[bytes]:
    """How often each content stands there."""
    found = Counter[bytes]()
    for part in slices(rows):
        found.update(_contents(part).to_pylist())
    return found


def _in_common(rows: pa.Table) -> pa.Array:
    """SHA-256 of text key and label of each row."""
    keys = text_keys(read_texts(to_polars(rows.select(["context", "text"]))))
    return _digests(keys.to_list(), rows["label"].to_pylist())


def _digests(*columns: list[str | None]) -> pa.Array:
    digests = []
    for values in zip(*columns, strict=True):
        digest = hashlib.sha256()
        for value in values:
            data = None if value is None else value.encode()
            digest.update(b"-:" if data is None else b"%d:%b" % (len(data), data))
        digests.append(digest.digest())
    return pa.array(digests, pa.binary(32))
