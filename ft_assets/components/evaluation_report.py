"""`evaluation_report`: the checkpoint's predictions on the test split, judged against the baselines."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore, Staging
from ft_assets.components import metadata
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
            _predict(context, task, staging, checkpoint, test_split)
            return _report(context.resources.artifact_store.open(), stage, staging, upstream)

        yield from publish(context, Production(stage, upstream, make))

    return evaluation_report


def _predict(
    context: dg.AssetExecutionContext,
    task: Task,
    staging: Staging,
    checkpoint: Artifact,
    test_split: Artifact,
) -> None:
    """Write the checkpoint's predictions for the test split into staging, by the worker."""
    from ft_assets.worker.work_order import WorkOrder

    order = WorkOrder(
        kind="predict",
        task_type=task.config.task_type,
        output=str(staging.path),
        labels=task.config.label_rules.label_names(),
        checkpoint=str(checkpoint.path),
        examples=str(test_split.file("examples.parquet")),
        training=task.config.training,
    )
    context.resources.launcher.run(context, order, on_message=lambda message: None)


def _report(store: ArtifactStore, stage: Stage, staging: Staging, upstream: dict[str, Artifact]) -> Built:
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
    report = build_report(task, evaluation, checkpoint.json("training"), provenance(lineage), summaries)
    staging.write_json("report", report)
    staging.write_text("report.html", render_html(report, examples, predictions))
    return Built(hash_json(report), numbers(report), [_outcome(check) for check in report["checks"]])


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
        "report": dg.MetadataValue.url(report_url(artifact.task, artifact.data_version)),
        "answer": dg.MetadataValue.md(report["answer"]),
        "conclusion": report["conclusion"],
        **artifact.summary,
        "metrics": metadata.rows_table([_row(name, entry) for name, entry in report["metrics"].items()]),
        "confusion_matrix": dg.MetadataValue.md(as_markdown_image(picture, "confusion matrix")),
        "report_file": dg.MetadataValue.path(str(artifact.path / "report.html")),
    }


def _row(name: str, metric: Mapping[str, Any]) -> dict[str, str]:
    """A metric as a line of the table; a label that does not occur has no value, one cluster no interval."""
    value, low, high = (metric[part] for part in ("value", "low", "high"))
    return {
        "metric": name,
        "value": "-" if value is None else f"{value:.3f}",
        "95 % interval": "-" if low is None else f"{low:.3f} to {high:.3f}",
        "rows": str(metric["n"]),
    }
