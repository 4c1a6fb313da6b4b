"""`baselines`: what a user could have instead of a fine-tuned model, on the same test rows."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish

__all__ = ["build"]


def build(task: Task) -> dg.AssetsDefinition:
    evaluation = task.config.evaluation
    labels = task.config.label_rules.label_names()
    stage = Stage(
        task=task,
        asset="baselines",
        description=f"Predictions for the test split by {' and '.join(evaluation.baselines)}, tuned on validation.",
        kinds=frozenset({"scikitlearn", "parquet"}),
        code=("ft_assets.evaluation.baselines",),
        config={"baselines": list(evaluation.baselines), "labels": labels},
        inputs=("train_split", "validation_split", "test_split"),
        libraries=("scikit-learn", "numpy"),
        describe=_describe,
        seed=evaluation.seed,
    )

    @dg.asset(**stage.asset_arguments())
    def baselines(
        context: dg.AssetExecutionContext,
        train_split: Artifact,
        validation_split: Artifact,
        test_split: Artifact,
    ) -> Iterator[Event]:
        upstream = {
            "train_split": train_split,
            "validation_split": validation_split,
            "test_split": test_split,
        }

        def make(staging: Staging) -> Built:
            from ft_assets.evaluation.baselines import run
            from ft_assets.versions import tables_version

            results = run(
                evaluation.baselines,
                train_split.table(),
                validation_split.table(),
                test_split.table(),
                labels,
                evaluation.seed,
            )
            for name, result in results.items():
                staging.write_table(name, result.predictions)
            summary = {
                name: {"settings": result.settings, "seconds": result.seconds}
                for name, result in results.items()
            }
            version = tables_version({name: result.predictions for name, result in results.items()})
            return Built(version, {"baselines": summary})

        yield from publish(context, Production(stage, upstream, make))

    return baselines


def _describe(artifact: Artifact) -> dict[str, Any]:
    rows = [
        {
            "baseline": name,
            "seconds": round(entry["seconds"], 2),
            "settings": metadata.readable(entry["settings"]),
        }
        for name, entry in artifact.summary["baselines"].items()
    ]
    return {"baselines": metadata.rows_table(rows)}
