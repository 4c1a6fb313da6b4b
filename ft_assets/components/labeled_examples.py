"""`labeled_examples`: each row with what is to be learnt of it: one of the task's labels, or its answer."""

from collections.abc import Mapping
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["stages"]


def stages(task: Task) -> list[Stage]:
    names, contracts = task.config.label_names, task.config.contracts.model_dump(mode="json")
    near = task.config.cleaning.near_duplicates.model_dump(mode="json")
    config: dict[str, Any] = {"contracts": contracts, "near_duplicates": near}
    if names is None:
        module, described = (
            "answers",
            "Prompts with their answers; those of one prompt or group, and near duplicates, stay together.",
        )
    else:
        module = "labels"
        described = (
            f"Texts with one of the labels {', '.join(names)}; texts with two different labels or none are refused "
            "with a reason. Those of one group, and near duplicates, stay together."
        )
        config["labels"] = task.config.label_rules.model_dump(mode="json")
    return [
        Stage(
            task=task,
            asset="labeled_examples",
            description=described,
            kinds=frozenset({"polars", "parquet"}),
            code=(
                *dict.fromkeys((f"ft_assets.data.{module}", "ft_assets.data.labels")),
                "ft_assets.data.examples",
                "ft_assets.data.merging",
                *AUDIT_CODE,
            ),
            config=config,
            inputs=("cleaned_examples",),
            expectations=contract(task, "labeled_examples"),
            loads=(f"ft_assets.data.{module}", *AUDIT_LOADS),
            libraries=("polars", "numpy", "scipy", "great-expectations", "pandas", "pyarrow"),
            describe=_describe,
            build=_build,
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.answers import answer
    from ft_assets.data.labels import label
    from ft_assets.data.near_duplicates import settled

    config, cleaned = step.stage.task.config, step.inputs["cleaned_examples"].table()
    made = answer(cleaned) if config.label_names is None else label(cleaned, config.label_rules)
    return write_and_audit(step, settled(made, config.cleaning.near_duplicates))


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        **metadata.answers(artifact),
        **_near_duplicates(artifact.summary.get("near_duplicates")),
        "sample": metadata.sample(artifact),
    }


def _near_duplicates(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """How many rows have a near duplicate, and the largest clusters that these have made, each by one of its ids."""
    if found is None:
        return {}
    shown: dict[str, Any] = {
        "rows_with_near_duplicates": found["rows"],
        "near_duplicate_pairs": found["pairs"],
    }
    if found["pairs"]:
        shown["near_duplicates"] = metadata.share_table(found["by_similarity"], "similarity", "pairs")
        shown["near_duplicates_with_other_labels"] = found["other_labels"]
    if found["largest"]:
        shown["largest_clusters"] = metadata.rows_table(found["largest"])
    return shown
