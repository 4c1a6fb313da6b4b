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

    keys = [dg.AssetKey(list(place)) for place in sorted({(build.task, build.asset) for build in builds})]
    found: dict[str, dict[str, str]] = {}
    with dg.DagsterInstance.get() as instance:
        for record in instance.get_asset_records(keys):
            event = record.asset_entry.last_materialization
            version = event and (event.tags or {}).get("dagster/data_version")
            if version:
                task, asset = record.asset_entry.asset_key.path
                found.setdefault(task, {})[asset] = version
    return found
