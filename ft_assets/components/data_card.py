"""`data_card`: what the data of the task is, where it came from and what became of it, as one page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.components import metadata
from ft_assets.components.recorded import current_builds
from ft_assets.components.stage import Built, Rule, Stage, Step, Task
from ft_assets.data.card.config import CardConfig
from ft_assets.data.contracts import CheckOutcome
from ft_assets.pages.html import STYLE
from ft_assets.paths import PACKAGE
from ft_assets.report_server import card_url
from ft_assets.versions import file_sha256, files_version, hash_json

if TYPE_CHECKING:
    from ft_assets.data.drift import Measure

__all__ = ["stages"]

# The page's look is part of what comes out, and no Python: it is hashed beside the code.
TEMPLATES = PACKAGE / "data" / "card" / "templates"
BUILD, LAST = "source:build/", "source:last_version"
NONE = "none"
LABELED = "labeled_examples"
COMPARED = ("example_id", "text", "label", "cluster")
DRIFT = Rule(
    "no_drift",
    "the rows are not other ones than those of the last version, as far as they are compared",
    "warning",
)


def stages(task: Task) -> list[Stage]:
    return [
        Stage(
            task=task,
            asset="data_card",
            description="The data on one page: rows from the files to the splits, what was refused and why, labels, "
            "lengths, personal data by kind, checks, licence and source.",
            kinds=frozenset({"html"}),
            code=(
                *(
                    "ft_assets.data.card",
                    "ft_assets.data.drift",
                    "ft_assets.data.rules",
                    "ft_assets.data.masking",
                ),
                "ft_assets.pages",
            ),
            config={
                "about": _about(task),
                "settings": hash_json(_settings(task)),
                "templates": [files_version(TEMPLATES), file_sha256(STYLE)],
            },
            inputs=(
                *("raw_examples", "cleaned_examples", "labeled_examples"),
                *("train_split", "validation_split", "test_split", "quarantine"),
            ),
            history=_history,
            expectations=(DRIFT,),
            libraries=("polars", "pyarrow", "jinja2", "numpy", "scikit-learn"),
            loads=("ft_assets.data.card.facts", "ft_assets.data.card.page", "ft_assets.data.drift"),
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
    """The task's settings of the data layer."""
    names = {"sources", "columns", "cleaning", "labels", "splits", "contracts"}
    return task.config.model_dump(mode="json", include=names)


def _shown_settings(task: Task) -> dict[str, Any]:
    """The same as they may be shown: an address may hold a password, so those of sources are masked."""
    from ft_assets.data.masking import mask

    settings = _settings(task)
    for source in settings["sources"]:
        source |= {name: mask(value, 200) for name, value in source.items() if isinstance(value, str)}
    return settings


def _history(
    context: dg.AssetExecutionContext, stage: Stage, inputs: Mapping[str, Artifact]
) -> dict[str, str]:
    """By which builds its inputs were made: equal rows may come of other settings, with other checks. And with which
    version of the labelled rows they are compared."""
    keys = current_builds(context.instance, stage.task.name, list(inputs))
    return {f"{BUILD}{asset}": key for asset, key in keys.items()} | {
        LAST: _last_version(context, stage, inputs)
    }


def _last_version(context: dg.AssetExecutionContext, stage: Stage, inputs: Mapping[str, Artifact]) -> str:
    """The version of the labelled rows that the card now published is about. Where that is the present one, the version
    that it was compared with: the same card again."""
    task, store = stage.task.name, context.resources.artifact_store.open()
    key = current_builds(context.instance, task, [stage.asset]).get(stage.asset)
    card = store.find(task, stage.asset, key) if key else None
    if card is None:
        return NONE
    about = card.inputs[LABELED]
    return card.inputs[LAST] if about == inputs[LABELED].data_version else about


def _build(step: Step) -> Built:
    from ft_assets.data.card.facts import build_card, cluster_facts
    from ft_assets.data.card.page import render_card

    store = step.context.resources.artifact_store.open()
    made = {
        asset: store.as_built(step.inputs[asset], step.sources[f"{BUILD}{asset}"])
        for asset in step.stage.inputs
    }
    drift, outcome = _drift(step, store)
    card = build_card(
        step.stage.config["about"],
        {asset: artifact.manifest for asset, artifact in made.items()},
        clusters=cluster_facts(made[LABELED].table(columns=["cluster"])["cluster"]),
        drift=drift,
        settings=_shown_settings(step.stage.task),
    )
    page = render_card(card)
    step.staging.write_json("data_card", card)
    step.staging.write_text("data_card.html", page)
    summary = {"rows_read": card["flow"][0]["rows_in"], "examples": card["flow"][-1]["kept"]}
    # The page is part of the version: another look of it is published, too.
    return Built(hash_json([card, page]), summary, [outcome])


def _drift(step: Step, store: ArtifactStore) -> tuple[dict[str, Any], CheckOutcome]:
    """The comparison with the last version, for the card and as a check."""
    from ft_assets.data.drift import compare

    task, version = step.stage.task, step.sources[LAST]
    if version == NONE or not store.has(task.name, LABELED, version):
        why = (
            "There is no earlier version" if version == NONE else "The last version is no longer in the store"
        )
        return {"version": None, "says": f"{why}: nothing to compare with.", "measures": []}, _outcome([], 0)
    found = compare(
        store.open(task.name, LABELED, version).table(columns=COMPARED),
        step.inputs[LABELED].table(columns=COMPARED),
        task.config.contracts.drift,
        classes=task.config.label_names is not None,
    )
    few = (
        ""
        if any(each.of == "new rows" for each in found.measures)
        else ", too few to be compared by themselves"
    )
    says = (
        f"Compared with version {version[:12]}: {found.new:,} rows are new{few}, {found.gone:,} are gone. "
        "A value drifts when it is further above what chance gives than its limit."
    )
    drift = {"version": version, "says": says, **found.as_dict()}
    return drift, _outcome(found.drifted, len(found.measures))


def _outcome(drifted: "Sequence[Measure]", measured: int) -> CheckOutcome:
    told = "; ".join(
        f"{each.measure} of {each.of}: {each.value:.3f}, by chance {each.chance:.3f}, limit {each.limit:g}"
        for each in drifted
    )
    do = "look at what came in; if it is meant to be so, nothing is to be done, or set `contracts.drift` in the task"
    return CheckOutcome(
        name=DRIFT.name,
        passed=not drifted,
        severity=DRIFT.severity,
        description=DRIFT.description,
        checked=measured,
        unexpected=len(drifted),
        example_ids=[],
        advice=f"{told}: {do}" if drifted else "",
    )


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
        "drift": card["drift"]["says"],
        # Numbers that the UI plots over time.
        **{
            f"drift_{each['measure']}_of_{each['of']}".replace(" ", "_"): each["value"]
            for each in card["drift"]["measures"]
        },
        **{name: card[name] for name in ("licence", "source", "language", "contact") if card[name]},
    }
