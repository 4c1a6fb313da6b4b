"""Withdrawing a source file: which one is meant, what contains rows of it, and putting it away."""

from __future__ import annotations

import errno
import getpass
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ft_assets.disk import flock, make_directory, room, sync
from ft_assets.errors import UserError
from ft_assets.lineage.graph import builds
from ft_assets.lineage.usage import rows_held
from ft_assets.paths import data_dir
from ft_assets.removal.rows import is_named
from ft_assets.sources.files import find_files, is_local, shown_name
from ft_assets.versions import file_sha256

__all__ = [
    "Contains",
    "Copy",
    "SourceFile",
    "contains",
    "kept_copies",
    "meant_paths",
    "note",
    "put_away",
    "source_files",
    "withdrawn_dir",
]


@dataclass(frozen=True)
class SourceFile:
    """A local file that a task reads."""

    task: str
    path: Path
    name: str
    """As its rows carry it."""
    label: str
    """Name of the source."""
    source: str
    """The path or pattern in the task's `sources`."""
    alone: bool
    """Whether the source has no other file."""


@dataclass(frozen=True)
class Contains:
    """How many rows of a file are in a current artifact, or went into one."""

    asset: str
    data_version: str
    rows: Mapping[str, int]
    """By asset: of a model, the splits that it was made from."""
    unknown: Mapping[str, str]
    """By asset, why it cannot be told."""

    @property
    def total(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True)
class Copy:
    """A withdrawn file."""

    path: Path
    name: str
    """As its rows carry it."""
    was: Path
    """Where it lay."""


def source_files(
    task: str, sources: Sequence[tuple[str, str]], base_of: Callable[[str], Path]
) -> list[SourceFile]:
    """The local files that a task reads now.

    Args:
        task: its name.
        sources: name, and path or pattern, of each of its sources.
        base_of: where a relative one starts.
    """
    found = []
    for label, source in sources:
        if not is_local(source):
            continue
        try:
            files = find_files(source, base_of(source))
        except UserError:  # no file: then none of it can be withdrawn
            continue
        found += [SourceFile(task, path, name, label, source, len(files) == 1) for path, name in files]
    return found


def contains(root: Path, task: str, current: Mapping[str, str], source: str, file: str) -> list[Contains]:
    """Which current artifacts contain rows of a file, upstream first, counted as the lineage counts them.

    Args:
        root: the store.
        task: the task.
        current: the current data version of each asset.
        source: name of the file's source.
        file: the file's name as its rows carry it.
    """
    known = builds(root, task)
    made_from = {
        "checkpoint": ("train_split", "validation_split"),
        "baselines": ("train_split", "validation_split", "test_split"),
        "evaluation_report": ("test_split",),
    }
    found: list[Contains] = []
    for asset, version in current.items():
        if asset not in made_from:
            parts = {asset: version}
        else:
            inputs = next(
                (build.inputs for build in known if (build.asset, build.data_version) == (asset, version)), {}
            )
            parts = {name: inputs[name] for name in made_from[asset] if name in inputs}
        rows, unknown = {}, {}
        for name, part in parts.items():
            if name == "base_model":
                continue
            try:
                count = rows_held(known, name, part, (source, file))
            except UserError as error:  # other contents than were published
                unknown[name] = error.what
            except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
                unknown[name] = f"{task}/{name} {part} is damaged ({type(error).__name__})"
            else:
                if count is None:
                    unknown[name] = f"{task}/{name} {part}, or what it was made from, is gone from the store"
                elif count:
                    rows[name] = count
        found.append(Contains(asset, version, rows, unknown))
    return [each for each in found if each.total or each.unknown]


def withdrawn_dir(task: str) -> Path:
    """Where the withdrawn files of a task lie."""
    return data_dir() / "withdrawn" / task


def put_away(file: SourceFile, now: datetime, also: Sequence[SourceFile] = ()) -> Path:
    """Move a source file to the withdrawn ones; gives where it lies now.

    It is noted in the `withdrawn.jsonl` of each task that reads it, since its rows are erased by task.

    Args:
        file: the file, as the task reads it among whose withdrawn ones it will lie.
        now: when.
        also: the same file, as it is read besides.

    Raises:
        UserError: it is gone, cannot be moved, or there is no room for the note.
    """
    folder = withdrawn_dir(file.task)
    target = folder / f"{now:%Y%m%dT%H%M%S%fZ}-{shown_name(file.path.name)}"
    with room("the note of what was withdrawn", folder):
        try:
            sha256 = file_sha256(file.path)
            # The note first: a file that is gone without a word would be worse than a note of one that is still there.
            for each in dict.fromkeys([file, *also]):
                note(
                    each.task,
                    {
                        "action": "withdrawn",
                        "file": each.name,
                        "from": str(file.path),
                        "kept_as": target.name,
                        "kept_by": file.task,
                        "sha256": sha256,
                        "by": _user(),
                        "at": now.isoformat(timespec="seconds"),
                    },
                )
            _move(file.path, target)
        except PermissionError as error:
            raise UserError(
                f"{shown_name(file.path.name)} may not be moved",
                where=f"{shown_name(str(file.path))} to {folder}",
                do="withdraw it as a user who may write to both folders",
            ) from error
        except FileNotFoundError as error:
            raise UserError(
                f"{shown_name(file.path.name)} is gone",
                where=shown_name(str(file.path)),
                do="look who moved it",
            ) from error
    return target


def note(task: str, entry: Mapping[str, Any]) -> None:
    """Add a line to the notes of a task's withdrawn files, on the disk before this returns."""
    path = withdrawn_dir(task) / "withdrawn.jsonl"
    make_directory(path.parent)
    with flock(path.with_name(f".{path.name}.lock")), path.open("ab") as file:
        # In ASCII: the name of a file may hold bytes that are no text.
        file.write(json.dumps(entry, sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)


def kept_copies(task: str) -> list[Copy]:
    """The withdrawn copies of a task's files that still exist.

    Raises:
        UserError: a note cannot be read.
    """
    path = withdrawn_dir(task) / "withdrawn.jsonl"
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
            folder = withdrawn_dir(Path(entry.get("kept_by", task)).name)
            copy = folder / Path(entry["kept_as"]).name
            if entry["action"] == "withdrawn" and copy.is_file():
                found.append(Copy(copy, entry["file"], Path(entry["from"])))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                "a note of what was withdrawn cannot be read", where=str(path), do="mend or delete that line"
            ) from error
    return found


def meant_paths(paths: Collection[Path], given: str) -> set[Path]:
    """Those of the paths that a person means: the very path, else all that end in it (as they are, or shown)."""
    exact = {Path(given).expanduser().absolute(), data_dir() / given, data_dir() / "incoming" / given}
    found = {path for path in paths if path.absolute() in exact}
    return found or {
        path
        for path in paths
        if is_named(path.as_posix(), given) or is_named(shown_name(path.as_posix()), given)
    }


def _move(path: Path, target: Path) -> None:
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another file system: whole under its name, or not there.
        draft = target.with_name(f".{target.name}")
        try:
            with path.open("rb") as source, draft.open("wb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
            draft.rename(target)
        finally:
            draft.unlink(missing_ok=True)
        path.unlink()
    sync(target.parent)
    sync(path.parent)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
