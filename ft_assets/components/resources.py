"""The resources that every task uses, configured by the environment (see `ft_assets.paths`)."""

from functools import cache
from typing import Any

from ft_assets.compute.local import LocalLauncher
from ft_assets.io.artifacts import ArtifactIOManager, ArtifactStoreResource
from ft_assets.paths import training_processes

__all__ = ["default_resources"]


@cache
def default_resources() -> dict[str, Any]:
    """One set for the process: several tasks of a code location share it, as Dagster demands of equal keys."""
    store = ArtifactStoreResource()
    return {
        "artifact_store": store,
        "artifacts": ArtifactIOManager(store=store),
        "launcher": LocalLauncher(processes=training_processes()),
    }
