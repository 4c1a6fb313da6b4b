"""The suppression list of a task: ids of rows that were erased, and stay out when their source is read again.

It holds ids, which are hashes, and what the sources were called, which ids are made of; no text. It lies outside the
store, because it has to outlive every artifact.
Lines are only ever added. The file is replaced as a whole each time, so that a crash leaves no half line.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ft_assets.disk import flock, make_directory, room, sync, write_synced
from ft_assets.errors import UserError
from ft_assets.paths import data_dir
from ft_assets.versions import hash_json

__all__ = ["IDENTITY", "add", "identity", "list_file", "read", "source_names"]

FORMAT = 1
IDENTITY = "source:suppressed"
"""Name of the list among the sources of `raw_examples`."""


def list_file(task: str) -> Path:
    """Where the list of a task lies; there is no file as long as nothing was erased."""
    return data_dir() / "suppressed" / f"{task}.jsonl"


def read(task: str) -> frozenset[str]:
    """The ids that are kept out.

    Raises:
        UserError: the list is damaged. Nothing is read then: erased rows would come back.
    """
    return frozenset(entry["example_id"] for entry in _entries(list_file(task)))


def source_names(task: str) -> frozenset[str]:
    """What the task's sources were called when rows were erased. Ids are made of it.

    Raises:
        UserError: as `read`.
    """
    return frozenset(name for entry in _entries(list_file(task)) for name in entry.get("sources", ()))


def identity(task: str) -> dict[str, str]:
    """The list's content as a source of `raw_examples`; nothing where there is no list, so that the build keys of
    tasks without one stay what they are."""
    ids = read(task)
    return {IDENTITY: hash_json(sorted(ids))} if ids else {}


def add(task: str, ids: Collection[str], *, reason: str, at: str, sources: Collection[str] = ()) -> int:
    """Add ids to the list; gives how many are new.

    Args:
        task: the task.
        ids: of rows.
        reason: why, in the words of the person who asks for it.
        at: when, ISO 8601 in UTC.
        sources: what the task's sources are called and were.

    Raises:
        UserError: the list is damaged, or there is no room for it.
    """
    path = list_file(task)
    with room("the suppression list", path.parent):
        make_directory(path.parent)
        with flock(path.with_name(f".{path.name}.lock")):
            new = sorted(set(ids) - read(task))
            if not new:
                return 0
            told = {"at": at, "reason": reason, "sources": sorted(sources)}
            lines = [json.dumps({"format": FORMAT, "example_id": each} | told) for each in new]
            before = path.read_bytes() if path.is_file() else b""
            if before and not before.endswith(b"\n"):
                before += b"\n"
            draft = path.with_name(f".{path.name}.new")
            try:
                write_synced(draft, before + "".join(f"{line}\n" for line in lines).encode())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            sync(path.parent)
    return len(new)


def _entries(path: Path) -> list[dict[str, Any]]:
    """The lines of the list; none where there is no list."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            known = entry["format"] == FORMAT and isinstance(entry["example_id"], str)
            known = known and all(isinstance(name, str) for name in entry.get("sources", ()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unusable(path, f"line {number} cannot be read") from error
        if not known:
            raise _unusable(path, f"line {number} is of a format that this version does not know")
        entries.append(entry)
    return entries


def _unusable(path: Path, what: str) -> UserError:
    return UserError(
        f"the list of erased rows cannot be used: {what}",
        where=str(path),
        do="restore it from a backup, or mend the line; without it rows that were erased would come back",
    )
