"""`labeled_examples`: each row with what is to be learnt of it: one of the task's labels, or its answer."""

from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task

__all__ = ["stages"]


def stages(task: Task) -> list[Stage]:
    names, contracts = task.config.label_names, task.config.contracts.model_dump(mode="json")
    config: dict[str, Any] = {"contracts": contracts}
    if names is None:
        module, described = (
            "answers",
            "Prompts with their answers; those of one prompt or group stay together.",
        )
    else:
        module = "labels"
        described = (
            f"Texts with one of the labels {', '.join(names)}; texts with two different labels or none are refused "
            "with a reason."
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
            libraries=("polars", "great-expectations", "pandas", "pyarrow"),
            describe=_describe,
            build=_build,
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.answers import answer
    from ft_assets.data.labels import label

    config, cleaned = step.stage.task.config, step.inputs["cleaned_examples"].table()
    made = answer(cleaned) if config.label_names is None else label(cleaned, config.label_rules)
    return write_and_audit(step, made)


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        **metadata.answers(artifact),
        "sample": metadata.sample(artifact),
    }
