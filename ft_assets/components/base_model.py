"""`base_model`: the pretrained model, pinned and copied into the store: it can neither change nor vanish."""

import shutil
from collections.abc import Iterator
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish
from ft_assets.errors import UserError
from ft_assets.io.artifacts import told_as_failures
from ft_assets.paths import cache_dir

__all__ = ["build"]

SHOWN_CONFIG = (
    "model_type",
    "architectures",
    "hidden_size",
    "num_hidden_layers",
    "vocab_size",
    "max_position_embeddings",
)


def build(task: Task) -> dg.AssetsDefinition:
    source = task.config.base_model
    stage = Stage(
        task=task,
        asset="base_model",
        description="The pretrained model that is fine-tuned, pinned by content.",
        kinds=frozenset({"huggingface", "safetensors"}),
        code=("ft_assets.components.base_model",),
        config={"base_model": source},
        describe=_describe,
    )

    @dg.asset(**{**stage.asset_arguments(), "ins": {}})
    def base_model(context: dg.AssetExecutionContext) -> Iterator[Event]:
        from ft_assets.sources import check_weights, resolve_model
        from ft_assets.versions import files_version

        with told_as_failures(f"the base model of {task.name}"):
            folder = resolve_model(source, cache=cache_dir(), base=task.base_of(source))
            content = files_version(folder)

        def make(staging: Staging) -> Built:
            import json

            check_weights(folder, source)
            shutil.copytree(folder, staging.path, dirs_exist_ok=True)
            if files_version(staging.path) != content:
                raise UserError(
                    "the base model has changed while it was copied", where=str(folder), do="run it again"
                )
            config = json.loads((staging.path / "config.json").read_text(encoding="utf-8"))
            summary = {
                "source": source.split("#")[0],
                "config": {name: config[name] for name in SHOWN_CONFIG if name in config},
                "bytes": sum(path.stat().st_size for path in staging.path.rglob("*") if path.is_file()),
            }
            return Built(content, summary)

        yield from publish(context, Production(stage, {}, make, sources={"source:files": content}))

    return base_model


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
