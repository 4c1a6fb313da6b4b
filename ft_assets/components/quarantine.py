"""`quarantine`: every refused row of the task in one place, with stage, rule and reason."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish

__all__ = ["build"]

SHOWN_ROWS = 20


def build(task: Task) -> dg.AssetsDefinition:
    stage = Stage(
        task=task,
        asset="quarantine",
        description="Rows that were refused at any stage, each with the stage, the rule and the reason. "
        "Nothing is dropped: mend the source or the rule, and they flow again.",
        kinds=frozenset({"parquet"}),
        code=("ft_assets.data.quarantine",),
        config={},
        inputs=("raw_examples", "cleaned_examples", "labeled_examples"),
        libraries=("pyarrow",),
        describe=_describe,
    )

    @dg.asset(**stage.asset_arguments())
    def quarantine(
        context: dg.AssetExecutionContext,
        raw_examples: Artifact,
        cleaned_examples: Artifact,
        labeled_examples: Artifact,
    ) -> Iterator[Event]:
        upstream = {
            "raw_examples": raw_examples,
            "cleaned_examples": cleaned_examples,
            "labeled_examples": labeled_examples,
        }

        def make(staging: Staging) -> Built:
            from ft_assets.data.quarantine import gather
            from ft_assets.versions import table_version

            rows = gather([artifact.table("quarantine") for artifact in upstream.values()])
            staging.write_table("examples", rows)
            stages, rules = Counter(rows["stage"].to_pylist()), Counter(rows["rule"].to_pylist())
            summary = {"kept": rows.num_rows, "by_stage": dict(stages), "by_refusal": dict(rules)}
            return Built(table_version(rows), summary)

        yield from publish(context, Production(stage, upstream, make))

    return quarantine


def _describe(artifact: Artifact) -> dict[str, Any]:
    from ft_assets.data.masking import mask

    summary = artifact.summary
    shown: dict[str, Any] = {"dagster/row_count": summary["kept"], "refused_rows": summary["kept"]}
    if summary["kept"]:
        shown["by_stage"] = metadata.share_table(summary["by_stage"], "stage")
        shown["by_rule"] = metadata.share_table(summary["by_refusal"], "rule")
        shown["rules"] = metadata.bars(summary["by_refusal"], "refused rows by rule")
        rows = artifact.table("examples").slice(0, SHOWN_ROWS).to_pylist()
        shown["rows"] = metadata.rows_table(
            [
                {
                    "rule": row["rule"],
                    "reason": row["reason"],
                    # Text that never got past raw is not shown, masked or not.
                    "text": mask(row["text"]) if row["text"] and row["stage"] != "raw_examples" else "",
                    "stage": row["stage"],
                    "example_id": row["example_id"],
                }
                for row in rows
            ]
        )
    return shown
