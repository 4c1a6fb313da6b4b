"""`cleaned_examples`: repaired, normalised, de-duplicated rows; refused ones are kept with a reason."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, contract, write_and_audit
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish

__all__ = ["build"]


def build(task: Task) -> dg.AssetsDefinition:
    stage = Stage(
        task=task,
        asset="cleaned_examples",
        description="Texts with encoding, Unicode and white space repaired; exact duplicates merged; empty and "
        "over-long ones refused with a reason.",
        kinds=frozenset({"polars", "parquet"}),
        code=("ft_assets.data.examples", *AUDIT_CODE),
        config={
            "cleaning": task.config.cleaning.model_dump(mode="json"),
            "contracts": task.config.contracts.model_dump(mode="json"),
        },
        inputs=("raw_examples",),
        expectations=contract(task, "cleaned_examples"),
        libraries=("polars", "ftfy", "great-expectations", "pandas", "pyarrow"),
        describe=_describe,
    )

    @dg.asset(**stage.asset_arguments())
    def cleaned_examples(context: dg.AssetExecutionContext, raw_examples: Artifact) -> Iterator[Event]:
        def make(staging: Staging) -> Built:
            from ft_assets.data.cleaning import clean

            tables = clean(raw_examples.table(), task.config.cleaning)
            return write_and_audit(stage, staging, tables)

        yield from publish(context, Production(stage, {"raw_examples": raw_examples}, make))

    return cleaned_examples


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.lengths(artifact),
        "sample": metadata.sample(artifact),
    }
