"""What the commands need of the code location, the instance and the store, and what they tell of a task."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ft_assets.errors import UserError
from ft_assets.paths import store_root

if TYPE_CHECKING:
    import dagster as dg

    from ft_assets.components.stage import Task
    from ft_assets.removal.withdraw import SourceFile

__all__ = [
    "assets_in",
    "at_url",
    "broken_definitions",
    "defined_tasks",
    "files_of",
    "local_store_for",
    "no_task",
    "only",
    "open_instance",
    "rebuilt",
    "size_text",
    "what_follows",
]


def defined_tasks() -> dict[str, Task]:
    """The tasks of the code location."""
    import dagster as dg

    import ft_assets
    from ft_assets.components.fine_tuning_task import FineTuningTask

    tree = dg.ComponentTree.for_project(Path(ft_assets.__file__).parent)
    return {component.task.name: component.task for component in tree.get_all_components(FineTuningTask)}


def broken_definitions(error: BaseException) -> UserError | None:
    """What is wrong with a task's defs.yaml, if Dagster could not load it: without the hundred lines of how it tried.
    None for any other error."""
    # By name: loading Dagster to look at an error takes seconds.
    if type(error).__name__ != "ComponentTreeException":
        return None
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [
        line for line in str(cause).splitlines() if not line.strip().startswith("For further information")
    ]
    return UserError(
        "a task cannot be loaded:\n" + "\n".join(lines),
        where="ft_assets/defs/",
        do="mend its defs.yaml; `dg check yaml` shows the place",
    )


def open_instance() -> dg.DagsterInstance:
    """The Dagster instance in `DAGSTER_HOME`.

    Raises:
        UserError: none is named.
    """
    import dagster as dg

    if not os.environ.get("DAGSTER_HOME"):
        raise UserError(
            "DAGSTER_HOME is not set: nothing tells which artifacts are current",
            do="set it as the Makefile does: to the folder of the Dagster instance",
        )
    return dg.DagsterInstance.get()


def only(tasks: Mapping[str, Task], task: str | None) -> Mapping[str, Task]:
    """The one task that is meant, or all where none is named.

    Raises:
        UserError: there is no such task.
    """
    if task is None:
        return tasks
    if task not in tasks:
        raise no_task(task, sorted(tasks))
    return {task: tasks[task]}


def no_task(task: str, known: Sequence[str]) -> UserError:
    return UserError(f"there is no task '{task}'", do=f"known tasks: {', '.join(known) or 'none'}")


def files_of(task: Task) -> list[SourceFile]:
    """The local files that a task reads now."""
    from ft_assets.removal.withdraw import source_files

    return source_files(
        task.name, [(each.name, each.path) for each in task.config.sources if each.path], task.base_of
    )


def rebuilt(task: Task, assets: Sequence[str]) -> list[str]:
    """These assets of a task, what of its model is made from them, and the raw rows, in the order of the lineage."""
    from ft_assets.components.fine_tuning_task import build_stages

    wanted = {"raw_examples", *assets}
    stages = [stage for together in build_stages(task) for stage in together]
    for stage in stages:
        if stage.layer == "model" and wanted.intersection(stage.inputs):
            wanted.add(stage.asset)
    return [stage.asset for stage in stages if stage.asset in wanted]


def what_follows(task: Task, *, retrain: bool) -> str:
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


def local_store_for(what: str) -> Path:
    """The folder of the store.

    Args:
        what: begins the error, such as "gc removes".

    Raises:
        UserError: the store lies at a URL.
    """
    from ft_assets.lineage.graph import local_store

    root = store_root()
    if at_url(root):
        raise UserError(
            f"{what} a store on a file system only",
            where=f"FT_STORE={root.partition('://')[0]}://…",
            do="remove there with the tools of the object store",
        )
    return local_store(root)


def at_url(root: str) -> bool:
    return "://" in root and not root.startswith(("file://", "local://"))


def assets_in(root: Path, task: str) -> list[str]:
    """Names of the assets of a task that the store has a folder for."""
    folder = root / task
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def size_text(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
