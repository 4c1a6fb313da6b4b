"""What each asset has now, as the Dagster instance says: the plain layers below take it as an argument."""

import os
from collections.abc import Collection

from ft_assets.lineage.graph import Build

__all__ = ["current_versions"]


def current_versions(builds: Collection[Build]) -> dict[str, dict[str, str]] | None:
    """The data version of the latest materialisation of each asset that was ever built, by task; None where no
    instance is named in `DAGSTER_HOME`."""
    if not os.environ.get("DAGSTER_HOME"):
        return None
    import dagster as dg

    from ft_assets.components import recorded

    assets: dict[str, set[str]] = {}
    for build in builds:
        assets.setdefault(build.task, set()).add(build.asset)
    with dg.DagsterInstance.get() as instance:
        found = {task: recorded.current_versions(instance, task, names) for task, names in assets.items()}
    return {task: versions for task, versions in found.items() if versions}
