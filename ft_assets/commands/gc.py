"""`gc`: what nothing refers to, out of the store."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ft_assets.commands.shared import assets_in, defined_tasks, local_store_for, open_instance, size_text

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["add_parser", "collect_garbage"]

KEEP_VERSIONS = 2
KEEP_DAYS = 30.0


def add_parser(commands: Any) -> None:
    """Add the command."""
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


def _gc(given: argparse.Namespace) -> None:
    raw_days = {name: task.config.policy.raw_retention_days for name, task in defined_tasks().items()}
    with open_instance() as instance:
        collect_garbage(
            instance, keep=given.keep, keep_days=given.keep_days, raw_days=raw_days, dry_run=given.dry_run
        )


def collect_garbage(
    instance: dg.DagsterInstance,
    *,
    keep: int = KEEP_VERSIONS,
    keep_days: float = KEEP_DAYS,
    raw_days: Mapping[str, float] | None = None,
    dry_run: bool = False,
) -> int:
    """Remove what nothing needs; gives the bytes freed (of a dry run: that would be).

    A task that a run is using, or that this instance knows nothing of, is left alone.

    Args:
        instance: tells which versions are current.
        keep: versions of each asset.
        keep_days: days that all is kept.
        raw_days: days that raw rows which are no longer current are kept, by task; a task that is not named (and may
            no longer be defined) has the default of its policy.
        dry_run: only say what would go.
    """
    from ft_assets.artifacts import Removal
    from ft_assets.components.recorded import current_builds, current_versions, tasks_under_way
    from ft_assets.disk import size_of
    from ft_assets.paths import resume_dir
    from ft_assets.planning.config import PolicyConfig
    from ft_assets.removal.unfinished import remove_unfinished, unfinished
    from ft_assets.removal.unused import find_unused, remove_unused, tasks_of

    root = local_store_for("gc removes")
    if not root.is_dir():
        print(f"there is no store at {root} yet")
        return 0
    now = datetime.now(UTC)
    older_than = now - timedelta(days=keep_days)
    freed = 0
    with Removal.begin(root) as removal:
        names = tasks_of(root)
        busy = tasks_under_way(instance, names)
        building = removal.builders()
        if not dry_run:
            freed += removal.tidy()
        for task in names:
            current = current_versions(instance, task, assets_in(root, task))
            if task in busy or task in building:
                by = f"run {busy[task][:8]}" if task in busy else "a process that builds it"
                print(f"{task}: left alone, {by} is using it")
                continue
            if not current:
                print(f"{task}: left alone, this Dagster instance has no record of it (see DAGSTER_HOME)")
                continue
            keys = current_builds(instance, task, list(current))
            days = (raw_days or {}).get(task, PolicyConfig().raw_retention_days)
            raw_older_than = now - timedelta(days=days)
            unused = find_unused(
                root, task, current, keys, keep=keep, older_than=older_than, raw_older_than=raw_older_than
            )
            for each in unused:
                print(f"{task}/{each.asset}/{each.name}: {each.why} ({size_text(each.size)})")
            freed += sum(each.size for each in unused) if dry_run else remove_unused(removal, unused)
            for path in (left := unfinished(task, older_than)):
                why = (
                    "left by a training long ago"
                    if path.is_relative_to(resume_dir())
                    else "made to be quicker, long ago"
                )
                print(f"{path}: {why} ({size_text(size_of(path))})")
            freed += sum(map(size_of, left)) if dry_run else remove_unfinished(left)
    print(
        f"{size_text(freed)} would be freed; nothing was changed" if dry_run else f"{size_text(freed)} freed"
    )
    return freed


def _at_least(kind: Callable[[str], Any], least: float) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        value = kind(text)
        if not least <= value < 1e6:
            raise argparse.ArgumentTypeError(f"{text} is not {least} or more")
        return value

    return number
