"""`train_split`, `validation_split`, `test_split`: three assets of one step, so that one writer assigns rows.

They are three, not one: rows that land only in test re-evaluate and do not re-train.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, contract, write_and_audit
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish

if TYPE_CHECKING:
    from ft_assets.data.examples import StageTables

__all__ = ["SPLITS", "build"]

SPLITS = ("train", "validation", "test")
PURPOSE = {
    "train": "Examples that the model learns from.",
    "validation": "Examples that choose: when to stop, and the baselines' settings.",
    "test": "Examples that only judge. No cluster of them is in another split.",
}


def build(task: Task) -> dg.AssetsDefinition:
    stages = {split: _stage(task, split) for split in SPLITS}

    @dg.multi_asset(
        name=f"{task.name}__splits",
        ins=stages["train"].ins(),
        outs={stage.asset: dg.AssetOut(key=stage.key, **stage.spec()) for stage in stages.values()},
        check_specs=[spec for stage in stages.values() for spec in stage.check_specs],
        required_resource_keys={"artifact_store"},
    )
    def splits(context: dg.AssetExecutionContext, labeled_examples: Artifact) -> Iterator[Event]:
        made: dict[str, StageTables] = {}

        def make(split: str, staging: Staging) -> Built:
            from ft_assets.data.splits import split as assign

            if not made:
                made.update(**assign(labeled_examples.table(), task.config.splits))
            return write_and_audit(stages[split], staging, made[split], splits=made)

        yield from publish(
            context,
            *(
                Production(
                    stage,
                    {"labeled_examples": labeled_examples},
                    lambda staging, split=split: make(split, staging),  # type: ignore[misc]
                )
                for split, stage in stages.items()
            ),
        )

    return splits


def _stage(task: Task, split: str) -> Stage:
    asset = f"{split}_split"
    return Stage(
        task=task,
        asset=asset,
        description=PURPOSE[split] + " Assigned by a salted hash of the cluster, blind to the label.",
        kinds=frozenset({"parquet"}),
        code=("ft_assets.data.splits", "ft_assets.data.examples", *AUDIT_CODE),
        config={
            "splits": task.config.splits.model_dump(mode="json"),
            "contracts": task.config.contracts.model_dump(mode="json"),
            "labels": task.config.label_rules.label_names(),
        },
        inputs=("labeled_examples",),
        expectations=contract(task, asset),
        libraries=("polars", "great-expectations", "pandas", "pyarrow"),
        describe=_describe,
    )


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        "sample": metadata.sample(artifact),
    }
