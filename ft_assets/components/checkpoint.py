"""`checkpoint`: the fine-tuned model, trained by the worker in a process of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.live import LiveProgress
from ft_assets.components.stage import Built, Stage, Step, Task
from ft_assets.components.worker_ahead import coming_work
from ft_assets.evaluation.charts import as_markdown_image, line_chart_svg

__all__ = ["TRAINING_RESULT", "stages"]

TRAINING_RESULT = "training.json"
MEASURED = (
    "method",
    "epochs",
    "steps",
    "best_step",
    "stopped_early",
    "seconds",
    "examples_per_second",
    "tokens_per_second",
    "trainable_parameters",
    "parameters",
    "device_name",
    "precision",
    "optimizer",
    "attention",
)


def stages(task: Task) -> list[Stage]:
    config = task.config
    return [
        Stage(
            task=task,
            asset="checkpoint",
            description=f"The base model fine-tuned on the train split ({config.training.method}), best by validation; "
            "safetensors and JSON in Hub format.",
            kinds=frozenset({"pytorch", "huggingface", "safetensors"}),
            code=("ft_assets.training", "ft_assets.worker"),
            config={
                "task_type": config.task_type,
                "labels": config.label_rules.label_names(),
                "training": config.training.model_dump(mode="json"),
            },
            inputs=("train_split", "validation_split", "base_model"),
            libraries=("torch", "transformers", "peft", "accelerate", "safetensors"),
            describe=_describe,
            seed=config.training.seed,
            build=_build,
            pool="gpu",
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.versions import files_version
    from ft_assets.worker.work_order import CardFacts, WorkOrder

    task, config = step.stage.task, step.stage.task.config
    train, validation, base_model = (step.inputs[name] for name in step.stage.inputs)
    order = WorkOrder(
        kind="train",
        task_type=config.task_type,
        output=str(step.staging.path),
        labels=config.label_rules.label_names(),
        base_model=str(base_model.path),
        train=str(train.file("examples.parquet")),
        validation=str(validation.file("examples.parquet")),
        training=config.training,
        card=CardFacts(
            task=task.name,
            description=config.description,
            base_model=base_model.summary["source"],
            data_versions={name: artifact.data_version for name, artifact in step.inputs.items()},
        ),
    )
    result = step.context.resources.launcher.run(
        step.context,
        order,
        on_message=LiveProgress(step.context, step.stage.key),
        then=coming_work(step.context, step.stage.key),
    )
    # Times and memory differ from run to run; the data version is the model's alone.
    version = files_version(step.staging.path, exclude=[TRAINING_RESULT])
    return Built(version, _summary(result), seconds=result["work_seconds"])


def _summary(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "kind"}


def _describe(artifact: Artifact) -> dict[str, Any]:
    result = artifact.summary
    return {
        **_best_scores(result),
        "loss_curves": _loss_curves(result["history"]),
        # Not "learning_rate": the UI would draw it into the plot of the live one.
        "peak_learning_rate": metadata.rounded(result["learning_rate"]),
        **{name: metadata.rounded(result[name]) for name in MEASURED if result.get(name) is not None},
        **{f"{split}_rows": rows for split, rows in result["rows"].items()},
        # Longer than the model's window: cut, and said so.
        **{f"{split}_rows_truncated": rows for split, rows in result["truncated"].items()},
        "peak_memory_megabytes": round(result["peak_memory_bytes"] / 1e6, 1),
    }


def _best_scores(result: Mapping[str, Any]) -> dict[str, Any]:
    """The validation scores of the weights that were kept."""
    scores = [
        point
        for point in result["history"]
        if point["kind"] == "evaluation" and point["step"] == result["best_step"]
    ]
    names = [name for point in scores[-1:] for name in point if name not in ("kind", "step", "epoch")]
    return {f"validation_{name}": metadata.rounded(scores[-1][name]) for name in sorted(names, reverse=True)}


def _loss_curves(history: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    series = {
        name: [(point["step"], point["loss"]) for point in history if point["kind"] == kind]
        for name, kind in (("train", "train"), ("validation", "evaluation"))
    }
    return dg.MetadataValue.md(as_markdown_image(line_chart_svg(series), "loss by step"))
