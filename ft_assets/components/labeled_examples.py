"""`labeled_examples`: each row with what is to be learnt of it: one of the task's labels, or its answer."""

from collections.abc import Mapping
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import corrections, metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, memory, write_and_audit
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
            "with a reason. What people have corrected has the last word. Those of one group, and near duplicates, "
            "stay together."
        )
        # Where the corrections lie does not matter, what they say does: they are a source.
        config["labels"] = task.config.label_rules.model_dump(mode="json", exclude={"corrections"})
        config["rated"] = task.config.columns.rated
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
                *(
                    f"ft_assets.data.{name}"
                    for name in ("ratings", "corrections", "rulings")
                    if names is not None
                ),
                *AUDIT_CODE,
            ),
            config=config,
            inputs=("cleaned_examples",),
            expectations=contract(task, "labeled_examples"),
            loads=(f"ft_assets.data.{module}", *AUDIT_LOADS),
            libraries=("polars", "numpy", "scipy", "great-expectations", "pandas", "pyarrow"),
            describe=_describe,
            build=_build,
            sources=None if names is None else lambda shared: corrections.identity(task),
            watch=None if names is None else corrections.watch(task),
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.answers import answer
    from ft_assets.data.labels import label
    from ft_assets.data.near_duplicates import settled
    from ft_assets.data.rulings import rulings

    task, cleaned = step.stage.task, step.inputs["cleaned_examples"]
    config, table = task.config, cleaned.table()
    if config.label_names is None:
        made = answer(table)
    else:
        lines = corrections.read_corrections(task, step.sources)
        ruled = None if lines is None else rulings(lines, table, cleaned.table("merged"))
        made = label(table, config.label_rules, rated=config.columns.rated, rulings=ruled)
    return write_and_audit(step, settled(made, config.cleaning.near_duplicates, memory(task)))


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        **metadata.answers(artifact),
        **_near_duplicates(artifact.summary.get("near_duplicates")),
        **_people(artifact.summary),
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
    if found.get("continued"):
        shown["continued_conversations"] = found["continued"]
    if found["largest"]:
        shown["largest_clusters"] = metadata.rows_table(found["largest"])
    return shown


def _people(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What several raters, and those who have corrected, said: numbers alone."""
    shown: dict[str, Any] = {}
    if "ratings" in summary:
        rated = summary["ratings"]
        shown |= {"ratings": rated["ratings"], "unusable_ratings": rated["unusable"]}
        shown |= {"contested_rows": rated["contested"]}
        if rated["mean_disagreement"] is not None:
            shown["mean_disagreement"] = rated["mean_disagreement"]
    if "corrections" in summary:
        told = summary["corrections"]
        shown |= {"corrections": told["lines"], "corrected_texts": told["texts"]}
        shown |= {"relabelled_rows": told["relabelled"], "corrections_of_no_row": told["unused"]}
    return shown
