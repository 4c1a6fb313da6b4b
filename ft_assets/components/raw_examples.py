"""`raw_examples`: the rows of all sources as they were read, each with an id and the place where it stood."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, Staging
from ft_assets.components import metadata
from ft_assets.components.audit import AUDIT_CODE, contract, write_and_audit
from ft_assets.components.stage import Built, Event, Production, Stage, Task, publish
from ft_assets.errors import UserError
from ft_assets.io.artifacts import failure
from ft_assets.paths import cache_dir

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
        from ft_assets.versions import file_sha256, tables_version

        try:
            sources = [(source, _files(task, source.path)) for source in config.sources]
            identities = {
                f"source:{source.name}/{file.name}": file_sha256(file.path)
                for source, files in sources
                for file in files
            }
            # What a function yields is only known once it has been called: then that is the identity.
            called = any(source.function for source in config.sources)
            tables = read(sources, config.columns, config.task_type, task.folder) if called else None
        except UserError as error:
            raise failure(error) from error
        if tables is not None:
            version = tables_version({"examples": tables.examples, "quarantine": tables.quarantine})
            identities["source:functions"] = version

        def make(staging: Staging) -> Built:
            made = tables or read(sources, config.columns, config.task_type, task.folder)
            context.log.info(
                f"{made.summary['rows_in']:,} rows read from {len(made.summary['files'])} file(s)"
            )
            return write_and_audit(stage, staging, made)

        yield from publish(context, Production(stage, {}, make, sources=identities))

    return raw_examples


def _files(task: Task, source: str | None) -> list[Any]:
    from ft_assets.sources import resolve

    return resolve(source, cache=cache_dir(), base=task.base_of(source)) if source else []


def _describe(artifact: Artifact) -> dict[str, Any]:
    summary = artifact.summary
    return {
        **metadata.counts(artifact),
        "files": metadata.rows_table(summary["files"]),
        "groups": summary["groups"],
        "without_group": summary["without_group"],
        "without_label": summary["without_label"],
    }
