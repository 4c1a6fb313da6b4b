"""`relabel_queue`: the labels that are probably wrong, the most suspicious first, for people to look at."""

from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["stages"]

SHOWN_ROWS = 20
_COLUMNS = ("example_id", "text", "label", "cluster", "disagreement", "corrected")


def stages(task: Task) -> list[Stage]:
    if task.config.label_names is None or not task.config.relabel.queue:
        return []
    return [
        Stage(
            task=task,
            asset="relabel_queue",
            description="Rows whose label is probably wrong, by confident learning: a model that has not seen the row "
            "is for another label. Export them, let people decide, import what they say: "
            "`python -m ft_assets relabel`.",
            kinds=frozenset({"scikitlearn", "parquet"}),
            code=(
                "ft_assets.data.relabelling",
                "ft_assets.data.label_errors",
                "ft_assets.evaluation.out_of_fold",
                "ft_assets.evaluation.baselines",
            ),
            config={
                "relabel": task.config.relabel.model_dump(mode="json"),
                "labels": task.config.label_names,
            },
            inputs=("labeled_examples",),
            libraries=("scikit-learn", "numpy", "pyarrow"),
            loads=(
                "ft_assets.data.relabelling",
                "ft_assets.evaluation.out_of_fold",
                "sklearn.feature_extraction.text",
                "sklearn.linear_model",
            ),
            aside=True,
            describe=_describe,
            build=_build,
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.label_errors import calibrated
    from ft_assets.data.relabelling import codes_of, drawn, folds, nothing_judged, queue
    from ft_assets.evaluation.out_of_fold import out_of_fold
    from ft_assets.versions import table_version

    task = step.stage.task
    settings, labels = task.config.relabel, task.config.label_rules.label_names()
    rows = drawn(step.inputs["labeled_examples"].table(columns=_COLUMNS), settings.max_rows)
    fold = folds(rows["cluster"], settings.folds)
    if len(set(fold.tolist())) > 1:
        given = codes_of(rows["label"], labels)
        probabilities = calibrated(given, out_of_fold(rows["text"], given, fold, len(labels)))
        made, summary = queue(rows, probabilities, labels, settings.queue)
    else:  # with one cluster, all rows are the row itself or its likes
        made, summary = nothing_judged()
    step.staging.write_table("examples", made)
    return Built(table_version(made), summary)


def _describe(artifact: Artifact) -> dict[str, Any]:
    from ft_assets.data.masking import mask

    summary = artifact.summary
    shown: dict[str, Any] = {
        "dagster/row_count": summary["kept"],
        **{name: summary[name] for name in ("judged", "suspects", "wrong_share", "agreement")},
    }
    if summary["kept"]:
        shown["pairs"] = metadata.rows_table(summary["pairs"])
        rows = artifact.head(SHOWN_ROWS).to_pylist()
        shown["rows"] = metadata.rows_table(
            [
                {
                    "rank": row["rank"],
                    "label": mask(row["label"]),
                    "suggested": mask(row["suggested"]),
                    "score": metadata.rounded(row["score"]),
                    "text": mask(row["text"]),
                    "disagreement": ""
                    if row["disagreement"] is None
                    else metadata.rounded(row["disagreement"]),
                    "example_id": row["example_id"],
                }
                for row in rows
            ]
        )
    return shown
