"""`evaluation_report`: the checkpoint's predictions on the test split, judged against the baselines."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore, Staging
from ft_assets.components import metadata
from ft_assets.components.live import LiveProgress
from ft_assets.components.stage import Built, Event, Production, Rule, Stage, Task, publish
from ft_assets.data.contracts import CheckOutcome
from ft_assets.evaluation.charts import as_markdown_image, confusion_svg
from ft_assets.evaluation.config import REPORT_CHECKS as CHECKS
from ft_assets.provenance import ancestors, provenance
from ft_assets.report_server import report_url
from ft_assets.versions import files_version

__all__ = ["build"]

# The page's look is part of what comes out, and no Python: it is hashed beside the code.
TEMPLATES = Path(__file__).parent.parent / "evaluation" / "templates"
# A table with more labels is wider than the page of an asset.
MOST_COLUMNS = 6


def build(task: Task) -> dg.AssetsDefinition:
    config = task.config
    labels = config.label_rules.label_names()
    stage = Stage(
        task=task,
        asset="evaluation_report",
        description="How good the checkpoint is on the test split: metrics with 95 % intervals, class by class, "
        "against the baselines on the same rows.",
        kinds=frozenset({"html", "parquet"}),
        code=("ft_assets.evaluation", "ft_assets.provenance"),
        config={
            "task_type": config.task_type,
            "labels": labels,
            "evaluation": config.evaluation.model_dump(mode="json"),
            "description": config.description,
            "templates": files_version(TEMPLATES),
        },
        expectations=tuple(Rule(name, text, "warning") for name, text in CHECKS.items()),
        inputs=("checkpoint", "test_split", "baselines"),
        libraries=("torch", "transformers", "evaluate", "scikit-learn", "numpy"),
        describe=_describe,
        seed=config.evaluation.seed,
    )

    @dg.asset(
        **{**stage.asset_arguments(), "required_resource_keys": {"artifact_store", "launcher"}}, pool="gpu"
    )
    def evaluation_report(
        context: dg.AssetExecutionContext, checkpoint: Artifact, test_split: Artifact, baselines: Artifact
    ) -> Iterator[Event]:
        upstream = {"checkpoint": checkpoint, "test_split": test_split, "baselines": baselines}

        def make(staging: Staging) -> Built:
            predicted = _predict(context, stage, staging, checkpoint, test_split)
            return _report(context.resources.artifact_store.open(), stage, staging, upstream, predicted)

        yield from publish(context, Production(stage, upstream, make))

    return evaluation_report


def _predict(
    context: dg.AssetExecutionContext,
    stage: Stage,
    staging: Staging,
    checkpoint: Artifact,
    test_split: Artifact,
) -> dict[str, Any]:
    """Write the checkpoint's predictions for the test split into staging, by the worker; returns what it measured."""
    from ft_assets.worker.work_order import WorkOrder

    config = stage.task.config
    order = WorkOrder(
        kind="predict",
        task_type=config.task_type,
        output=str(staging.path),
        labels=config.label_rules.label_names(),
        checkpoint=str(checkpoint.path),
        examples=str(test_split.file("examples.parquet")),
        training=config.training,
    )
    return context.resources.launcher.run(context, order, on_message=LiveProgress(context, stage.key))


def _report(
    store: ArtifactStore,
    stage: Stage,
    staging: Staging,
    upstream: dict[str, Artifact],
    predicted: Mapping[str, Any],
) -> Built:
    """Metrics, `report.json` and `report.html`, from the predictions in staging."""
    import pyarrow.parquet as pq

    from ft_assets.evaluation.report import build_report, render_html
    from ft_assets.evaluation.report import summary as numbers
    from ft_assets.evaluation.text_classification import evaluate_predictions
    from ft_assets.versions import hash_json

    config, labels = stage.task.config, stage.task.config.label_rules.label_names()
    checkpoint, test_split, baselines = (upstream[name] for name in stage.inputs)
    examples = test_split.table()
    predictions = pq.read_table(staging.path / "predictions.parquet")
    evaluation = evaluate_predictions(
        examples,
        predictions,
        {name: baselines.table(name) for name in config.evaluation.baselines},
        labels,
        config.evaluation,
    )
    lineage: dict[str, Artifact] = {}
    for artifact in upstream.values():
        lineage |= ancestors(store, artifact)
    task = {
        "name": stage.task.name,
        "type": config.task_type,
        "title": config.evaluation.title,
        "description": config.description,
    }
    summaries = {name: artifact.summary for name, artifact in lineage.items()}
    training = checkpoint.json("training")
    training["truncated"] = {**training["truncated"], "test": predicted["truncated"]}
    report = build_report(task, evaluation, training, provenance(lineage), summaries)
    staging.write_json("report", report)
    staging.write_text("report.html", render_html(report, examples, predictions))
    summary = numbers(report) | {"test_rows_truncated": predicted["truncated"]}
    return Built(hash_json(report), summary, [_outcome(check) for check in report["checks"]])


def _outcome(check: Mapping[str, Any]) -> CheckOutcome:
    return CheckOutcome(
        name=check["name"],
        passed=check["passed"],
        severity="warning",
        description=CHECKS[check["name"]],
        checked=1,
        unexpected=int(not check["passed"]),
        example_ids=[],
        advice="" if check["passed"] else check["detail"],
    )


def _describe(artifact: Artifact) -> dict[str, Any]:
    report = artifact.json("report")
    matrix = report["confusion_matrix"]
    picture = confusion_svg(matrix["counts"], list(matrix["labels"]))
    return {
        "report": dg.MetadataValue.md(
            f"[open the report]({report_url(artifact.task, artifact.data_version)})"
        ),
        "answer": dg.MetadataValue.md(report["answer"]),
        "conclusion": dg.MetadataValue.md(report["conclusion"]),
        "metrics": metadata.rows_table(_metrics(report)),
        "baselines": metadata.rows_table(_comparisons(report)),
        **_confusion(matrix),
        "confusion_matrix_picture": dg.MetadataValue.md(as_markdown_image(picture, "confusion matrix")),
        # The numbers that the UI plots over time; their intervals stand in the tables.
        **{name: metadata.rounded(artifact.summary[name]) for name in artifact.summary if _is_plotted(name)},
    }


def _is_plotted(name: str) -> bool:
    # What training took is plotted at the checkpoint.
    return not name.endswith(("_low", "_high")) and not name.startswith("training_")


def _metrics(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """The metrics, each a line of the table."""
    return [
        {
            "metric": name,
            "value": _shown(metric["value"]),
            _interval(report): _span(metric),
            "rows": str(metric["n"]),
        }
        for name, metric in report["metrics"].items()
    ]


def _comparisons(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """What each baseline reaches, and how far the checkpoint is ahead of it."""
    metric = report["headline"][0]
    return [
        {
            "baseline": name,
            metric: _shown(report["baselines"][name]["metrics"][metric]["value"]),
            "checkpoint's gain": _shown(gain[metric]["value"], "+"),
            _interval(report): _span(gain[metric], "+"),
        }
        for name, gain in report["differences"].items()
    ]


def _confusion(matrix: Mapping[str, Any]) -> dict[str, Any]:
    """Counts as a table, unless it would be wider than the page; the picture is too large to stand inline."""
    labels = list(matrix["labels"])
    if len(labels) > MOST_COLUMNS:
        return {}
    rows = zip(labels, matrix["counts"], strict=True)
    table = [{"true / predicted": label, **dict(zip(labels, counts, strict=True))} for label, counts in rows]
    return {"confusion_matrix": metadata.rows_table(table)}


def _interval(report: Mapping[str, Any]) -> str:
    return f"{100 * report['confidence']:g} % interval"


def _shown(value: float | None, sign: str = "") -> str:
    # A label that does not occur has no value.
    return "-" if value is None else f"{value:{sign}.3f}"


def _span(interval: Mapping[str, Any], sign: str = "") -> str:
    # One cluster alone has no interval.
    low, high = interval["low"], interval["high"]
    return "-" if low is None else f"{low:{sign}.3f} to {high:{sign}.3f}"
