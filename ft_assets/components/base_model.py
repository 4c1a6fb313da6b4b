"""`base_model`: the pretrained model, pinned and copied into the store: it can neither change nor vanish."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Stage, Step, Task, Watch
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir
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


def stages(task: Task) -> list[Stage]:
    source = task.config.base_model
    return [
        Stage(
            task=task,
            asset="base_model",
            description="The pretrained model that is fine-tuned, pinned by content.",
            kinds=frozenset({"huggingface", "safetensors"}),
            code=("ft_assets.components.base_model",),
            config={"base_model": source},
            describe=_describe,
            build=_build,
            sources=lambda shared: _sources(task, file_sha256),
            watch=_watch(task),
        )
    ]


def _folder(task: Task) -> Path:
    from ft_assets.sources import resolve_model

    source = task.config.base_model
    return resolve_model(source, cache=cache_dir(), base=task.base_of(source))


def _sources(task: Task, sha256: Callable[[Path], str]) -> dict[str, str]:
    return {"source:files": files_version(_folder(task), sha256=sha256)}


def _watch(task: Task) -> Watch | None:
    """A local folder may change; all else is pinned."""
    if not is_local(task.config.base_model):
        return None
    return Watch(("source:files",), lambda sha256: _sources(task, sha256))


def _build(step: Step) -> Built:
    from ft_assets.sources import check_weights

    source, content = step.stage.task.config.base_model, step.sources["source:files"]
    folder = _folder(step.stage.task)
    check_weights(folder, source)
    shutil.copytree(folder, step.staging.path, dirs_exist_ok=True)
    if files_version(step.staging.path) != content:
        raise UserError(
            "the base model has changed while it was copied", where=str(folder), do="run it again"
        )
    config = json.loads((step.staging.path / "config.json").read_text(encoding="utf-8"))
    summary = {
        "source": source.split("#")[0],
        "config": {name: config[name] for name in SHOWN_CONFIG if name in config},
        "bytes": sum(path.stat().st_size for path in step.staging.path.rglob("*") if path.is_file()),
    }
    return Built(content, summary)


def _describe(artifact: Artifact) -> dict[str, Any]:
    summary = artifact.summary
    return {
        "source": summary["source"],
        "megabytes": round(summary["bytes"] / 1e6, 1),
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
