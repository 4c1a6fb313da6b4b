"""`evaluation_report`: the checkpoint's predictions on the test split, judged against the baselines."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata, split_ledger
from ft_assets.components.baselines import baselines_of
from ft_assets.components.checkpoint import learnt
from ft_assets.components.live import LiveProgress
from ft_assets.components.stage import Built, Rule, Stage, Step, Task
from ft_assets.data.contracts import CheckOutcome
from ft_assets.evaluation.config import report_checks
from ft_assets.pages.charts import as_markdown_image, confusion_svg
from ft_assets.pages.html import STYLE
from ft_assets.provenance import ancestors, provenance
from ft_assets.report_server import report_url
from ft_assets.task_types import generates
from ft_assets.versions import file_sha256, files_version

__all__ = ["stages"]

# The page's look is part of what comes out, and no Python: it is hashed beside the code.
TEMPLATES = Path(__file__).parent.parent / "evaluation" / "templates"
# A table with more labels is wider than the page of an asset.
MOST_COLUMNS = 6


def stages(task: Task) -> list[Stage]:
    config = task.config
    writes = generates(config.task_type)
    return [
        Stage(
            task=task,
            asset="evaluation_report",
            description="How good the checkpoint is on the test split: metrics with 95 % intervals, "
            f"{'answers side by side' if writes else 'class by class'}, against the baselines on the same rows.",
            kinds=frozenset({"html", "parquet"}),
            code=("ft_assets.evaluation", "ft_assets.pages", "ft_assets.provenance"),
            config={
                "task_type": config.task_type,
                **learnt(config),
                **({"generation": config.generation.model_dump(mode="json")} if writes else {}),
                "evaluation": config.evaluation.model_dump(mode="json"),
                "description": config.description,
                "templates": [files_version(TEMPLATES), file_sha256(STYLE)],
            },
            expectations=tuple(
                Rule(name, text, "warning") for name, text in report_checks(config.task_type).items()
            ),
            inputs=("checkpoint", "test_split", "baselines"),
            libraries=(
                *("torch", "transformers", "evaluate", "numpy"),
                *(("rouge-score", "sacrebleu") if writes else ("scikit-learn",)),
            ),
            loads=(
                "ft_assets.evaluation.generation_metrics" if writes else "ft_assets.evaluation.metrics",
                "ft_assets.evaluation.report",
                f"ft_assets.evaluation.{'text_generation' if writes else 'text_classification'}",
            ),
            describe=_describe,
            seed=config.evaluation.seed,
            build=_build,
            layer="model",
            pool="gpu",
        )
    ]


def _build(step: Step) -> Built:
    predicted = _predict(step)
    started = time.perf_counter()
    built = _report(step, predicted)
    return replace(
        built,
        seconds=predicted["work_seconds"] + time.perf_counter() - started,
        before_commit=partial(_count, step),
    )


def _count(step: Step) -> None:
    """Note that the test split was looked at."""
    from ft_assets.data.ledger.golden import count_read

    versions = {name: step.inputs[name].data_version for name in ("test_split", "checkpoint")}
    count_read(step.stage.task.name, step.build_key, **versions, at=datetime.now(UTC))


def _predict(step: Step) -> dict[str, Any]:
    """Write the checkpoint's predictions for the test split into staging, by the worker; returns what it measured."""
    from ft_assets.worker.work_order import WorkOrder

    config = step.stage.task.config
    order = WorkOrder(
        kind="predict",
        task_type=config.task_type,
        output=str(step.staging.path),
        **learnt(config),
        generation=config.generation,
        checkpoint=str(step.inputs["checkpoint"].path),
        examples=str(step.inputs["test_split"].file("examples.parquet")),
        training=config.training,
    )
    progress = LiveProgress(step.context, step.stage.key)
    result: dict[str, Any] = step.context.resources.launcher.run(step.context, order, on_message=progress)
    return result


def _report(step: Step, predicted: Mapping[str, Any]) -> Built:
    """Metrics, `report.json` and `report.html`, from the predictions in staging."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from ft_assets.evaluation import task_type_module
    from ft_assets.evaluation.report import build_report, render_html
    from ft_assets.evaluation.report import summary as numbers
    from ft_assets.versions import hash_json

    staging, task = step.staging, step.stage.task
    config = task.config
    checkpoint, test_split, baselines = (step.inputs[name] for name in step.stage.inputs)
    predictions = pq.read_table(staging.path / "predictions.parquet")
    rows = test_split.table()
    # A model that writes may be judged on some of the rows only (`generation.max_rows`).
    examples = rows.filter(pc.is_in(rows["example_id"], predictions["example_id"].combine_chunks()))
    most = config.generation.max_rows if generates(config.task_type) else None
    if examples.num_rows != min(most or rows.num_rows, rows.num_rows):
        raise RuntimeError(f"{rows.num_rows} test rows, {predictions.num_rows} predictions")
    others = {name: baselines.table(name) for name in baselines_of(config)}
    evaluation = task_type_module(config.task_type).evaluate_predictions(
        examples,
        predictions,
        others,
        config.evaluation,
        task_type=config.task_type,
        labels=learnt(config).get("labels", ()),
    )
    store = step.context.resources.artifact_store.open()
    lineage: dict[str, Artifact] = {}
    for artifact in step.inputs.values():
        lineage |= ancestors(store, artifact)
    about = {
        "name": task.name,
        "type": config.task_type,
        "title": config.evaluation.title,
        "description": config.description,
    }
    summaries = {name: artifact.summary for name, artifact in lineage.items()}
    training = checkpoint.json("training")
    training["truncated"] = {**training["truncated"], "test": predicted["truncated"]}
    report = build_report(about, evaluation, training, provenance(lineage), summaries)
    staging.write_json("report", report)
    staging.write_text("report.html", render_html(report, examples, predictions, others))
    summary = numbers(report) | {"test_rows_truncated": predicted["truncated"]}
    texts = report_checks(config.task_type)
    outcomes = [_outcome(check, texts[check["name"]]) for check in report["checks"]]
    return Built(hash_json(report), summary, outcomes)


def _outcome(check: Mapping[str, Any], description: str) -> CheckOutcome:
    return CheckOutcome(
        name=check["name"],
        passed=check["passed"],
        severity="warning",
        description=description,
        checked=1,
        unexpected=int(not check["passed"]),
        example_ids=[],
        advice="" if check["passed"] else check["detail"],
    )


def _describe(artifact: Artifact) -> dict[str, Any]:
    report = artifact.json("report")
    return {
        "report": dg.MetadataValue.md(
            f"[open the report]({report_url(artifact.task, artifact.data_version)})"
        ),
        "lineage": metadata.lineage_link(artifact),
        "answer": dg.MetadataValue.md(report["answer"]),
        "conclusion": dg.MetadataValue.md(report["conclusion"]),
        "metrics": metadata.rows_table(_metrics(report)),
        "baselines": metadata.rows_table(_comparisons(report)),
        **split_ledger.looked_at(artifact.task),
        **_confusion(report.get("confusion_matrix")),
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
            "checkpoint less baseline": _shown(gain[metric]["value"], "+"),
            _interval(report): _span(gain[metric], "+"),
        }
        for name, gain in report["differences"].items()
    ]


def _confusion(matrix: Mapping[str, Any] | None) -> dict[str, Any]:
    """Counts as a table, unless it would be wider than the page, and as a picture, which is too large to stand inline;
    nothing where there are no labels."""
    if matrix is None:
        return {}
    labels = list(matrix["labels"])
    picture = as_markdown_image(confusion_svg(matrix["counts"], labels), "confusion matrix")
    shown: dict[str, Any] = {"confusion_matrix_picture": dg.MetadataValue.md(picture)}
    if len(labels) <= MOST_COLUMNS:
        rows = zip(labels, matrix["counts"], strict=True)
        table = [
            {"true / predicted": label, **dict(zip(labels, counts, strict=True))} for label, counts in rows
        ]
        shown["confusion_matrix"] = metadata.rows_table(table)
    return shown


def _interval(report: Mapping[str, Any]) -> str:
    return f"{100 * report['confidence']:g} % interval"


def _shown(value: float | None, sign: str = "") -> str:
    # A label that does not occur has no value.
    return "-" if value is None else f"{value:{sign}.3f}"


def _span(interval: Mapping[str, Any], sign: str = "") -> str:
    # One cluster alone has no interval.
    low, high = interval["low"], interval["high"]
    return "-" if low is None else f"{low:{sign}.3f} to {high:{sign}.3f}"
