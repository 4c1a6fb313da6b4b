"""`ledger` and `lock`: the split ledger of a task looked at, kept safe, begun anew; its test set locked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.artifacts.artifact import check_name
from ft_assets.commands.shared import defined_tasks, only, open_instance, what_follows
from ft_assets.data.ledger.chain import Ledger, Segment, lock
from ft_assets.disk import folders
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir, ledger_dir, store_root

if TYPE_CHECKING:
    import dagster as dg

    from ft_assets.components.stage import Task

__all__ = ["add_parser", "export_ledger", "lock_test", "reset_ledger", "restore_ledger", "show_ledger"]

_PATIENCE = 2
"""Looks at a lock, some ten seconds apart, after which a run that makes the splits is not waited for any longer."""


def add_parser(commands: Any) -> None:
    """Add the commands."""
    command = commands.add_parser(
        "ledger", help="which split each row is in, for good: show, export, restore, reset"
    )
    parts = command.add_subparsers(dest="part", required=True)
    part = parts.add_parser(
        "show", help="what is recorded, since when, and how often the test set was looked at"
    )
    part.add_argument("task")
    part.set_defaults(handler=lambda given: show_ledger(given.task))
    part = parts.add_parser("export", help="write the ledger into one file")
    part.add_argument("task")
    part.add_argument("file", type=Path)
    part.set_defaults(handler=lambda given: export_ledger(given.task, given.file))
    part = parts.add_parser("restore", help="put an exported ledger in its place; it is verified")
    part.add_argument("task")
    part.add_argument("file", type=Path)
    part.add_argument(
        "--replace", action="store_true", help="put aside another, or a damaged, ledger that is there"
    )
    part.set_defaults(
        handler=lambda given: restore_ledger(defined_tasks(), given.task, given.file, replace=given.replace)
    )
    part = parts.add_parser(
        "reset", help="draw all rows anew, another test set included; the old ledger is kept aside"
    )
    part.add_argument("task")
    part.add_argument("--dry-run", action="store_true", help="only say what would happen")
    part.add_argument("--yes", action="store_true", help="do it")
    part.set_defaults(
        handler=lambda given: reset_ledger(defined_tasks(), given.task, dry_run=given.dry_run, yes=given.yes)
    )
    command = commands.add_parser(
        "lock", help="lock the current test split: its rows may not change any more"
    )
    command.add_argument("task")
    command.add_argument("--release", action="store_true", help="give it free again")
    command.set_defaults(handler=_lock)


def _lock(given: argparse.Namespace) -> None:
    with open_instance() as instance:
        lock_test(instance, defined_tasks(), given.task, release=given.release)


def show_ledger(task: str) -> None:
    """Print what the ledger of a task says, in numbers.

    Raises:
        UserError: there is none, or it is damaged.
    """
    from ft_assets.data.ledger.entries import SIDES, read

    ledger = _opened(task)
    entries = read(ledger)
    rows = entries.rows.unique("example")["side"].value_counts()
    counts = {SIDES[side]: count for side, count in rows.iter_rows()}
    print(f"{task}: split ledger {ledger.id[:12]}, begun {ledger.about['begun']}")
    told = ", ".join(f"{counts.get(side, 0):,} in {side}" for side in reversed(SIDES))
    print(f"  {sum(counts.values()):,} rows: {told}; {entries.groups.height:,} groups")
    for segment in ledger.segments:
        print(f"  {segment.number:>6}  {segment.record['at']}  {_in_words(segment.record)}")
    for line in _test_set(task, ledger):
        print(f"  {line}")


def export_ledger(task: str, file: Path) -> None:
    """Write the ledger of a task into one file.

    Raises:
        UserError: there is none, it is damaged, a run is writing to it, or the disk is full.
    """
    from ft_assets.data.ledger.archive import export

    with lock(task, _Patience(task)):
        ledger = _opened(task)
        export(ledger, file.absolute())
    print(f"exported: ledger {ledger.id[:12]} with {len(ledger.segments)} segments in {file}")


def restore_ledger(tasks: Mapping[str, Task], task: str, file: Path, *, replace: bool = False) -> None:
    """Put an exported ledger in its place.

    Args:
        tasks: the tasks of the code location.
        task: whose ledger it becomes.
        file: what `export_ledger` has written.
        replace: whether another, or a damaged, ledger may be put aside.

    Raises:
        UserError: there is no such task; the file is none of ours or damaged; another ledger is there.
    """
    from ft_assets.data.ledger.archive import restore

    made = only(tasks, task)[task]
    with lock(task, _Patience(task)):
        done = restore(task, file, replace=replace)
        ledger = _opened(task)
    if done == "unchanged":
        print(f"nothing to restore: the ledger {ledger.id[:12]} that is there has all that {file} has")
        return
    print(f"restored: ledger {ledger.id[:12]} with {len(ledger.segments)} segments")
    print(f"next, {task}: {what_follows(made, retrain=True)}, where the splits are other ones by it")


def reset_ledger(tasks: Mapping[str, Task], task: str, *, dry_run: bool = False, yes: bool = False) -> None:
    """Begin a new ledger, by which all rows are drawn anew; the old one is kept aside.

    Args:
        tasks: the tasks of the code location.
        task: whose ledger.
        dry_run: whether to only say what would happen.
        yes: that the user means it.

    Raises:
        UserError: there is no such task, the ledger is damaged, or `yes` is missing.
    """
    from ft_assets.data.ledger.archive import reset

    made = only(tasks, task)[task]
    if Ledger.open(ledger_dir(task)) is None:
        print(f"{task} has no ledger yet: splits that were made without one would not be taken over")
    else:
        show_ledger(task)
    print(
        "A reset draws all rows anew by the shares and the salt of the task as they are now (the same ones give the "
        "same draw of the same rows).\nRows of test may go to train and the other way round: what was measured before "
        "cannot be compared, and a model that is in use has seen rows of the new test set."
    )
    if dry_run:
        print("dry run: nothing was changed")
        return
    if not yes:
        raise UserError("nothing was changed", do="give --yes if you mean it, or --dry-run to look")
    with lock(task, _Patience(task)):
        ledger, kept = reset(task)
    print(f"reset: a new ledger {ledger.id[:12]}" + (f"; the old one lies in {kept}" if kept else ""))
    print(f"next: {what_follows(made, retrain=True)}")


def lock_test(
    instance: dg.DagsterInstance, tasks: Mapping[str, Task], task: str, *, release: bool = False
) -> None:
    """Lock the current test split of a task, or give it free.

    Args:
        instance: what is current.
        tasks: the tasks of the code location.
        task: whose test split.
        release: whether to give it free.

    Raises:
        UserError: there is no such task, no test split or no ledger; it is locked, or free, already.
    """
    from ft_assets.artifacts import ArtifactStore
    from ft_assets.components.recorded import current_artifact
    from ft_assets.data.ledger import golden

    only(tasks, task)
    with lock(task, _Patience(task)):
        ledger = _opened(task)
        if release:
            golden.release(ledger, datetime.now(UTC))
            print(f"released: rows of the test split of {task} may change, and new clusters are drawn for it")
            return
        store = ArtifactStore(store_root(), cache=cache_dir())
        test = current_artifact(instance, store, task, "test_split")
        if test is None:
            raise UserError(f"{task} has no test split yet", do=f"materialise {task}/test_split first")
        if test.summary.get("ledger", {}).get("id") != ledger.id:
            raise UserError(
                "the current test split was made by another ledger",
                where=f"{task}/test_split {test.data_version}",
                do=f"materialise {task}/test_split first",
            )
        golden.lock(ledger, test.table(), test.data_version, datetime.now(UTC))
    print(
        f"locked: {test.summary['kept']:,} rows of {task}/test_split {test.data_version[:12]}. A run that would "
        "change, lose or move one of them publishes nothing; new clusters go to train and validation alone"
    )


def _in_words(record: Mapping[str, Any]) -> str:
    match record["kind"]:
        case "entries":
            settings = record["settings"]
            drawn = (
                f"test {settings['test']:g}, validation {settings['validation']:g}, salt {settings['salt']!r}"
            )
            rules = ", ".join(
                f"{count:,} {rule.replace('_', ' ')}" for rule, count in record["rules"].items()
            )
            return f"{rules}  ({drawn})"
        case "lock":
            return f"locked the test set: {record['rows']:,} rows"
        case _:
            return "released the test set"


def _test_set(task: str, ledger: Ledger) -> Iterator[str]:
    from ft_assets.data.ledger import golden

    yield f"evaluations that have read the test set: {golden.reads(task):,}"
    held: Segment | None = ledger.locked
    if held is not None:
        since = held.record["at"]
        yield f"locked since {since}; evaluations since then: {golden.reads(task, since):,}"


def _opened(task: str) -> Ledger:
    folder = ledger_dir(check_name("task", task))
    ledger = Ledger.open(folder)
    if ledger is None:
        known = ", ".join(path.name for path in folders(folder.parent)) or "none"
        raise UserError(
            f"there is no split ledger of a task '{task}'",
            where=str(folder),
            do=f"materialise its splits first; tasks with a ledger: {known}",
        )
    return ledger


class _Patience:
    """Called while a run that makes the splits is waited for; gives up after some time.

    Args:
        task: whose splits.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._left = _PATIENCE

    def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise UserError(
                f"a run is making the splits of {self._task}",
                where=str(ledger_dir(self._task)),
                do="wait until it has ended, and try again",
            )
