"""`baselines`: what a user could have instead of a fine-tuned model, on the same test rows."""

from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["stages"]


def stages(task: Task) -> list[Stage]:
    evaluation = task.config.evaluation
    labels = task.config.label_rules.label_names()
    return [
        Stage(
            task=task,
            asset="baselines",
            description=f"Predictions for the test split by {' and '.join(evaluation.baselines)}, tuned on validation.",
            kinds=frozenset({"scikitlearn", "parquet"}),
            code=("ft_assets.evaluation.baselines",),
            config={"baselines": list(evaluation.baselines), "labels": labels},
            inputs=("train_split", "validation_split", "test_split"),
            libraries=("scikit-learn", "numpy"),
            loads=(
                "ft_assets.evaluation.baselines",
                "sklearn.feature_extraction.text",
                "sklearn.linear_model",
            ),
            describe=_describe,
            seed=evaluation.seed,
            build=_build,
            layer="model",
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.evaluation.baselines import run
    from ft_assets.versions import tables_version

    config = step.stage.task.config
    train, validation, test = (step.inputs[name].table() for name in step.stage.inputs)
    labels, seed = config.label_rules.label_names(), config.evaluation.seed
    results = run(config.evaluation.baselines, train, validation, test, labels, seed)
    for name, result in results.items():
        step.staging.write_table(name, result.predictions)
    summary = {
        name: {"settings": result.settings, "seconds": result.seconds} for name, result in results.items()
    }
    version = tables_version({name: result.predictions for name, result in results.items()})
    return Built(version, {"baselines": summary})


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
