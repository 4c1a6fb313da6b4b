"""`erase`: rows out of every artifact, for good."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.commands.shared import (
    assets_in,
    defined_tasks,
    files_of,
    local_store_for,
    no_task,
    open_instance,
    rebuilt,
    size_text,
    what_follows,
)
from ft_assets.errors import UserError

if TYPE_CHECKING:
    import dagster as dg

    from ft_assets.components.stage import Task
    from ft_assets.removal.erase import Erasure

__all__ = ["add_parser", "erase_rows"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("erase", help="take rows out of every artifact for good")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--row", nargs="+", metavar="EXAMPLE_ID", help="ids of rows")
    what.add_argument("--file", help="name of a source file: all rows of it")
    command.add_argument("--task", help="in this task only")
    command.add_argument("--reason", default="", help="noted beside the ids; no personal data, please")
    command.add_argument("--dry-run", action="store_true", help="only say what would go")
    command.add_argument("--yes", action="store_true", help="do it; there is no way back")
    command.set_defaults(handler=_erase)


def _erase(given: argparse.Namespace) -> None:
    with open_instance() as instance:
        erase_rows(
            instance,
            defined_tasks(),
            ids=given.row or (),
            file=given.file,
            task=given.task,
            reason=given.reason,
            dry_run=given.dry_run,
            yes=given.yes,
        )


def erase_rows(
    instance: dg.DagsterInstance,
    tasks: Mapping[str, Task],
    *,
    ids: Sequence[str] = (),
    file: str | None = None,
    task: str | None = None,
    reason: str = "",
    dry_run: bool = False,
    yes: bool = False,
) -> None:
    """Take rows out of all that is in the store, and keep them out.

    Args:
        instance: what is current, and under way.
        tasks: the tasks of the code location, for what happens next.
        ids: of the rows.
        file: or a source file, all rows of which are meant.
        task: in this task only; else rows go from all, and a file from the one task that has had it.
        reason: noted on the list.
        dry_run: whether to only say what would go.
        yes: that the user means it.

    Raises:
        UserError: no task has such a row or file, several have such a file, a run is under way, or `yes` is missing.
    """
    from ft_assets.artifacts import Removal
    from ft_assets.components.recorded import tasks_under_way
    from ft_assets.removal.erase import erase, plan_erasure
    from ft_assets.removal.unused import tasks_of

    root = local_store_for("erase takes rows out of")
    known = sorted({*tasks_of(root), *tasks})
    if task is not None and task not in known:
        raise no_task(task, known)
    read = {name: files_of(made) for name, made in tasks.items()} if file is not None else {}
    with Removal.begin(root) as removal:
        plans = [
            plan
            for name in ([task] if task else known)
            if (plan := plan_erasure(root, name, ids=ids, file=file, read=read.get(name, ()))) is not None
        ]
        if file is not None and len(plans) > 1:
            raise UserError(
                f"several tasks have had a file '{file}'",
                where=", ".join(plan.task for plan in plans),
                do="say which one is meant: `--task TASK`; nothing was erased",
            )
        missing = set(ids).difference(*(plan.known for plan in plans))
        if missing or not plans:
            what = f"row {', '.join(sorted(missing)[:5])}" if ids else f"file '{file}'"
            raise UserError(
                f"no row of {what} is in the store" if file else f"there is no {what} in the store",
                where=f"{root}, {'task ' + task if task else 'all tasks'}",
                do="look the id up in the quarantine, a report or `explain`; nothing was erased"
                if ids
                else "give the name as raw_examples lists it under 'files'; nothing was erased",
            )
        for plan in plans:
            _tell_erasure(instance, root, plan, tasks.get(plan.task))
        if dry_run:
            print("dry run: nothing was changed")
            return
        if not yes:
            raise UserError(
                "erasing cannot be undone, and it was not confirmed",
                where=", ".join(plan.task for plan in plans),
                do="read what is listed above, then add --yes",
            )
        using = tasks_under_way(instance, [plan.task for plan in plans])
        for name in sorted(removal.builders() & {plan.task for plan in plans}):
            using.setdefault(name, "")
        for name, run in using.items():
            raise UserError(
                f"{f'run {run[:8]}' if run else 'a process'} is using {name}, and may hold the rows",
                where=f"task {name}",
                do="wait until it has ended, or cancel it; nothing was erased",
            )
        for plan in plans:
            done = erase(removal, plan, reason=reason, now=datetime.now(UTC))
            print(
                f"{plan.task}: {done.suppressed:,} ids added to the list of erased rows, "
                f"{size_text(done.freed)} removed"
            )
            for path in done.retired:
                print(f"  retired: {path}")
            made = tasks.get(plan.task)
            if made is not None:
                print(f"  next: {what_follows(made, retrain=bool(done.retired))}")


def _tell_erasure(instance: dg.DagsterInstance, root: Path, plan: Erasure, made: Task | None) -> None:
    from ft_assets.components.corrections import corrections_file, lines_about
    from ft_assets.components.recorded import current_versions
    from ft_assets.removal.suppressed import list_file

    asked, same = len(plan.rows.asked), len(plan.rows.ids) - len(plan.rows.asked)
    print(f"{plan.task}: {asked:,} row(s)" + (f", and {same:,} more with the very same text" if same else ""))
    current = current_versions(
        instance, plan.task, sorted({each.asset for each in [*plan.remove, *plan.retire]})
    )
    for verb, holders in (("remove", plan.remove), ("retire", plan.retire)):
        for each in holders:
            is_current = ", current" if current.get(each.asset) == each.name else ""
            print(f"  {verb} {each.asset}/{each.name[:40]} ({each.why}{is_current})")
    for copy in plan.copies:
        print(f"  remove the withdrawn copy {copy}")
    for path in plan.unfinished:
        print(f"  remove {path} (the state of a training that was cut off, tokenised or cleaned rows)")
    if not plan.remove and not plan.retire:
        print("  nothing in the store holds them any longer")
    lost = [each.asset for each in [*plan.remove, *plan.retire] if current.get(each.asset) == each.name]
    if lost and made is not None:
        print(f"  to be rebuilt: {', '.join(rebuilt(made, lost))}")
    print("  what stays, and is yours to see to:")
    print(f"  - the list of erased rows {list_file(plan.task)}: hashes, which keep them out; back it up")
    for name, rows in plan.rows.files.items():
        for place in _where(plan, made, name):
            print(f"  - {place} still has {rows:,} of the rows")
    if made is not None and (lines := lines_about(made, plan.rows.ids)):
        print(
            f"  - {lines:,} lines of {corrections_file(made)} are about them, and may say why in words of theirs"
        )
    for run, assets in _shown_in(instance, root, plan).items():
        print(
            f"  - run {run} shows some, masked and shortened, in the metadata of {', '.join(assets)}: once the "
            f"task is rebuilt, `dagster run delete {run}`"
        )


def _where(plan: Erasure, made: Task | None, name: str) -> list[str]:
    """Where a source file with rows that are erased still lies, as far as can be told."""
    from ft_assets.removal.withdraw import kept_copies

    here = [file.path for file in files_of(made) if file.name == name] if made else []
    kept = [
        copy.path for copy in kept_copies(plan.task) if copy.name == name and copy.path not in plan.copies
    ]
    if here or kept:
        return [f"the source file {path}" for path in [*here, *kept]]
    if plan.copies:
        return []
    return [f"the source {name}, if it still exists (a fetched one lies in data/cache, too),"]


def _shown_in(instance: dg.DagsterInstance, root: Path, plan: Erasure) -> dict[str, list[str]]:
    """Runs whose event log holds a masked sample with one of the rows, each with the assets that show it."""
    import dagster as dg

    found: dict[str, list[str]] = {}
    for asset in assets_in(root, plan.task):
        key, cursor = dg.AssetKey([plan.task, asset]), None
        while True:
            page = instance.fetch_materializations(key, limit=200, cursor=cursor)
            for record in page.records:
                made = record.asset_materialization
                tables = made.metadata.values() if made else ()
                ids = {
                    str(row.data.get("example_id"))
                    for table in tables
                    if isinstance(table, dg.TableMetadataValue)
                    for row in table.records
                }
                if ids & plan.rows.ids:
                    found.setdefault(record.run_id, []).append(asset)
            cursor = page.cursor
            if not page.has_more:
                break
    return found
