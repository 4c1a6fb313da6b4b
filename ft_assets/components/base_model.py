"""`base_model`: the pretrained model, pinned and copied into the store: it can neither change nor vanish.

A GGUF file is converted once, by the worker; what is published is a folder with safetensors in either case.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.live import LiveProgress
from ft_assets.components.stage import Built, Stage, Step, Task, Watch
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir
from ft_assets.sources import is_gguf
from ft_assets.sources.files import is_local
from ft_assets.versions import file_sha256, files_version

__all__ = ["stages"]

SHOWN_CONFIG = (
    "model_type",
    "architectures",
    "hidden_size",
    "num_hidden_layers",
    "vocab_size",
    "max_position_embeddings",
)
CONVERSION_RESULT = "conversion.json"
# What decides what comes out of a GGUF file, beside this module.
CONVERSION_CODE = (
    "ft_assets.training.gguf",
    "ft_assets.training.checkpoint:save_checkpoint",
    "ft_assets.worker.conversion",
)


def stages(task: Task) -> list[Stage]:
    source = task.config.base_model
    converts = is_gguf(source, task.base_of(source))
    return [
        Stage(
            task=task,
            asset="base_model",
            description="The pretrained model that is fine-tuned, pinned by content.",
            kinds=frozenset({"huggingface", "safetensors"}),
            code=("ft_assets.components.base_model", *(CONVERSION_CODE if converts else ())),
            config={"base_model": source},
            libraries=("gguf", "torch", "transformers", "safetensors") if converts else (),
            describe=_describe,
            build=_build,
            sources=lambda shared: _sources(task, file_sha256),
            watch=_watch(task),
        )
    ]


def _model(task: Task) -> Path:
    """The folder of the model, or its GGUF file."""
    from ft_assets.sources import resolve_model

    source = task.config.base_model
    return resolve_model(source, cache=cache_dir(), base=task.base_of(source))


def _sources(task: Task, sha256: Callable[[Path], str]) -> dict[str, str]:
    model = _model(task)
    return {"source:files": sha256(model) if model.is_file() else files_version(model, sha256=sha256)}


def _watch(task: Task) -> Watch | None:
    """A local folder or file may change; all else is pinned."""
    if not is_local(task.config.base_model):
        return None
    return Watch(("source:files",), lambda sha256: _sources(task, sha256))


def _build(step: Step) -> Built:
    from ft_assets.sources import check_weights

    model = _model(step.stage.task)
    check_weights(model, step.stage.task.config.base_model)
    return _convert(step, model) if model.is_file() else _copy(step, model)


def _copy(step: Step, folder: Path) -> Built:
    content = step.sources["source:files"]
    shutil.copytree(folder, step.staging.path, dirs_exist_ok=True)
    if files_version(step.staging.path) != content:
        raise _changed(folder)
    return Built(content, _summary(step))


def _convert(step: Step, file: Path) -> Built:
    from ft_assets.worker.work_order import WorkOrder

    order = WorkOrder(
        kind="convert",
        task_type=step.stage.task.config.task_type,
        output=str(step.staging.path),
        base_model=str(file),
    )
    result = step.context.resources.launcher.run(
        step.context, order, on_message=LiveProgress(step.context, step.stage.key)
    )
    if file_sha256(file) != step.sources["source:files"]:
        raise _changed(file)
    # Times differ from run to run; the data version is the model's alone.
    version = files_version(step.staging.path, exclude=[CONVERSION_RESULT])
    return Built(version, {**_summary(step), "conversion": result}, seconds=result["work_seconds"])


def _changed(model: Path) -> UserError:
    return UserError("the base model has changed while it was copied", where=str(model), do="run it again")


def _summary(step: Step) -> dict[str, Any]:
    config = json.loads((step.staging.path / "config.json").read_text(encoding="utf-8"))
    return {
        "source": step.stage.task.config.base_model.split("#")[0],
        "config": {name: config[name] for name in SHOWN_CONFIG if name in config},
        "bytes": sum(path.stat().st_size for path in step.staging.path.rglob("*") if path.is_file()),
    }


def _describe(artifact: Artifact) -> dict[str, Any]:
    summary = artifact.summary
    return {
        "source": summary["source"],
        "megabytes": round(summary["bytes"] / 1e6, 1),
        **_conversion(summary.get("conversion")),
        "configuration": metadata.rows_table(
            [
                {
                    "setting": name,
                    "value": ", ".join(map(str, value)) if isinstance(value, list) else str(value),
                }
                for name, value in summary["config"].items()
            ]
        ),
    }


def _conversion(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was converted, and how far the outcome is from the file."""
    if result is None:
        return {}
    facts = {
        "converted_from": f"GGUF, {result['quantization']}",
        "parameters": result["parameters"],
        "vocabulary": result["vocabulary"],
        "max_logit_difference": result["max_logit_difference"],
        "tokens_compared": result["tokens_compared"],
        "license": result["license"],
    }
    # Of some architectures, numbers in the file that the model has no place for.
    left_out = {"values_left_out": result["values_left_out"]} if result["values_left_out"] else {}
    return {name: value for name, value in (facts | left_out).items() if value is not None}
