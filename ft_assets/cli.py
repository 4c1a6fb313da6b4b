"""The commands behind the Makefile: fetch what the tasks need, materialise a task, show its reports.

Everything here can be done from the UI or with `dg`, too; these commands are for the terminal and for CI.
"""

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.commands import add_parsers
from ft_assets.commands.shared import broken_definitions
from ft_assets.errors import UserError
from ft_assets.loading import load
from ft_assets.paths import cache_dir, data_dir, reports_port, store_root

if TYPE_CHECKING:
    from ft_assets.components.stage import Stage
    from ft_assets.task import TaskConfig

__all__ = ["fetch", "main", "materialize"]

_PARTS = {
    "data": "only the data: read, clean, label, split",
    "train": "only the model: train on the splits as they are, and evaluate",
    "evaluate": "only baselines and report, for the checkpoint as it is",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, or 1 where something has to be mended first."""
    parser = argparse.ArgumentParser(prog="python -m ft_assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("fetch", help="fetch sources and base models of all tasks into the cache")
    command.add_argument("task", nargs="?", help="this task only")
    command.set_defaults(handler=lambda given: fetch(given.task))
    command = commands.add_parser(
        "materialize", help="materialise a task, or a part of it; what has not changed is reused"
    )
    command.add_argument("task")
    part = command.add_mutually_exclusive_group()
    for name, what in _PARTS.items():
        part.add_argument(f"--{name}", dest="part", action="store_const", const=name, help=what)
    command.add_argument(
        "--force", nargs="+", default=[], metavar="ASSET", help="make these anew even if the store has them"
    )
    command.add_argument("--seed", type=int, help="seed of the training, for this run")
    command.set_defaults(
        handler=lambda given: materialize(given.task, given.part or "", force=given.force, seed=given.seed)
    )
    command = commands.add_parser("reports", help="serve the evaluation reports and the lineage on 127.0.0.1")
    command.set_defaults(handler=lambda given: _reports())
    add_parsers(commands)
    given = parser.parse_args(arguments)
    # What Dagster says of its own interfaces is for whoever writes against them; it would be forty lines.
    warnings.filterwarnings("ignore", message=".* is currently in (beta|preview)")
    try:
        return given.handler(given) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        known = broken_definitions(error)
        if known is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        return 1


def _reports() -> None:
    from ft_assets.commands.current import current_versions
    from ft_assets.report_server import serve

    serve(reports_port(), current_versions)


def fetch(task: str | None = None) -> None:
    """Resolve every source and model of the tasks below `defs/`, so that all works offline afterwards.

    Raises:
        UserError: a source or model cannot be had, or there is no such task.
    """
    from ft_assets.sources import resolve, resolve_model
    from ft_assets.sources.resolver import fetch_folder

    folder = Path(__file__).parent / "defs"
    files = sorted(folder.glob(f"{task or '*'}/defs.yaml"))
    if not files:
        raise _no_task(task or "*", [path.parent.name for path in sorted(folder.glob("*/defs.yaml"))])
    for path in files:
        config = _read_task(path)
        if config is None:
            continue
        for source in config.sources:
            if source.path and "://" in source.path:
                found = resolve(source.path, cache=cache_dir(), base=data_dir())
                print(
                    f"{path.parent.name}: {len(found)} file(s) from {source.path.split('#')[0]}", flush=True
                )
        names = config.cleaning.names
        if names and "://" in names.model:
            fetch_folder(names.model, cache=cache_dir())
            print(f"{path.parent.name}: model for names {names.model.split('#')[0]}", flush=True)
        if "://" in config.base_model:
            resolve_model(config.base_model, cache=cache_dir(), base=data_dir())
            print(f"{path.parent.name}: base model {config.base_model.split('#')[0]}", flush=True)
        same = config.splits.semantic_duplicates
        if same and same.model and "://" in same.model:
            resolve_model(same.model, cache=cache_dir(), base=data_dir())
            print(f"{path.parent.name}: model for embeddings {same.model.split('#')[0]}", flush=True)


def _read_task(path: Path) -> "TaskConfig | None":
    """The task of a `defs.yaml`; None if the file is that of another component.

    Raises:
        UserError: it is no YAML, or a key or value of the task is wrong.
    """
    import yaml
    from pydantic import ValidationError

    from ft_assets.task import TaskConfig

    do = f"mend it; `dg check yaml {path.parent}` shows the line"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"this is no YAML: {error}", where=str(path), do=do) from error
    if not isinstance(document, dict) or not str(document.get("type", "")).startswith("ft_assets."):
        return None
    try:
        return TaskConfig.model_validate(document.get("attributes") or {})
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'attributes'}: {fault['msg']}" for fault in error.errors()
        ]
        raise UserError(f"the task is not valid: {'; '.join(faults)}", where=str(path), do=do) from error


def materialize(task: str, part: str = "", *, force: Sequence[str] = (), seed: int | None = None) -> int:
    """Materialise a task in this process, on the instance in `DAGSTER_HOME`; the run is seen in the UI.

    Args:
        task: its name.
        part: "data", "train" or "evaluate"; "" for all of it.
        force: assets that are made anew even if the store has them.
        seed: of the training, for this run.

    Returns:
        The exit status: 0 when the run succeeded.

    Raises:
        UserError: there is no such task, or what is forced or seeded is not part of the run.
    """
    load("dagster", "ft_assets.definitions")
    import dagster as dg

    from ft_assets.components.code_location import stages_by_task
    from ft_assets.components.dead_runs import end_dead_runs, process_tags
    from ft_assets.components.jobs import in_job, job_name
    from ft_assets.components.tags import BECAUSE_TAG, STARTED_BY_TAG
    from ft_assets.definitions import defs

    progress = dg.Definitions(loggers={"console": _progress_logger()})
    definitions = dg.Definitions.merge(defs(), progress)
    tasks = stages_by_task(Path(__file__).parent)
    if task not in tasks:
        raise _no_task(task, sorted(tasks))
    job_part = {"train": "train_and_evaluate"}.get(part, part)
    stages = [stage for stage in tasks[task] if in_job(stage, job_part)]
    config = _run_config(stages, force, seed)
    asked = [f"{asset} is forced" for asset in force]
    asked += [f"the seed is set to {seed}"] if seed is not None else []
    with dg.DagsterInstance.get() as instance:
        for run in end_dead_runs(instance):
            print(
                f"run {run[:8]} was killed before: it is marked as failed, and its slot is free", flush=True
            )
        result = definitions.resolve_job_def(job_name(task, job_part)).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {}}, "ops": config},
            tags={
                STARTED_BY_TAG: "python -m ft_assets",
                BECAUSE_TAG: _because(instance, task, tasks[task], stages, asked),
                **process_tags(),
            },
        )
        if not result.success:
            _print_failures(result)
            return 1
        report = _last_report(instance, task) if part != "data" else None
    if report is not None:
        print(f"report: {report}")
    print("open the UI with `make dev`: the lineage, the checks, and the report one click away")
    return 0


def _run_config(
    stages: "Sequence[Stage]", force: Sequence[str], seed: int | None
) -> dict[str, dict[str, Any]]:
    """The config of the steps, as the launchpad would have it.

    Raises:
        UserError: what is forced or seeded is not part of the run.
    """
    steps = {stage.asset: stage.step_name for stage in stages}
    wrong = [asset for asset in force if asset not in steps]
    if wrong:
        raise UserError(
            f"--force {wrong[0]}: the run does not make that", do=f"name one of {', '.join(steps)}"
        )
    if seed is not None and "checkpoint" not in steps:
        raise UserError("--seed: nothing is trained in this run", do="leave --seed out, or train, too")
    given: dict[str, dict[str, Any]] = {steps[asset]: {"force": True} for asset in force}
    if seed is not None:
        given.setdefault(steps["checkpoint"], {})["seed"] = seed
    return {step: {"config": config} for step, config in given.items()}


def _because(
    instance: Any,
    task: str,
    all_stages: "Sequence[Stage]",
    stages: "Sequence[Stage]",
    asked: Sequence[str],
) -> str:
    """Why the run has something to make, as its tag says it: what was asked for, and what is due."""
    from ft_assets.components.planner import Planner
    from ft_assets.components.tags import because

    due = Planner(instance, {task: all_stages}).plan(task).due
    made = {stage.asset for stage in stages if stage.asset in due}
    reasons = [
        *asked,
        *(
            f"{stage.asset}: {reason}"
            for stage in stages
            if stage.asset in made and not made & set(stage.inputs)
            for reason in due[stage.asset]
        ),
    ]
    return because(reasons) or "nothing has changed: everything will be reused"


def _last_report(instance: Any, task: str) -> Path:
    import dagster as dg

    from ft_assets.artifacts import ArtifactStore

    event = instance.get_latest_materialization_event(dg.AssetKey([task, "evaluation_report"]))
    version = event.asset_materialization.tags["dagster/data_version"]
    store = ArtifactStore(store_root(), cache=cache_dir())
    return store.open(task, "evaluation_report", version).path / "report.html"


def _print_failures(result: Any) -> None:
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            text = failure.user_failure_data.description if failure.user_failure_data else str(failure.error)
            print(f"\nfailed: {event.step_key}\n{text}", file=sys.stderr)


def _no_task(task: str, known: Sequence[str]) -> UserError:
    return UserError(
        f"there is no task '{task}'",
        where=str(Path(__file__).parent / "defs"),
        do=f"known tasks: {', '.join(known)}; `dg scaffold defs ft_assets.FineTuningTask NAME` makes a new one",
    )


def _progress_logger() -> Any:
    """A console logger that prints a line for what a person wants to follow, with the seconds since start."""
    import dagster as dg

    started = time.monotonic()

    class Progress(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            meta = getattr(record, "dagster_meta", {})
            event = meta.get("dagster_event")
            if event is None:
                text = meta.get("orig_message", record.getMessage())
            elif event.is_step_start:
                text = "started"
            elif event.is_step_success:
                text = "done"
            else:
                return
            step = meta.get("step_key") or ""
            print(f"{time.monotonic() - started:7.1f} s  {step.split('__')[-1]:<20} {text}", flush=True)

    @dg.logger(config_schema={}, description="One line a step and a message, for the terminal.")
    def console(context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("ft_assets.progress", level=logging.INFO)
        logger.addHandler(Progress(level=logging.DEBUG))
        logger.setLevel(logging.DEBUG)
        return logger

    return console
