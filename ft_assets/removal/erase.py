"""Erasing rows for good: what holds them, the list that keeps them out, and taking away what holds them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ft_assets.artifacts import Removal
from ft_assets.errors import UserError
from ft_assets.lineage.graph import builds
from ft_assets.removal import suppressed
from ft_assets.removal.rows import Holder, Rows, holders, is_named, rows_of
from ft_assets.removal.unfinished import remove_unfinished, unfinished
from ft_assets.removal.withdraw import Copy, SourceFile, kept_copies, meant_paths, note

__all__ = ["Erased", "Erasure", "erase", "plan_erasure"]

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Erasure:
    """What erasing some rows of a task takes away."""

    task: str
    rows: Rows
    known: frozenset[str]
    """Those of the rows asked for that this task has, or has had."""
    remove: list[Holder]
    retire: list[Holder]
    """Checkpoints that were trained on them."""
    copies: list[Path]
    """Withdrawn copies of the file."""
    sources: frozenset[str]
    """What the task's sources are called and were."""
    unfinished: list[Path]
    """States of trainings that were cut off: they may have seen the rows."""


@dataclass(frozen=True)
class Erased:
    """What was done."""

    suppressed: int
    """Ids that are new on the list."""
    freed: int
    """Bytes."""
    retired: list[Path]


def plan_erasure(
    root: Path,
    task: str,
    *,
    ids: Collection[str] = (),
    file: str | None = None,
    read: Sequence[SourceFile] = (),
) -> Erasure | None:
    """What it takes to erase rows from a task; None if it has never had any of them.

    Rows with the very same text go, too: the text would stay otherwise, and only their order tells the ids of equal
    rows apart. What an earlier erasure has not finished is part of it.

    Args:
        root: the store.
        task: the task.
        ids: of the rows.
        file: or the name of a source file, or its path, all rows of which are meant.
        read: the local files that the task reads now, by which a path is looked up.

    Raises:
        UserError: several sources have a file of that name, or the list of erased rows is damaged.
    """
    is_file, copies = _meaning(task, file, read) if file is not None else (None, [])
    if file is not None and is_file is not None:
        _one_file(root, task, file, is_file)
    before = suppressed.read(task)
    rows = rows_of(root, task, ids=ids, is_file=is_file, same_text=True)
    known = rows.asked | (before & set(ids))
    if not known and not copies:
        return None
    found = holders(root, task, rows.ids | before)
    retire = [each for each in found if each.asset == CHECKPOINT and "/" not in each.name]
    remove = [each for each in found if each not in retire]
    return Erasure(task, rows, known, remove, retire, copies, _source_names(root, task), unfinished(task))


def erase(removal: Removal, plan: Erasure, *, reason: str, now: datetime) -> Erased:
    """Carry it out. A process that is killed on the way leaves the rows suppressed; the same call again goes on.

    Raises:
        UserError: no room for the list; nothing was removed then.
    """
    at = now.isoformat(timespec="seconds")
    new = suppressed.add(plan.task, plan.rows.ids, reason=reason, at=at, sources=plan.sources)
    retired = [
        removal.retire(
            plan.task,
            each.asset,
            each.name,
            {"reason": reason, "why": each.why, "erased_rows": len(plan.rows.ids), "at": at},
        )
        for each in plan.retire
    ]
    freed = removal.tidy()
    for each in plan.remove:
        if "/" in each.name:
            freed += removal.remove_folder(plan.task, each.asset, each.name)
        else:
            freed += removal.remove(plan.task, each.asset, each.name)
    for copy in plan.copies:
        freed += copy.stat().st_size
        note(plan.task, {"action": "erased", "kept_as": copy.name, "at": at})
        copy.unlink()
    freed += remove_unfinished(plan.unfinished)
    return Erased(new, freed, retired)


def _source_names(root: Path, task: str) -> frozenset[str]:
    raw = [build for build in builds(root, task) if build.asset == "raw_examples"]
    return frozenset(entry["source"] for build in raw for entry in build.summary.get("files") or ())


def _meaning(task: str, file: str, read: Sequence[SourceFile]) -> tuple[Callable[[str], bool], list[Path]]:
    """What tells by the name that rows carry whether they are of the file, and the withdrawn copies of it.

    Rows carry a name relative to the fixed part of their source's pattern. So a path is looked up among the files
    that the task reads or has read, and does not mean a file of the same name in another folder.
    """
    kept = kept_copies(task)
    if "/" not in file:
        copies = [copy for copy in kept if is_named(copy.name, file)]
        return lambda name: is_named(name, file), _paths(copies)
    meant = meant_paths([*(each.path for each in read), *(copy.was for copy in kept)], file)
    copies = [copy for copy in kept if copy.was in meant]
    names = {each.name for each in read if each.path in meant} | {copy.name for copy in copies}
    is_meant = names.__contains__ if names else lambda name: is_named(name, file)
    return is_meant, _paths(copies)


def _paths(copies: Sequence[Copy]) -> list[Path]:
    """Each once: a task may read a file twice, under two names."""
    return list(dict.fromkeys(copy.path for copy in copies))


def _one_file(root: Path, task: str, file: str, is_file: Callable[[str], bool]) -> None:
    """Rows do not tell two files of the same name apart, where several sources have one."""
    for build in builds(root, task):
        named = [
            entry["file"]
            for entry in (build.summary.get("files") or ())
            if build.asset == "raw_examples" and is_file(entry["file"])
        ]
        if len(named) > 1:
            differ = len(set(named)) > 1
            raise UserError(
                f"{len(named)} files of {task} are called '{file}'",
                where=", ".join(sorted(set(named))) if differ else f"sources of {task}",
                do="give more of the path" if differ else "erase its rows by their ids: `erase --row ID …`",
            )
