"""`data_card`: what the data of the task is, where it came from and what became of it, as one page."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.recorded import current_builds
from ft_assets.components.stage import Built, Stage, Step, Task
from ft_assets.data.card.config import CardConfig
from ft_assets.pages.html import STYLE
from ft_assets.paths import PACKAGE
from ft_assets.report_server import card_url
from ft_assets.versions import file_sha256, files_version

__all__ = ["stages"]

# The page's look is part of what comes out, and no Python: it is hashed beside the code.
TEMPLATES = PACKAGE / "data" / "card" / "templates"
BUILD = "source:build/"


def stages(task: Task) -> list[Stage]:
    return [
        Stage(
            task=task,
            asset="data_card",
            description="The data on one page: rows from the files to the splits, what was refused and why, labels, "
            "lengths, personal data by kind, checks, licence and source.",
            kinds=frozenset({"html"}),
            code=("ft_assets.data.card", "ft_assets.data.rules", "ft_assets.data.masking", "ft_assets.pages"),
            config={
                "about": _about(task),
                "settings": _settings(task),
                "templates": [files_version(TEMPLATES), file_sha256(STYLE)],
            },
            inputs=(
                *("raw_examples", "cleaned_examples", "labeled_examples"),
                *("train_split", "validation_split", "test_split", "quarantine"),
            ),
            history=_history,
            libraries=("polars", "pyarrow", "jinja2"),
            loads=("ft_assets.data.card.facts", "ft_assets.data.card.page", "polars"),
            describe=_describe,
            build=_build,
        )
    ]


def _about(task: Task) -> dict[str, Any]:
    card: CardConfig = task.config.card
    return {
        "task": task.name,
        "task_type": task.config.task_type,
        **card.model_dump(mode="json"),
        "title": card.title or task.name,
        "description": card.description or task.config.description,
    }


def _settings(task: Task) -> dict[str, Any]:
    """The task's settings of the data layer. An address may hold a password, so those of sources are masked."""
    from ft_assets.data.masking import mask

    names = {"sources", "columns", "cleaning", "labels", "splits", "contracts"}
    settings = task.config.model_dump(mode="json", include=names)
    for source in settings["sources"]:
        source |= {name: mask(value, 200) for name, value in source.items() if isinstance(value, str)}
    return settings


def _history(
    context: dg.AssetExecutionContext, stage: Stage, inputs: Mapping[str, Artifact]
) -> dict[str, str]:
    """By which builds its inputs were made: equal rows may come of other settings, with other checks."""
    keys = current_builds(context.instance, stage.task.name, list(inputs))
    return {f"{BUILD}{asset}": key for asset, key in keys.items()}


def _build(step: Step) -> Built:
    from ft_assets.data.card.facts import build_card, cluster_facts
    from ft_assets.data.card.page import render_card
    from ft_assets.versions import hash_json

    store = step.context.resources.artifact_store.open()
    made = {
        asset: store.as_built(step.inputs[asset], step.sources[f"{BUILD}{asset}"])
        for asset in step.stage.inputs
    }
    card = build_card(
        step.stage.config["about"],
        {asset: artifact.manifest for asset, artifact in made.items()},
        clusters=cluster_facts(made["labeled_examples"].table().column("cluster")),
        drift={"says": "This is the first version: there is nothing to compare it with.", "measures": []},
        settings=step.stage.config["settings"],
    )
    page = render_card(card)
    step.staging.write_json("data_card", card)
    step.staging.write_text("data_card.html", page)
    summary = {"rows_read": card["flow"][0]["rows_in"], "examples": card["flow"][-1]["kept"]}
    # The page is part of the version: another look of it is published, too.
    return Built(hash_json([card, page]), summary)


def _describe(artifact: Artifact) -> dict[str, Any]:
    card = artifact.json("data_card")
    passed = sum(check["passed"] for check in card["checks"])
    return {
        "card": dg.MetadataValue.md(
            f"[open the data card]({card_url(artifact.task, artifact.data_version)})"
        ),
        "answer": card["answer"],
        "conclusion": card["conclusion"],
        "flow": metadata.rows_table(card["flow"]),
        "rules": metadata.rows_table(
            [
                {name: each[name] for name in ("rule", "stage", "rows", "share", "do")}
                for each in card["rules"]
            ]
        ),
        "checks_passed": passed,
        "checks_failed": len(card["checks"]) - passed,
        **{name: card[name] for name in ("licence", "source", "language", "contact") if card[name]},
    }
