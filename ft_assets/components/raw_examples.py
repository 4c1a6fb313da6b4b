"""`raw_examples`: the rows of all sources as they were read, each with an id and the place where it stood."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Stage, Step, Task, Watch
from ft_assets.data.config import SourceConfig
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir
from ft_assets.removal import suppressed
from ft_assets.sources.files import is_local
from ft_assets.versions import file_sha256

if TYPE_CHECKING:
    from ft_assets.sources import ResolvedFile

__all__ = ["stages"]

# The name of what functions and queries have yielded, in the manifest.
_ASKED = "source:functions"


def stages(task: Task) -> list[Stage]:
    config = task.config
    return [
        Stage(
            task=task,
            asset="raw_examples",
            description="Rows as they stand in the sources, each with an id that survives moved rows, renamed files "
            "and corrected labels. Rows that cannot be read are refused with a reason. May hold personal data.",
            kinds=frozenset({"parquet"}),
            code=(
                "ft_assets.data.readers",
                "ft_assets.data.formats",
                "ft_assets.data.layouts",
                "ft_assets.data.forms",
                "ft_assets.data.examples",
                "ft_assets.data.times",
                *AUDIT_CODE,
            ),
            config={
                "task_type": config.task_type,
                "sources": [source.model_dump(mode="json") for source in config.sources],
                "columns": config.columns.model_dump(mode="json"),
                "contracts": config.contracts.model_dump(mode="json"),
            },
            expectations=contract(task, "raw_examples"),
            loads=("ft_assets.data.readers", *AUDIT_LOADS),
            libraries=("polars", "great-expectations", "pandas", "pyarrow"),
            describe=partial(_describe, config.policy.raw_retention_days),
            build=_build,
            watch=_watch(task),
            sources=lambda shared: _sources(task, shared),
        )
    ]


def _sources(task: Task, shared: dict[str, Any]) -> dict[str, str]:
    """What the sources hold; what a function or a query yields is only known once it has been asked."""
    from ft_assets.data.readers import raw_examples as read
    from ft_assets.versions import tables_version

    config = task.config
    identities = _identities(_files(task)) | suppressed.identity(task.name)
    if any(source.path is None for source in config.sources):
        erased = suppressed.read(task.name)
        tables = read(_files(task), config.columns, config.task_type, task.folder, erased)
        version = tables_version({"examples": tables.examples, "quarantine": tables.quarantine})
        identities[_ASKED] = version
        shared["tables"] = tables
    return identities


def _watch(task: Task) -> Watch:
    """Local files may change, and so may the list of erased rows; all else is pinned."""
    local = [
        place for place, source in enumerate(task.config.sources) if source.path and is_local(source.path)
    ]
    return Watch(
        (*(f"source:{place}/" for place in local), suppressed.IDENTITY),
        lambda sha256: _identities(_files(task, local), sha256) | suppressed.identity(task.name),
    )


def _build(step: Step) -> Built:
    from ft_assets.data.readers import raw_examples as read

    task = step.stage.task
    config = task.config
    files, erased = _files(task), suppressed.read(task.name)
    made = step.shared.get("tables") or read(files, config.columns, config.task_type, task.folder, erased)
    found = _identities(files) | suppressed.identity(task.name)
    changed = sorted(
        name
        for name in found.keys() | step.sources.keys() - {_ASKED}
        if found.get(name) != step.sources.get(name)
    )
    if changed:
        raise UserError(
            f"{len(changed)} file(s) changed while they were read",
            where=", ".join(changed),
            do="run it again once they are complete; move files into the folder instead of writing them there",
        )
    step.context.log.info(f"{made.summary['rows_in']:,} rows read from {len(made.summary['files'])} file(s)")
    return write_and_audit(step, replace(made, summary={**made.summary, "personal_data": "raw"}))


def _identities(
    sources: "Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]]",
    sha256: Callable[[Path], str] = file_sha256,
) -> dict[str, str]:
    """The content of each file that is read, by the source's place in the task, its name and the file's."""
    return {
        f"source:{place}/{source.name}/{file.name}": _content(file.path, sha256)
        for place, (source, files) in enumerate(sources)
        for file in files
    }


def _content(path: Path, sha256: Callable[[Path], str]) -> str:
    try:
        return sha256(path)
    except OSError:  # the readers refuse it, and say why; once it can be read that is another content
        return "unreadable"


def _files(
    task: Task, places: Collection[int] | None = None
) -> "list[tuple[SourceConfig, Sequence[ResolvedFile]]]":
    """The files of each source; none of those that are not at these places."""
    from ft_assets.sources import resolve

    found: list[tuple[SourceConfig, Sequence[ResolvedFile]]] = []
    for place, source in enumerate(task.config.sources):
        files: list[ResolvedFile] = []
        if source.path and (places is None or place in places):
            files = resolve(source.path, cache=cache_dir(), base=task.base_of(source.path))
        found.append((source, files))
    return found


def _describe(retention_days: float, artifact: Artifact) -> dict[str, Any]:
    summary = artifact.summary
    return {
        **metadata.counts(artifact),
        "personal_data": f"raw: whatever the sources hold. Once a newer version is current, `gc` removes this one "
        f"{retention_days:g} days after it was made",
        **_pictures(summary),
        "files": metadata.rows_table(
            [
                {name: file[name] for name in ("source", "file", "rows", "refused")}
                | ({"erased": file.get("erased", 0)} if summary.get("erased") else {})
                for file in summary["files"]
            ]
        ),
        **_unreadable(summary),
        **({"forms": metadata.rows_table(summary["forms"])} if summary.get("forms") else {}),
        "lineage": metadata.lineage_link(artifact),
        "groups": summary["groups"],
        "without_group": summary["without_group"],
        "without_label": summary["without_label"],
    }


def _unreadable(summary: Mapping[str, Any]) -> dict[str, Any]:
    refused = [file for file in summary["files"] if file.get("unreadable")]
    if not refused:
        return {}
    return {
        "unreadable_files": metadata.rows_table(
            [
                {"source": file["source"], "file": file["file"], "reason": file["unreadable"]}
                for file in refused
            ]
        )
    }


def _pictures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Where the rows come from, where there is more than one file; else what became of them."""
    if len(summary["files"]) > 1:
        files = sorted(summary["files"], key=lambda file: -file["rows"])
        return {"rows_by_file": metadata.bars({file["file"]: file["rows"] for file in files}, "rows by file")}
    fates = {
        name: summary[name]
        for name in ("kept", "quarantined", "erased")
        if name != "erased" or summary.get(name)
    }
    return {"rows": metadata.bars(fates, "rows kept and quarantined")}
