"""`withdraw`, `gc`, `erase`: a file out of the data, what nothing needs out of the store, rows out of all of it."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.errors import UserError
from ft_assets.paths import data_dir, store_root

if TYPE_CHECKING:
    import dagster as dg

    from ft_assets.components.stage import Task
    from ft_assets.removal.erase import Erasure
    from ft_assets.removal.withdraw import SourceFile

__all__ = ["add_parser", "collect_garbage", "erase_rows", "withdraw_file"]

KEEP_VERSIONS = 2
KEEP_DAYS = 30.0
_SAMPLED = (
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
    "quarantine",
)
"""Assets whose metadata shows some rows."""


def add_parser(commands: Any) -> None:
    """Add the commands."""
    command = commands.add_parser("withdraw", help="take a source file out of the data; it is kept aside")
    command.add_argument("file", help="name or path of a file below incoming/")
    command.add_argument("--task", help="the task that reads it, where several do")
    command.add_argument("--dry-run", action="store_true", help="only say what contains rows of it")
    command.set_defaults(handler=_withdraw)
    command = commands.add_parser("gc", help="remove artifacts that nothing refers to")
    command.add_argument(
        "--keep", type=_at_least(int, 1), default=KEEP_VERSIONS, metavar="N", help="versions of each asset"
    )
    command.add_argument(
        "--keep-days",
        type=_at_least(float, 0),
        default=KEEP_DAYS,
        metavar="D",
        help="and all that is younger",
    )
    command.add_argument("--dry-run", action="store_true", help="only say what would go")
    command.set_defaults(handler=_gc)
    command = commands.add_parser("erase", help="take rows out of every artifact for good")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--row", nargs="+", metavar="EXAMPLE_ID", help="ids of rows")
    what.add_argument("--file", help="name of a source file: all rows of it")
    command.add_argument("--task", help="in this task only")
    command.add_argument("--reason", default="", help="noted beside the ids; no personal data, please")
    command.add_argument("--dry-run", action="store_true", help="only say what would go")
    command.add_argument("--yes", action="store_true", help="do it; there is no way back")
    command.set_defaults(handler=_erase)


def _withdraw(given: argparse.Namespace) -> None:
    with _instance() as instance:
        withdraw_file(instance, _tasks(), given.file, task=given.task, dry_run=given.dry_run)


def _gc(given: argparse.Namespace) -> None:
    with _instance() as instance:
        collect_garbage(instance, keep=given.keep, keep_days=given.keep_days, dry_run=given.dry_run)


def _erase(given: argparse.Namespace) -> None:
    with _instance() as instance:
        erase_rows(
            instance,
            _tasks(),
            ids=given.row or (),
            file=given.file,
            task=given.task,
            reason=given.reason,
            dry_run=given.dry_run,
            yes=given.yes,
        )


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

    root = None if _at_url(store_root()) else local_store(store_root())
    readers = _find_file(root, _only(tasks, task), given)
    also = _readers(tasks, readers[0].path) if task else readers
    follows: dict[str, str] = {}
    for file in also:
        made = tasks[file.task]
        if root is None:
            print(f"{file.task}: what contains rows of {file.name} cannot be told, the store lies at a URL")
            follows[file.task] = _next(made, retrain=False)
            if file.alone:
                follows[file.task] = _waits(file)
            continue
        current = current_versions(instance, file.task, _assets(root, file.task))
        found = contains(root, file.task, current, file.label, file.name)
        print(f"{file.task}: rows of {file.name} in what is current")
        for each in found or ():
            told = [f"{rows:,} in {name}" for name, rows in each.rows.items()]
            told += [f"cannot be told: {why}" for why in each.unknown.values()]
            print(f"  {each.asset:<18} {each.data_version[:12]}  {', '.join(told)}")
        if not found:
            print("  none: no current artifact has a row of it")
        print(f"  to be rebuilt: {', '.join(_rebuilt([each.asset for each in found]))}")
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
        follows[file.task] = _next(made, retrain=trained is not None)
        if file.alone:
            follows[file.task] = _waits(file)
            print(f"  {follows[file.task]}")
    if dry_run:
        print("dry run: nothing was changed")
        return
    print(f"withdrawn: {readers[0].path.name} lies in {put_away(readers[0], datetime.now(UTC))} now")
    for name, text in follows.items():
        print(f"next, {name}: {text}")


def collect_garbage(
    instance: dg.DagsterInstance,
    *,
    keep: int = KEEP_VERSIONS,
    keep_days: float = KEEP_DAYS,
    dry_run: bool = False,
) -> int:
    """Remove what nothing needs; gives the bytes freed (of a dry run: that would be).

    A task that a run is using, or that this instance knows nothing of, is left alone.
    """
    from ft_assets.artifacts import Removal
    from ft_assets.components.recorded import current_builds, current_versions, tasks_under_way
    from ft_assets.removal.unused import find_unused, remove_unused, tasks_of

    root = _local_store("gc removes")
    if not root.is_dir():
        print(f"there is no store at {root} yet")
        return 0
    older_than = datetime.now(UTC) - timedelta(days=keep_days)
    freed = 0
    with Removal.begin(root) as removal:
        names = tasks_of(root)
        busy = tasks_under_way(instance, names)
        building = removal.builders()
        if not dry_run:
            freed += removal.tidy()
        for task in names:
            current = current_versions(instance, task, _assets(root, task))
            if task in busy or task in building:
                by = f"run {busy[task][:8]}" if task in busy else "a process that builds it"
                print(f"{task}: left alone, {by} is using it")
                continue
            if not current:
                print(f"{task}: left alone, this Dagster instance has no record of it (see DAGSTER_HOME)")
                continue
            keys = current_builds(instance, task, list(current))
            unused = find_unused(root, task, current, keys, keep=keep, older_than=older_than)
            for each in unused:
                print(f"{task}/{each.asset}/{each.name}: {each.why} ({_size(each.size)})")
            freed += sum(each.size for each in unused) if dry_run else remove_unused(removal, unused)
    print(f"{_size(freed)} would be freed; nothing was changed" if dry_run else f"{_size(freed)} freed")
    return freed


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

    root = _local_store("erase takes rows out of")
    known = sorted({*tasks_of(root), *tasks})
    if task is not None and task not in known:
        raise _no_task(task, known)
    read = {name: _files_of(made) for name, made in tasks.items()} if file is not None else {}
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
            _tell_erasure(instance, plan, tasks.get(plan.task))
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
                f"{plan.task}: {done.suppressed:,} ids added to the list of erased rows, {_size(done.freed)} removed"
            )
            for path in done.retired:
                print(f"  retired: {path}")
            made = tasks.get(plan.task)
            if made is not None:
                print(f"  next: {_next(made, retrain=bool(done.retired))}")


def _tell_erasure(instance: dg.DagsterInstance, plan: Erasure, made: Task | None) -> None:
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
    if not plan.remove and not plan.retire:
        print("  nothing in the store holds them any longer")
    lost = [each.asset for each in [*plan.remove, *plan.retire] if current.get(each.asset) == each.name]
    if lost:
        print(f"  to be rebuilt: {', '.join(_rebuilt(lost))}")
    print("  what stays, and is yours to see to:")
    print(f"  - the list of erased rows {list_file(plan.task)}: hashes, which keep them out; back it up")
    for name, rows in plan.rows.files.items():
        for place in _where(plan, made, name):
            print(f"  - {place} still has {rows:,} of the rows")
    for run, assets in _shown_in(instance, plan).items():
        print(
            f"  - run {run} shows some, masked and shortened, in the metadata of {', '.join(assets)}: once the "
            f"task is rebuilt, `dagster run delete {run}`"
        )


def _where(plan: Erasure, made: Task | None, name: str) -> list[str]:
    """Where a source file with rows that are erased still lies, as far as can be told."""
    from ft_assets.removal.withdraw import kept_copies

    here = [file.path for file in _files_of(made) if file.name == name] if made else []
    kept = [
        copy.path for copy in kept_copies(plan.task) if copy.name == name and copy.path not in plan.copies
    ]
    if here or kept:
        return [f"the source file {path}" for path in [*here, *kept]]
    if plan.copies:
        return []
    return [f"the source {name}, if it still exists (a fetched one lies in data/cache, too),"]


def _shown_in(instance: dg.DagsterInstance, plan: Erasure) -> dict[str, list[str]]:
    """Runs whose event log holds a masked sample with one of the rows, each with the assets that show it."""
    import dagster as dg

    found: dict[str, list[str]] = {}
    for asset in _SAMPLED:
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


def _waits(file: SourceFile) -> str:
    return (
        f"it is the only file of '{file.source}': raw_examples will wait with \"no file matches\" until "
        "another one is there, and all that is current stays as it is"
    )


def _find_file(root: Path | None, tasks: Mapping[str, Task], given: str) -> list[SourceFile]:
    """The one file that is meant, once for each task that reads it."""
    from ft_assets.removal.withdraw import meant_paths

    known = [file for name in tasks for file in _files_of(tasks[name])]
    paths = meant_paths([file.path for file in known], given)
    meant = [file for file in known if file.path in paths]
    if not meant:
        raise _not_found(root, tasks, given, sorted({file.path.name for file in known}))
    if len({file.path for file in meant}) > 1:
        raise UserError(
            f"several files are called '{given}'",
            where=", ".join(sorted({str(file.path) for file in meant})),
            do="give the path, or --task",
        )
    path, incoming = meant[0].path, data_dir() / "incoming"
    if not path.absolute().is_relative_to(incoming.absolute()):
        raise UserError(
            f"{path.name} does not lie below incoming/, so it is not ours to move",
            where=str(path),
            do=f"move it yourself, or take it out of `sources` of {meant[0].task}",
        )
    return meant


def _not_found(root: Path | None, tasks: Mapping[str, Task], given: str, names: Sequence[str]) -> UserError:
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
            source.function or source.path
            for source in task.config.sources
            if source.function or (source.path and not is_local(source.path))
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
    return [file for task in tasks.values() for file in _files_of(task) if file.path == path]


def _files_of(task: Task) -> list[SourceFile]:
    from ft_assets.removal.withdraw import source_files

    return source_files(
        task.name, [(each.name, each.path) for each in task.config.sources if each.path], task.base_of
    )


def _rebuilt(assets: Sequence[str]) -> list[str]:
    """These, and what follows from them, in the order of the lineage."""
    after = {"checkpoint", "baselines", "train_split", "validation_split", "test_split"}
    order = (
        "raw_examples",
        "cleaned_examples",
        "labeled_examples",
        "train_split",
        "validation_split",
        "test_split",
        "quarantine",
        "checkpoint",
        "baselines",
        "evaluation_report",
    )
    wanted = {"raw_examples", *assets} | ({"evaluation_report"} if after & set(assets) else set())
    return [name for name in order if name in wanted]


def _next(task: Task, *, retrain: bool) -> str:
    """What happens by itself, by the policy of the task."""
    policy = task.config.policy
    text = "the sensor follow_changes rebuilds the data stages at its next look"
    if not retrain:
        return f"{text}; what of the model is affected follows by policy.retrain ({policy.retrain})"
    if policy.retrain == "manual":
        return f"{text}; policy.retrain is manual: train again with `python -m ft_assets materialize {task.name}`"
    if policy.retrain == "schedule":
        return f"{text}, and the model is trained again at {policy.cron} ({policy.timezone})"
    waits = (
        f", but policy.min_new_rows ({policy.min_new_rows}) counts new rows alone: it may wait, then run it by hand"
        if policy.min_new_rows
        else ""
    )
    return f"{text}, and then trains the model again{waits}"


def _at_url(root: str) -> bool:
    return "://" in root and not root.startswith(("file://", "local://"))


def _local_store(what: str) -> Path:
    from ft_assets.lineage.graph import local_store

    root = store_root()
    if _at_url(root):
        raise UserError(
            f"{what} a store on a file system only",
            where=f"FT_STORE={root.partition('://')[0]}://…",
            do="remove there with the tools of the object store",
        )
    return local_store(root)


def _assets(root: Path, task: str) -> list[str]:
    folder = root / task
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _only(tasks: Mapping[str, Task], task: str | None) -> Mapping[str, Task]:
    if task is None:
        return tasks
    if task not in tasks:
        raise _no_task(task, sorted(tasks))
    return {task: tasks[task]}


def _no_task(task: str, known: Sequence[str]) -> UserError:
    return UserError(f"there is no task '{task}'", do=f"known tasks: {', '.join(known) or 'none'}")


def _tasks() -> dict[str, Task]:
    """The tasks of the code location."""
    import dagster as dg

    import ft_assets
    from ft_assets.components.fine_tuning_task import FineTuningTask

    tree = dg.ComponentTree.for_project(Path(ft_assets.__file__).parent)
    return {component.task.name: component.task for component in tree.get_all_components(FineTuningTask)}


def _instance() -> dg.DagsterInstance:
    import dagster as dg

    if not os.environ.get("DAGSTER_HOME"):
        raise UserError(
            "DAGSTER_HOME is not set: nothing tells which artifacts are current",
            do="set it as the Makefile does: to the folder of the Dagster instance",
        )
    return dg.DagsterInstance.get()


def _at_least(kind: Callable[[str], Any], least: float) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        value = kind(text)
        if not least <= value < 1e6:
            raise argparse.ArgumentTypeError(f"{text} is not {least} or more")
        return value

    return number


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
