"""`baselines`: what a user could have instead of a fine-tuned model, on the same test rows."""

import shutil
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.live import LiveProgress
from ft_assets.components.stage import Built, Stage, Step, Task
from ft_assets.task import TaskConfig
from ft_assets.task_types import generates

__all__ = ["baselines_of", "stages"]

_WRITES = tuple(
    f"ft_assets.training.{name}"
    for name in (
        *("text_answers", "conversations", "sequences", "prefix"),
        *("checkpoint", "batches", "rows", "hardware"),
    )
)
_MEASURED = ("shots", "rows", "answers", "truncated", "new_tokens", "new_tokens_per_second", "device_name")


def stages(task: Task) -> list[Stage]:
    return [_prompted(task) if generates(task.config.task_type) else _trained(task)]


def baselines_of(config: TaskConfig) -> tuple[str, ...]:
    """Names of the task's baselines."""
    return config.evaluation.baselines_for(config.task_type)


def _trained(task: Task) -> Stage:
    """Of a task that chooses labels: small models of their own."""
    evaluation = task.config.evaluation
    names = baselines_of(task.config)
    return Stage(
        task=task,
        asset="baselines",
        description=f"Predictions for the test split by {' and '.join(names)}, tuned on validation.",
        kinds=frozenset({"scikitlearn", "parquet"}),
        code=("ft_assets.evaluation.baselines",),
        config={"baselines": list(names), "labels": task.config.label_rules.label_names()},
        inputs=("train_split", "validation_split", "test_split"),
        libraries=("scikit-learn", "numpy"),
        loads=(
            "ft_assets.evaluation.baselines",
            "sklearn.feature_extraction.text",
            "sklearn.linear_model",
        ),
        describe=_describe,
        seed=evaluation.seed,
        build=_train,
        layer="model",
    )


def _train(step: Step) -> Built:
    from ft_assets.evaluation.baselines import run
    from ft_assets.versions import tables_version

    config = step.stage.task.config
    train, validation, test = (step.inputs[name].table() for name in step.stage.inputs)
    labels, seed = config.label_rules.label_names(), config.evaluation.seed
    results = run(baselines_of(config), train, validation, test, labels, seed)
    for name, result in results.items():
        step.staging.write_table(name, result.predictions)
    summary = {
        name: {"settings": result.settings, "seconds": result.seconds} for name, result in results.items()
    }
    version = tables_version({name: result.predictions for name, result in results.items()})
    return Built(version, {"baselines": summary})


def _prompted(task: Task) -> Stage:
    """Of a task whose model writes: the base model as it is, asked the same; its prompt with and without examples."""
    config = task.config
    names = baselines_of(config)
    return Stage(
        task=task,
        asset="baselines",
        description=f"Answers of the base model, not tuned, for the test split: {' and '.join(names) or 'none'}.",
        kinds=frozenset({"pytorch", "huggingface", "parquet"}),
        code=(*_WRITES, "ft_assets.worker.text_generation"),
        config={
            "task_type": config.task_type,
            "baselines": list(names),
            "prompt": config.prompt.model_dump(mode="json"),
            "generation": config.generation.model_dump(mode="json"),
        },
        inputs=("train_split", "test_split", "base_model"),
        libraries=("torch", "transformers", "safetensors"),
        describe=_describe,
        seed=config.evaluation.seed,
        build=_prompt,
        layer="model",
        pool="gpu",
    )


def _prompt(step: Step) -> Built:
    import pyarrow.parquet as pq

    from ft_assets.versions import tables_version
    from ft_assets.worker.work_order import WorkOrder

    config = step.stage.task.config
    train, test, base_model = (step.inputs[name] for name in step.stage.inputs)
    tables, summary, seconds = {}, {}, 0.0
    for name in baselines_of(config):
        output = step.staging.path / f".{name}"
        output.mkdir()
        order = WorkOrder(
            kind="predict",
            task_type=config.task_type,
            output=str(output),
            checkpoint=str(base_model.path),
            examples=str(test.file("examples.parquet")),
            train=str(train.file("examples.parquet")),
            shots=config.generation.shots if name == "few_shot" else 0,
            # The shots are drawn by this seed, and the untuned model has its whole window for them.
            training=config.training.model_copy(update={"seed": config.evaluation.seed, "max_length": None}),
            prompt=config.prompt,
            generation=config.generation,
        )
        step.context.log.info(f"the base model answers, {name.replace('_', '-')}")
        result = step.context.resources.launcher.run(
            step.context, order, on_message=LiveProgress(step.context, step.stage.key)
        )
        tables[name] = pq.read_table(output / "predictions.parquet")
        shutil.rmtree(output)
        step.staging.write_table(name, tables[name])
        summary[name] = {
            "settings": {key: result[key] for key in _MEASURED},
            "seconds": result["work_seconds"],
        }
        seconds += result["work_seconds"]
    return Built(tables_version(tables), {"baselines": summary}, seconds=seconds)


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
