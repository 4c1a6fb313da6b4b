"""`quarantine`: every refused row of the task in one place, with stage, rule and reason."""

from collections import Counter
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["stages"]

SHOWN_ROWS = 20


def stages(task: Task) -> list[Stage]:
    return [
        Stage(
            task=task,
            asset="quarantine",
            description="Rows that were refused at any stage, each with the stage, the rule and the reason. "
            "Nothing is dropped: mend the source or the rule, and they flow again. The text of rows that could not "
            "be read stays in raw_examples.",
            kinds=frozenset({"parquet"}),
            code=("ft_assets.data.quarantine", "ft_assets.data.examples"),
            config={},
            inputs=(
                "raw_examples",
                "cleaned_examples",
                "labeled_examples",
                "train_split",
                "validation_split",
                "test_split",
            ),
            libraries=("polars", "pyarrow"),
            loads=("ft_assets.data.quarantine",),
            describe=_describe,
            build=_build,
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.quarantine import gather
    from ft_assets.versions import table_version

    rows = gather(
        [step.inputs[name].table("quarantine") for name in step.stage.inputs],
        step.inputs["raw_examples"].table(columns=["example_id", "file", "row"]),
    )
    step.staging.write_table("examples", rows)
    stages, rules = Counter(rows["stage"].to_pylist()), Counter(rows["rule"].to_pylist())
    summary = {"kept": rows.num_rows, "by_stage": dict(stages), "by_refusal": dict(rules)}
    return Built(table_version(rows), summary)


def _describe(artifact: Artifact) -> dict[str, Any]:
    from ft_assets.data.masking import mask

    summary = artifact.summary
    shown: dict[str, Any] = {"dagster/row_count": summary["kept"], "refused_rows": summary["kept"]}
    if summary["kept"]:
        shown["by_stage"] = metadata.share_table(summary["by_stage"], "stage")
        shown["by_rule"] = metadata.share_table(summary["by_refusal"], "rule")
        shown["rules"] = metadata.bars(summary["by_refusal"], "refused rows by rule")
        rows = artifact.head(SHOWN_ROWS).to_pylist()
        shown["rows"] = metadata.rows_table(
            [
                {
                    "rule": row["rule"],
                    "reason": row["reason"],
                    "text": mask(row["text"]) if row["text"] else "",
                    "stage": row["stage"],
                    # A file that cannot be read as a whole has no row.
                    "place": row["file"] if row["row"] is None else f"{row['file']}, row {row['row']}",
                    "example_id": row["example_id"],
                }
                for row in rows
            ]
        )
    return shown
