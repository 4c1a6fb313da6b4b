"""`labeled_examples`: the raw label as one of the task's labels; unknown and conflicting ones are refused."""

from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["stages"]


def stages(task: Task) -> list[Stage]:
    rules = task.config.label_rules
    return [
        Stage(
            task=task,
            asset="labeled_examples",
            description=f"Texts with one of the labels {', '.join(rules.label_names())}; texts with two different "
            "labels or none are refused with a reason.",
            kinds=frozenset({"polars", "parquet"}),
            code=("ft_assets.data.labels", "ft_assets.data.examples", *AUDIT_CODE),
            config={
                "labels": rules.model_dump(mode="json"),
                "contracts": task.config.contracts.model_dump(mode="json"),
            },
            inputs=("cleaned_examples",),
            expectations=contract(task, "labeled_examples"),
            loads=("ft_assets.data.labels", *AUDIT_LOADS),
            libraries=("polars", "great-expectations", "pandas", "pyarrow"),
            describe=_describe,
            build=_build,
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.labels import label

    rules = step.stage.task.config.label_rules
    return write_and_audit(step, label(step.inputs["cleaned_examples"].table(), rules))


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        "sample": metadata.sample(artifact),
    }
