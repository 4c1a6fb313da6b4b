"""What a Dagster instance says of the artifacts in a store: which are current, and which tasks have a run under way."""

from collections.abc import Collection

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.components.tags import TASK_TAG

__all__ = ["UNFINISHED", "current_artifact", "current_builds", "current_versions", "tasks_under_way"]

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def current_versions(instance: dg.DagsterInstance, task: str, assets: Collection[str]) -> dict[str, str]:
    """The data version that each asset of a task recorded last; those that were never made are left out."""
    made = _last_made(instance, task, assets)
    return {asset: (event.tags or {})["dagster/data_version"] for asset, event in made.items()}


def current_builds(instance: dg.DagsterInstance, task: str, assets: Collection[str]) -> dict[str, str]:
    """The build key that each asset of a task recorded last."""
    made = _last_made(instance, task, assets)
    return {
        asset: str(event.metadata["build_key"].value)
        for asset, event in made.items()
        if "build_key" in event.metadata
    }


def current_artifact(
    instance: dg.DagsterInstance, store: ArtifactStore, task: str, asset: str
) -> Artifact | None:
    """What an asset recorded last, with the record of the build that made it: equal rows may be those of an earlier
    build, too, which had another ledger. None if it was never made.

    Raises:
        UserError: it is not in the store, or was damaged.
    """
    version = current_versions(instance, task, [asset]).get(asset)
    if version is None:
        return None
    artifact = store.open(task, asset, version)
    build = current_builds(instance, task, [asset]).get(asset)
    return artifact if build is None else store.as_built(artifact, build)


def _last_made(
    instance: dg.DagsterInstance, task: str, assets: Collection[str]
) -> dict[str, dg.AssetMaterialization]:
    found = {}
    for record in instance.get_asset_records([dg.AssetKey([task, asset]) for asset in assets]):
        event = record.asset_entry.last_materialization
        made = event.asset_materialization if event else None
        if made is not None and "dagster/data_version" in (made.tags or {}):
            found[made.asset_key.path[-1]] = made
    return found


def tasks_under_way(instance: dg.DagsterInstance, tasks: Collection[str]) -> dict[str, str]:
    """Tasks that an unfinished run may read or write, each with a run."""
    found: dict[str, str] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if run.asset_selection is not None:
            touched = {key.path[0] for key in run.asset_selection}
        else:  # a job as a whole has no selection: it is its task's, where it says so
            only = run.tags.get(TASK_TAG)
            touched = {only} if only else set(tasks)
        found |= {task: run.run_id for task in touched if task in tasks}
    return found
