"""`train_split`, `validation_split`, `test_split`: three assets of one step, so that one writer assigns rows.

They are three, not one: rows that land only in test re-evaluate and do not re-train.
"""

from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["SPLITS", "stages"]

SPLITS = ("train", "validation", "test")
PURPOSE = {
    "train": "Examples that the model learns from.",
    "validation": "Examples that choose: when to stop, and the baselines' settings.",
    "test": "Examples that only judge. No cluster of them is in another split.",
}


def stages(task: Task) -> list[Stage]:
    return [_stage(task, split) for split in SPLITS]


def _stage(task: Task, split: str) -> Stage:
    asset = f"{split}_split"
    return Stage(
        task=task,
        asset=asset,
        description=PURPOSE[split] + " Assigned by a salted hash of the cluster, blind to the label.",
        kinds=frozenset({"parquet"}),
        code=("ft_assets.data.splits", "ft_assets.data.examples", "ft_assets.data.merging", *AUDIT_CODE),
        config={
            "splits": task.config.splits.model_dump(mode="json"),
            "contracts": task.config.contracts.model_dump(mode="json"),
            "labels": task.config.label_names,
        },
        inputs=("labeled_examples",),
        expectations=contract(task, asset),
        loads=("ft_assets.data.splits", *AUDIT_LOADS),
        libraries=("polars", "great-expectations", "pandas", "pyarrow"),
        describe=_describe,
        build=lambda step: _build(step, split),
        step="splits",
    )


def _build(step: Step, split: str) -> Built:
    from ft_assets.data.splits import split as assign

    if "splits" not in step.shared:
        config = step.stage.task.config
        step.shared["splits"] = assign(
            step.inputs["labeled_examples"].table(), config.splits, classes=config.label_names is not None
        )
    made = step.shared["splits"]
    return write_and_audit(step, made[split], splits=made)


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        **metadata.answers(artifact),
        "sample": metadata.sample(artifact),
    }
