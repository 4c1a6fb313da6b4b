"""`checkpoint`: the fine-tuned model, trained by the worker in a process of its own."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.launch_settings import TRAINING, changed_settings, with_settings
from ft_assets.components.live import LiveProgress
from ft_assets.components.planner import new_rows
from ft_assets.components.stage import Built, Stage, Step, Task
from ft_assets.components.tags import TRAINED_TAG
from ft_assets.components.worker_ahead import coming_work
from ft_assets.lineage.graph import builds
from ft_assets.lineage.usage import making
from ft_assets.pages.charts import as_markdown_image, line_chart_svg, visible
from ft_assets.paths import resume_dir, tokens_dir
from ft_assets.task import TaskConfig
from ft_assets.task_types import generates
from ft_assets.training.config import TrainingConfig

__all__ = ["TRAINING_RESULT", "learnt", "stages"]

TRAINING_RESULT = "training.json"
MOST_FILES, VERSION_CHARS = 50, 12
MEASURED = (
    "method",
    "epochs",
    "steps",
    "best_step",
    "stopped_early",
    "seconds",
    "examples_per_second",
    "tokens_per_second",
    "model_flop_utilisation",
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
                **learnt(config),
                "training": config.training.model_dump(mode="json"),
            },
            inputs=("train_split", "validation_split", "base_model"),
            libraries=(
                *("torch", "transformers", "peft", "accelerate", "safetensors"),
                *(("trl",) if generates(config.task_type) else ()),
            ),
            describe=partial(_describe, task),
            seed=config.training.seed,
            build=_build,
            settings=TRAINING,
            with_settings=_with_settings,
            layer="model",
            pool="gpu",
        )
    ]


def learnt(config: TaskConfig) -> dict[str, Any]:
    """What a model of the task chooses from, or what it is told around each prompt: its share of the configuration."""
    if generates(config.task_type):
        return {"prompt": config.prompt.model_dump(mode="json")}
    return {"labels": config.label_rules.label_names()}


def _with_settings(stage: Stage, given: Mapping[str, Any]) -> Stage:
    """The stage with other settings of training, as if the task had them: they enter its build key. To Dagster the
    asset's code version stays that of the task, so that the planner does not take it for stale."""
    training = with_settings(stage.task.config.training, given, stage.step_name)
    config = {**stage.config, "training": training.model_dump(mode="json")}
    return replace(stage, config=config, seed=training.seed)


def _build(step: Step) -> Built:
    from ft_assets.versions import files_version, hash_json, library_versions
    from ft_assets.worker.work_order import CardFacts, ResumeOrder, WorkOrder

    task, config = step.stage.task, step.stage.task.config
    step.context.instance.add_run_tags(
        step.context.run_id, {f"{TRAINED_TAG}.{task.name}": step.context.run_id}
    )
    _tell_new_rows(step)
    train, validation, base_model = (step.inputs[name] for name in step.stage.inputs)
    # With other libraries the numbers would be others: such a training begins anew.
    libraries = library_versions(step.stage.libraries)
    resume = resume_dir() / task.name / hash_json([step.build_key, libraries])[:16]
    order = WorkOrder(
        kind="train",
        task_type=config.task_type,
        output=str(step.staging.path),
        **learnt(config),
        base_model=str(base_model.path),
        train=str(train.file("examples.parquet")),
        validation=str(validation.file("examples.parquet")),
        training=TrainingConfig.model_validate(step.stage.config["training"]),
        resume=ResumeOrder(folder=str(resume), **config.resume.model_dump()),
        tokens=str(tokens_dir() / task.name),
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
    shutil.rmtree(resume, ignore_errors=True)
    # Times and memory differ from run to run; the data version is the model's alone.
    version = files_version(step.staging.path, exclude=[TRAINING_RESULT])
    return Built(version, _summary(result), seconds=result["work_seconds"])


def _tell_new_rows(step: Step) -> None:
    """Say what has come in since the last training: it may be known only now, after the data stages of the run."""
    event = step.context.instance.get_latest_materialization_event(step.stage.key)
    tags = (event.asset_materialization.tags or {}) if event and event.asset_materialization else {}
    task, now = step.stage.task.name, step.inputs["train_split"].data_version
    before = tags.get(f"dagster/input_data_version/{task}/train_split")
    rows = new_rows(task, before, now) if before else None
    if rows is not None:
        step.context.log.info(f"{rows} training rows that the last checkpoint has not seen")


def _summary(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "kind"}


def _describe(task: Task, artifact: Artifact) -> dict[str, Any]:
    result = artifact.summary
    return {
        **_overrides(task, artifact),
        **_best_scores(result),
        "loss_curves": _loss_curves(result["history"]),
        "seed": artifact.manifest["seed"],
        # Not "learning_rate": the UI would draw it into the plot of the live one.
        "peak_learning_rate": metadata.rounded(result["learning_rate"]),
        **{name: metadata.rounded(result[name]) for name in MEASURED if result.get(name) is not None},
        **(
            {"compile_seconds": metadata.rounded(result["compile_seconds"])}
            if result["compile_seconds"]
            else {}
        ),
        **{f"{split}_rows": rows for split, rows in result["rows"].items()},
        # Longer than the model's window: cut, and said so.
        **{f"{split}_rows_truncated": rows for split, rows in result["truncated"].items()},
        "peak_memory_megabytes": round(result["peak_memory_bytes"] / 1e6, 1),
        "largest_pass_megabytes": round(result["largest_pass_bytes"] / 1e6, 1),
        "tokens_per_pass": result["tokens_per_pass"],
        **_audit(result),
        **_price(task, result),
        "utilisation_made_of": _utilisation(result),
        "lineage": metadata.lineage_link(artifact),
        **_made_of(artifact),
    }


def _audit(result: Mapping[str, Any]) -> dict[str, Any]:
    """What was looked at before the first step and after the last one."""
    audit = result["audit"]
    facts = {name: value for name, value in audit.items() if name != "examples" and value is not None}
    rows = [
        {"what": name.replace("_", " "), "value": str(metadata.rounded(value))}
        for name, value in facts.items()
    ]
    found: dict[str, Any] = {"audit": metadata.rows_table(rows)}
    if "examples" in audit:  # of a model that writes
        shown = [{name: visible(text) for name, text in example.items()} for example in audit["examples"]]
        found |= {
            "learnt_tokens": audit["learnt_tokens"],
            "audit_examples": metadata.rows_table(shown),
        }
    return found


def _price(task: Task, result: Mapping[str, Any]) -> dict[str, Any]:
    """What the machine's time cost, by the rate that holds now."""
    cost = task.config.cost
    price = cost.price(result["work_seconds"])
    return {} if price is None else {f"price_{cost.currency.lower()}": metadata.rounded(price)}


def _utilisation(result: Mapping[str, Any]) -> dg.MetadataValue:
    """What model FLOP utilisation is the ratio of."""
    terms = {
        "model FLOPs per second": f"{result['flops_per_second'] / 1e12:.4g} TFLOP/s",
        "model FLOPs": result["flops_formula"],
        "peak of the device": f"{result['peak_flops_per_second'] / 1e12:.4g} TFLOP/s ({result['peak_basis']})",
    }
    return metadata.rows_table([{"what": name, "value": value} for name, value in terms.items()])


def _made_of(artifact: Artifact) -> dict[str, Any]:
    """What went into it, from the manifests that lie on this machine; which rows of each file, the lineage tells."""
    # <store>/<task>/checkpoint/<data version>
    made = making(builds(artifact.path.parents[2], artifact.task), artifact.build_key)
    if made is None:
        return {}
    splits = [
        {"split": name, "rows": rows, "data version": artifact.inputs.get(f"{name}_split", "")}
        for name, rows in made.rows.items()
    ]
    base = f"{made.base_model} ({made.base_model_version[:VERSION_CHARS]})"
    facts = {"base model": base, "configuration": made.config_digest, "code": made.code}
    files = [
        {"file": visible(file.name), "rows": file.read, "sha256": (file.sha256 or "")[:VERSION_CHARS]}
        for file in made.files[:MOST_FILES]
    ]
    if len(made.files) > MOST_FILES:
        files.append(
            {"file": f"and {len(made.files) - MOST_FILES} more: see the lineage", "rows": "", "sha256": ""}
        )
    return {
        "rows_by_split": metadata.rows_table(splits),
        "files": metadata.rows_table(files),
        "made_of": metadata.rows_table([{"what": name, "value": value} for name, value in facts.items()]),
    }


def _overrides(task: Task, artifact: Artifact) -> dict[str, Any]:
    """The settings of training that are not those of the task."""
    own = task.config.training.model_dump(mode="json")
    changed = changed_settings(own, artifact.manifest["config"]["training"])
    rows = [
        {"setting": name, "in the task": _shown(before), "in this checkpoint": _shown(now)}
        for name, (before, now) in changed.items()
    ]
    return {"overrides": metadata.rows_table(rows)} if rows else {}


def _shown(value: Any) -> str:
    return "by default" if value is None else ", ".join(value) if isinstance(value, list) else str(value)


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
