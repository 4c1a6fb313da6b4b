"""`raw_examples`: the rows of all sources as they were read, each with an id and the place where it stood."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, contract, write_and_audit
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish
from ft_assets.data.config import SourceConfig
from ft_assets.errors import UserError
from ft_assets.io.artifacts import told_as_failures
from ft_assets.paths import cache_dir

if TYPE_CHECKING:
    from ft_assets.sources import ResolvedFile

__all__ = ["build"]


def build(task: Task) -> dg.AssetsDefinition:
    config = task.config
    stage = Stage(
        task=task,
        asset="raw_examples",
        description="Rows as they stand in the sources, each with an id that survives moved rows, renamed files and "
        "corrected labels. Rows that cannot be read are refused with a reason. May hold personal data.",
        kinds=frozenset({"parquet"}),
        code=(
            "ft_assets.data.readers",
            "ft_assets.data.formats",
            "ft_assets.data.layouts",
            "ft_assets.data.examples",
            *AUDIT_CODE,
        ),
        config={
            "task_type": config.task_type,
            "sources": [source.model_dump(mode="json") for source in config.sources],
            "columns": config.columns.model_dump(mode="json"),
        },
        expectations=contract(task, "raw_examples"),
        libraries=("polars", "great-expectations", "pandas", "pyarrow"),
        describe=_describe,
    )

    @dg.asset(**stage.asset_arguments())
    def raw_examples(context: dg.AssetExecutionContext) -> Iterator[Event]:
        from ft_assets.data.readers import raw_examples as read
        from ft_assets.versions import tables_version

        with told_as_failures(f"the sources of {task.name}"):
            sources = [(source, _files(task, source.path)) for source in config.sources]
            identities = _identities(sources)
            # What a function yields is only known once it has been called: then that is the identity.
            called = any(source.function for source in config.sources)
            tables = read(sources, config.columns, config.task_type, task.folder) if called else None
        if tables is not None:
            version = tables_version({"examples": tables.examples, "quarantine": tables.quarantine})
            identities["source:functions"] = version

        def make(staging: Staging) -> Built:
            made = tables or read(sources, config.columns, config.task_type, task.folder)
            changed = [name for name, content in _identities(sources).items() if content != identities[name]]
            if changed:
                raise UserError(
                    f"{len(changed)} file(s) changed while they were read",
                    where=", ".join(changed),
                    do="run it again once they are complete; move files into the folder instead of writing them there",
                )
            context.log.info(
                f"{made.summary['rows_in']:,} rows read from {len(made.summary['files'])} file(s)"
            )
            return write_and_audit(stage, staging, made)

        yield from publish(context, Production(stage, {}, make, sources=identities))

    return raw_examples


def _identities(sources: "Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]]") -> dict[str, str]:
    """The content of each file that is read, by the source's place in the task, its name and the file's."""
    from ft_assets.versions import file_sha256

    return {
        f"source:{place}/{source.name}/{file.name}": file_sha256(file.path)
        for place, (source, files) in enumerate(sources)
        for file in files
    }


def _files(task: Task, source: str | None) -> "list[ResolvedFile]":
    from ft_assets.sources import resolve

    return resolve(source, cache=cache_dir(), base=task.base_of(source)) if source else []


def _describe(artifact: Artifact) -> dict[str, Any]:
    summary = artifact.summary
    return {
        **metadata.counts(artifact),
        **_pictures(summary),
        "files": metadata.rows_table(
            [
                {name: file[name] for name in ("source", "file", "rows", "refused")}
                for file in summary["files"]
            ]
        ),
        "groups": summary["groups"],
        "without_group": summary["without_group"],
        "without_label": summary["without_label"],
    }


def _pictures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Where the rows come from, where there is more than one file; else what became of them."""
    if len(summary["files"]) > 1:
        files = sorted(summary["files"], key=lambda file: -file["rows"])
        return {"rows_by_file": metadata.bars({file["file"]: file["rows"] for file in files}, "rows by file")}
    fates = {name: summary[name] for name in ("kept", "quarantined")}
    return {"rows": metadata.bars(fates, "rows kept and quarantined")}
