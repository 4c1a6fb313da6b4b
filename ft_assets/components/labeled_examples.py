"""`labeled_examples`: the raw label as one of the task's labels; unknown and conflicting ones are refused."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, contract, write_and_audit
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish

__all__ = ["build"]


def build(task: Task) -> dg.AssetsDefinition:
    rules = task.config.label_rules
    stage = Stage(
        task=task,
        asset="labeled_examples",
        description=f"Texts with one of the labels {', '.join(rules.label_names())}; texts with two different labels "
        "or none are refused with a reason.",
        kinds=frozenset({"polars", "parquet"}),
        code=("ft_assets.data.labels", "ft_assets.data.examples", *AUDIT_CODE),
        config={
            "labels": rules.model_dump(mode="json"),
            "contracts": task.config.contracts.model_dump(mode="json"),
        },
        inputs=("cleaned_examples",),
        expectations=contract(task, "labeled_examples"),
        libraries=("polars", "great-expectations", "pandas", "pyarrow"),
        describe=_describe,
    )

    @dg.asset(**stage.asset_arguments())
    def labeled_examples(context: dg.AssetExecutionContext, cleaned_examples: Artifact) -> Iterator[Event]:
        def make(staging: Staging) -> Built:
            from ft_assets.data.labels import label

            return write_and_audit(stage, staging, label(cleaned_examples.table(), rules))

        yield from publish(context, Production(stage, {"cleaned_examples": cleaned_examples}, make))

    return labeled_examples


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        "sample": metadata.sample(artifact),
    }
