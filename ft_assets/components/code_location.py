"""A code location: the tasks below a folder, with the sensors and the job that look after all of them."""

from pathlib import Path

import dagster as dg

from ft_assets.components.dead_runs import sensor as end_dead_runs
from ft_assets.components.fine_tuning_task import build_stages, loaded_tasks
from ft_assets.components.jobs import all_tasks_job
from ft_assets.components.notifications import build_sensors as build_notification_sensors
from ft_assets.components.planner import build_sensor
from ft_assets.components.stage import Stage
from ft_assets.io.notifier import NotifierResource
from ft_assets.loading import without_collecting

__all__ = ["code_location", "stages_by_task"]


def code_location(folder: Path) -> dg.Definitions:
    """Everything below `defs/` of a Dagster project.

    Args:
        folder: the project's package, which holds `defs/`.
    """
    tree = dg.ComponentTree.for_project(folder)
    with without_collecting():
        # `load_from_defs_folder` would also describe every component type of the environment, for a page of
        # the UI that documents them: a quarter of a second at each load.
        tasks = tree.build_defs(Path())
        stages = stages_by_task(folder)
        return dg.Definitions.merge(
            tasks,
            dg.Definitions(
                # A step costs 0.4 s in process and 4 s spawned; the heavy work is in the worker's own process anyway.
                executor=dg.in_process_executor,
                jobs=[all_tasks_job(list(stages))] if stages else [],
                sensors=[end_dead_runs, build_sensor(stages), *build_notification_sensors(stages)],
                resources={"notifier": NotifierResource()},
                component_tree=tree,
            ),
        )


def stages_by_task(folder: Path) -> dict[str, list[Stage]]:
    """The stages of each task below a folder, once that is loaded; upstream first."""
    tasks = [task for place, task in loaded_tasks.items() if place.is_relative_to(folder)]
    return {task.name: [stage for stages in build_stages(task) for stage in stages] for task in tasks}
