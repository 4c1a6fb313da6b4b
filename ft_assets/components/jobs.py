"""The jobs: everything of a task, or a part of it; and one over several tasks."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ft_assets.components.stage import Stage
from ft_assets.components.tags import TASK_TAG

__all__ = ["ALL_TASKS", "PARTS", "AssetJob", "all_tasks_job", "in_job", "job_name", "jobs_of", "makes"]

ALL_TASKS = "all_tasks"

AssetJob = Any  # what `dg.define_asset_job` gives; Dagster does not export its type

PARTS = {
    "": "Everything of {}: what has not changed is reused.",
    "data": "The data of {}: reads, cleans, labels and splits the rows, and fetches the base model. Trains nothing.",
    "train_and_evaluate": "The model of {}: trains the checkpoint on the splits as they are, and judges it.",
    "evaluate": "The evaluation of {}: baselines and report for the checkpoint as it is.",
}
"""The parts of a task that have a job, each with what it does; "" is the whole."""


def job_name(task: str, part: str = "") -> str:
    """The name of the job that makes a part of a task."""
    return f"{task}__{part}" if part else task


def in_job(stage: Stage, part: str) -> bool:
    """Whether the job of a part makes the asset of a stage."""
    is_model = stage.layer == "model"
    return {
        "": True,
        "data": not is_model,
        "train_and_evaluate": is_model,
        "evaluate": is_model and stage.asset != "checkpoint",
    }[part]


def makes(run: dg.DagsterRun, stage: Stage) -> bool:
    """Whether a run that has the whole of its job to make makes the asset of a stage."""
    task = stage.task.name
    parts = (part for part in PARTS if run.job_name == job_name(task, part))
    # A job that is not of one task may make any asset.
    return in_job(stage, next(parts, "")) if run.tags.get(TASK_TAG, task) == task else False


def jobs_of(task: str, stages: Sequence[Stage]) -> list[AssetJob]:
    """The jobs of one task; that of the whole comes first."""
    return [
        dg.define_asset_job(
            job_name(task, part),
            selection=dg.AssetSelection.assets(*(stage.key for stage in stages if in_job(stage, part))),
            description=description.format(task),
            # A step costs 0.4 s in process and 4 s spawned; the heavy work has a process of its own anyway.
            executor_def=dg.in_process_executor,
            tags={TASK_TAG: task},
        )
        for part, description in PARTS.items()
    ]


def all_tasks_job(tasks: Sequence[str]) -> AssetJob:
    """One launch over several tasks: all of them, unless some assets are chosen in the launchpad."""
    return dg.define_asset_job(
        ALL_TASKS,
        selection=dg.AssetSelection.groups(*tasks),
        description="Everything of all tasks, in one run: what has not changed is reused. "
        "The launchpad takes a selection, such as group:a or group:b.",
        executor_def=dg.in_process_executor,
    )
