"""`relabel`: the queue of suspicious labels out to an annotation tool, and what people said back as corrections."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.commands.shared import defined_tasks, only, open_instance, what_follows
from ft_assets.errors import UserError

if TYPE_CHECKING:
    import dagster as dg

    from ft_assets.components.stage import Task
    from ft_assets.data.annotation import Tool

__all__ = ["add_parser", "export_queue", "import_answers"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("relabel", help="let people look at labels that are probably wrong")
    actions = command.add_subparsers(dest="action", required=True)
    action = actions.add_parser("export", help="write the queue to a file for an annotation tool")
    action.add_argument("task")
    action.add_argument("file", type=Path, help="a new file: .json, .jsonl or .csv")
    action.add_argument(
        "--for",
        dest="tool",
        choices=("label-studio", "argilla"),
        default="label-studio",
        help="whose form .json has; .csv and .jsonl are the same for both",
    )
    action.add_argument("--top", type=int, metavar="N", help="the first N rows only")
    action.set_defaults(handler=_export)
    action = actions.add_parser("import", help="add what people have answered to the corrections of the task")
    action.add_argument("task")
    action.add_argument(
        "file", type=Path, help="an export of Label Studio or Argilla, or a CSV filled in by hand"
    )
    action.add_argument("--by", default="", help="who has answered, where the file does not say")
    action.add_argument(
        "--at", help="when, where the file does not say (ISO 8601); else when the file was written"
    )
    action.add_argument("--dry-run", action="store_true", help="only say what would be added")
    action.set_defaults(handler=_import)


def _task(name: str) -> Task:
    task = only(defined_tasks(), name)[name]
    if task.config.label_names is None:
        raise UserError(f"{name} has no labels: its model writes", do="name a task that chooses labels")
    return task


def _export(given: argparse.Namespace) -> None:
    with open_instance() as instance:
        export_queue(instance, _task(given.task), given.file, tool=given.tool, top=given.top)


def _import(given: argparse.Namespace) -> None:
    import_answers(_task(given.task), given.file, by=given.by, at=given.at, dry_run=given.dry_run)


def export_queue(
    instance: dg.DagsterInstance,
    task: Task,
    file: Path,
    *,
    tool: Tool = "label-studio",
    top: int | None = None,
) -> None:
    """Write the current queue of a task to a new file.

    Raises:
        UserError: there is no queue yet, or the file exists or has another ending.
    """
    from ft_assets.artifacts import ArtifactStore
    from ft_assets.components.recorded import current_versions
    from ft_assets.data.annotation import ENDINGS, exported
    from ft_assets.data.annotation.label_studio import interface
    from ft_assets.paths import cache_dir, store_root

    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(
            f"{file.name} is none of {', '.join(ENDINGS)}", do="give the file one of these endings"
        )
    if top is not None and top < 1:
        raise UserError(f"--top {top}: no row is left", do="give a number of rows")
    if file.exists():
        raise UserError(
            f"{file.name} exists already",
            where=str(file),
            do="give another name: it may hold what people have said",
        )
    version = current_versions(instance, task.name, ["relabel_queue"]).get("relabel_queue")
    if version is None:
        raise UserError(
            f"{task.name} has no relabel_queue yet",
            do=f"make it: `python -m ft_assets materialize {task.name} --data`; a task with `relabel: {{queue: 0}}` "
            "has none",
        )
    queue = ArtifactStore(store_root(), cache=cache_dir()).open(task.name, "relabel_queue", version).table()
    rows = queue.slice(0, top).to_pylist()
    file.write_bytes(exported(rows, ending, tool))
    print(f"{task.name}: {len(rows):,} rows of relabel_queue {version[:12]} in {file}")
    if tool == "label-studio":
        print("the labelling interface for the project:\n")
        print(interface(task.config.label_rules.label_names()))


def import_answers(
    task: Task, file: Path, *, by: str = "", at: str | None = None, dry_run: bool = False
) -> None:
    """Add what people have answered to the corrections of a task.

    Args:
        task: the task.
        file: what they have answered.
        by: who, where the file does not say.
        at: when, where the file does not say; else when it was last written.
        dry_run: whether to only say what would be added.

    Raises:
        UserError: the file or the corrections cannot be used. Nothing is added then.
    """
    from ft_assets.components.corrections import corrections_file
    from ft_assets.data.annotation import imported
    from ft_assets.data.corrections import add, read, time_of, undecided, unknown

    labels, path = task.config.label_rules.label_names(), corrections_file(task)
    if at is not None and time_of(at) is None:
        raise UserError(f"--at {at} is no date or time", do="write it as 2026-01-31 or 2026-01-31T12:30:00Z")
    # The time of the file, not of the import: the same file imported again adds nothing.
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat() if file.is_file() else ""
    found = imported(file, labels, by=by, at=time_of(at or written))
    examples = {each.example_id for each in found.corrections}
    people = {each.by for each in found.corrections}
    print(
        f"{file.name}: {len(found.corrections):,} answers of {len(people):,} people about {len(examples):,} examples; "
        f"{found.unanswered:,} rows without an answer"
    )
    if found.contested:
        print(
            f"  about {found.contested:,} examples people differ: the latest answer holds, and of several of the same "
            "time what most people say"
        )
    there = read(path, labels) if path.is_file() else []
    tied = examples & undecided([*there, *found.corrections])
    answers = [each for each in found.corrections if each.example_id not in tied]
    if tied:
        print(
            f"  about {len(tied):,} examples as many people say different things: their answers are left out, and the "
            "rows stay in the queue"
        )
    if dry_run:
        print(f"dry run: {len(unknown(path, answers, labels)):,} lines would be added to {path}")
        return
    added = add(path, answers, labels)
    print(f"{added:,} lines added to {path}")
    if added:
        print(f"next: {what_follows(task, retrain=True)}")
