"""`raw_examples`: the rows of all sources as they were read, each with an id and the place where it stood."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.recorded import current_artifact
from ft_assets.components.stage import Built, Stage, Step, Task, Watch
from ft_assets.data.config import SourceConfig
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir
from ft_assets.removal import suppressed
from ft_assets.sources.files import is_local
from ft_assets.versions import file_sha256, library_versions

if TYPE_CHECKING:
    from ft_assets.data.taken_over import TakenOver
    from ft_assets.sources import ResolvedFile

__all__ = ["stages"]

# The name of what functions and queries have yielded, in the manifest.
_ASKED = "source:functions"
_UNREADABLE = "unreadable"


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
                "ft_assets.data.masking",
                "ft_assets.data.ratings",
                "ft_assets.data.ledger.keys",
                "ft_assets.data.taken_over",
                "ft_assets.data.times",
                "ft_assets.turns",
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
        former = suppressed.source_names(task.name)
        tables = read(
            _files(task), config.columns, config.task_type, task.folder, erased, former_names=former
        )
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
    sources, erased = _files(task), suppressed.read(task.name)
    former = suppressed.source_names(task.name)
    before = _taken_over(step, sources)
    made = step.shared.get("tables") or read(
        before.still_to_read(sources),
        config.columns,
        config.task_type,
        task.folder,
        erased,
        former_names=former - {source.name for source in config.sources},
        before=before,
    )
    paths = _paths(sources)
    taken = set(islice(paths, len(before.files)))
    found = {name: _content(path, file_sha256) for name, path in paths.items() if name not in taken}
    found |= suppressed.identity(task.name)
    changed = sorted(
        name
        for name in found.keys() | step.sources.keys() - taken - {_ASKED}
        if found.get(name) != step.sources.get(name)
    )
    if changed:
        raise UserError(
            f"{len(changed)} file(s) changed while they were read",
            where=", ".join(changed),
            do="run it again once they are complete; move files into the folder instead of writing them there",
        )
    rows, files = made.summary["rows_in"] - before.rows, len(made.summary["files"]) - len(taken)
    step.context.log.info(f"{rows:,} rows read from {files} file(s)")
    if taken:
        step.context.log.info(
            f"{before.rows:,} rows of {len(taken)} file(s) that have not changed taken over from the last version"
        )
    built = write_and_audit(step, replace(made, summary={**made.summary, "personal_data": "raw"}))
    return replace(built, metadata={"rows_taken_over": before.rows, "files_taken_over": len(taken)})


def _taken_over(step: Step, sources: "Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]]") -> "TakenOver":
    """The first files, as far as they are in the current version and were read there by the same rules."""
    from ft_assets.data.taken_over import TakenOver, take_over

    last = None if step.force or "tables" in step.shared else _last(step)
    if last is None:
        return TakenOver()
    same = takewhile(
        lambda name: last.inputs.get(name) == step.sources.get(name, _UNREADABLE) != _UNREADABLE,
        _paths(sources),
    )
    files = [(source.name, file.name) for source, files in sources for file in files]
    return take_over(last, [name for _, name in zip(same, files, strict=False)])


def _last(step: Step) -> Artifact | None:
    """The current version, if this code with these libraries, settings and erased rows has made it, and it is whole."""
    stage, store = step.stage, step.context.resources.artifact_store.open()
    try:
        last = current_artifact(step.context.instance, store, stage.task.name, stage.asset)
    except UserError as error:
        step.context.log.warning(f"all files are read: the last version cannot be used ({error.what})")
        return None
    if last is None or last.manifest["code_version"] != stage.code_version:
        return None
    if last.manifest["libraries"] != library_versions(stage.libraries):
        return None
    same_erased = last.inputs.get(suppressed.IDENTITY) == step.sources.get(suppressed.IDENTITY)
    return last if same_erased else None


def _identities(
    sources: "Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]]",
    sha256: Callable[[Path], str] = file_sha256,
) -> dict[str, str]:
    """The content of each file that is read, by the name that `_paths` gives it."""
    return {name: _content(path, sha256) for name, path in _paths(sources).items()}


def _paths(sources: "Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]]") -> dict[str, Path]:
    """The files in reading order, each by the source's place in the task, its name and the file's."""
    return {
        f"source:{place}/{source.name}/{file.name}": file.path
        for place, (source, files) in enumerate(sources)
        for file in files
    }


def _content(path: Path, sha256: Callable[[Path], str]) -> str:
    try:
        return sha256(path)
    except OSError:  # the readers refuse it, and say why; once it can be read that is another content
        return _UNREADABLE


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
