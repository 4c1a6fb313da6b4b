"""`withdraw`: a source file out of the data; it is kept aside."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.commands.shared import (
    assets_in,
    at_url,
    defined_tasks,
    files_of,
    only,
    open_instance,
    rebuilt,
    what_follows,
)
from ft_assets.errors import UserError
from ft_assets.paths import data_dir, store_root

if TYPE_CHECKING:
    import dagster as dg

    from ft_assets.components.stage import Task
    from ft_assets.removal.withdraw import SourceFile

__all__ = ["add_parser", "withdraw_file"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("withdraw", help="take a source file out of the data; it is kept aside")
    command.add_argument("file", help="name or path of a file below incoming/")
    command.add_argument("--task", help="the task that reads it, where several do")
    command.add_argument("--dry-run", action="store_true", help="only say what contains rows of it")
    command.set_defaults(handler=_withdraw)


def _withdraw(given: argparse.Namespace) -> None:
    with open_instance() as instance:
        withdraw_file(instance, defined_tasks(), given.file, task=given.task, dry_run=given.dry_run)


def withdraw_file(
    instance: dg.DagsterInstance,
    tasks: Mapping[str, Task],
    given: str,
    *,
    task: str | None = None,
    dry_run: bool = False,
) -> None:
    """Say what contains rows of a source file, and put the file away unless this is a dry run.

    Args:
        instance: what is current.
        tasks: the tasks of the code location.
        given: name or path of the file.
        task: the task that is meant, where several read it.
        dry_run: whether to leave the file where it is.

    Raises:
        UserError: no task reads such a file, several are meant, or it is none below `incoming/`.
    """
    from ft_assets.components.recorded import current_versions
    from ft_assets.lineage.graph import local_store
    from ft_assets.removal.withdraw import contains, put_away
    from ft_assets.sources.files import shown_name

    root = None if at_url(store_root()) else local_store(store_root())
    readers = _find_file(root, only(tasks, task), given)
    also = _readers(tasks, readers[0].path) if task else readers
    follows: dict[str, str] = {}
    for file in also:
        made = tasks[file.task]
        if root is None:
            print(f"{file.task}: what contains rows of {file.name} cannot be told, the store lies at a URL")
            follows[file.task] = what_follows(made, retrain=False)
            if file.alone:
                follows[file.task] = _waits(file)
            continue
        current = current_versions(instance, file.task, assets_in(root, file.task))
        found = contains(root, file.task, current, file.label, file.name)
        print(f"{file.task}: rows of {file.name} in what is current")
        for each in found or ():
            told = [f"{rows:,} in {name}" for name, rows in each.rows.items()]
            told += [f"cannot be told: {why}" for why in each.unknown.values()]
            print(f"  {each.asset:<18} {each.data_version[:12]}  {', '.join(told)}")
        if not found:
            print("  none: no current artifact has a row of it")
        print(f"  to be rebuilt: {', '.join(rebuilt(made, [each.asset for each in found]))}")
        trained = next((each for each in found if each.asset == "checkpoint"), None)
        if "checkpoint" not in current:
            print("  there is no checkpoint yet")
        elif trained is None:
            print(f"  the current checkpoint {current['checkpoint'][:12]} was not trained on it")
        elif not trained.rows:
            print(
                f"  whether the current checkpoint {trained.data_version[:12]} was trained on it cannot be told"
            )
        else:
            rows = " and ".join(f"{rows:,} rows of its {name}" for name, rows in trained.rows.items())
            print(f"  THE CURRENT CHECKPOINT {trained.data_version[:12]} WAS TRAINED ON IT: {rows}")
        follows[file.task] = what_follows(made, retrain=trained is not None)
        if file.alone:
            follows[file.task] = _waits(file)
            print(f"  {follows[file.task]}")
    if dry_run:
        print("dry run: nothing was changed")
        return
    kept = put_away(readers[0], datetime.now(UTC), also)
    print(f"withdrawn: {shown_name(readers[0].path.name)} lies in {kept} now")
    for name, text in follows.items():
        print(f"next, {name}: {text}")


def _waits(file: SourceFile) -> str:
    return (
        f"it is the only file of '{file.source}': raw_examples will wait with \"no file matches\" until "
        "another one is there, and all that is current stays as it is"
    )


def _find_file(root: Path | None, tasks: Mapping[str, Task], given: str) -> list[SourceFile]:
    """The one file that is meant, once for each task that reads it."""
    from ft_assets.removal.withdraw import meant_paths
    from ft_assets.sources.files import shown_name

    known = [file for name in tasks for file in files_of(tasks[name])]
    paths = meant_paths([file.path for file in known], given)
    meant = [file for file in known if file.path in paths]
    if not meant:
        raise _not_found(root, tasks, given, sorted({shown_name(file.path.name) for file in known}))
    if len({file.path for file in meant}) > 1:
        raise UserError(
            f"several files are called '{given}'",
            where=", ".join(sorted({shown_name(str(file.path)) for file in meant})),
            do="give the path, or --task",
        )
    path, incoming = meant[0].path, data_dir() / "incoming"
    if not path.absolute().is_relative_to(incoming.absolute()):
        raise UserError(
            f"{shown_name(path.name)} does not lie below incoming/, so it is not ours to move",
            where=shown_name(str(path)),
            do=f"move it yourself, or take it out of `sources` of {meant[0].task}",
        )
    return meant


def _not_found(root: Path | None, tasks: Mapping[str, Task], given: str, names: Sequence[str]) -> UserError:
    from ft_assets.data.formats.sql import name_of
    from ft_assets.lineage.graph import builds
    from ft_assets.removal.rows import is_named
    from ft_assets.sources.files import is_local

    for name, task in tasks.items():
        read = {
            entry["file"]
            for build in (builds(root, name) if root else ())
            if build.asset == "raw_examples"
            for entry in build.summary.get("files") or ()
        }
        others = [
            source.function or source.path or name_of(source)
            for source in task.config.sources
            if not (source.path and is_local(source.path))
        ]
        named = given in others or "://" in given or any(is_named(each, given) for each in read)
        if others and named:
            pinned = ", ".join(str(each).split("#")[0] for each in others)
            raise_do = f"take the source out of `sources` in {task.folder / 'defs.yaml'}, or pin another version of it"
            return UserError(
                f"'{given}' is no file below incoming/: {name} reads it from a source that is pinned or computed",
                where=pinned,
                do=raise_do,
            )
    near = difflib.get_close_matches(Path(given).name, names, n=1)
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return UserError(
        f"no task reads a file '{given}'",
        where=f"files that are read now: {some or 'none'}",
        do=f"did you mean '{near[0]}'?" if near else "give its name, or its path below incoming/",
    )


def _readers(tasks: Mapping[str, Task], path: Path) -> list[SourceFile]:
    return [file for task in tasks.values() for file in files_of(task) if file.path == path]
