"""The artifact store as a Dagster resource, and the IO manager that hands artifacts from step to step.

Publishing is not done here: a stage commits its artifact once its audit has passed
(`ft_assets.components.stage`), and the IO manager passes on what was committed.
"""

from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir, store_root

__all__ = ["ArtifactIOManager", "ArtifactStoreResource", "failure"]


def failure(error: UserError) -> dg.Failure:
    """The error as Dagster shows it: no retry, since only a person can mend it."""
    parts = {"what": error.what, "where": error.where, "do": error.do}
    return dg.Failure(
        description=str(error), metadata={k: v for k, v in parts.items() if v}, allow_retries=False
    )


class ArtifactStoreResource(dg.ConfigurableResource):
    """The artifact store; by default below `FT_DATA_DIR`, read when a step starts."""

    root: str | None = None

    def open(self) -> ArtifactStore:
        return ArtifactStore(self.root or store_root(), cache=cache_dir())


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Loads what an upstream asset published last, by its data version, verified.

    A parameter annotated `Artifact` gets the artifact; one annotated `pandas.DataFrame` gets its examples
    (Arrow-backed), so that assets of the user's own can stand downstream.
    """

    store: ArtifactStoreResource

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        if not isinstance(obj, Artifact):
            raise TypeError(
                f"{context.asset_key.to_user_string()} returned {type(obj).__name__}, not an Artifact"
            )

    def load_input(self, context: dg.InputContext) -> Any:
        task, asset = context.asset_key.path[-2:]
        event = context.instance.get_latest_materialization_event(context.asset_key)
        materialization = event.asset_materialization if event else None
        version = (materialization.tags or {}).get("dagster/data_version") if materialization else None
        try:
            if version is None:
                raise UserError(
                    f"{task}/{asset} has not been materialised yet",
                    where=f"input of {context.step_context.step.key}",
                    do=f"materialise {task}/{asset} first, or the whole task",
                )
            artifact = self.store.open().open(task, asset, version)
        except UserError as error:
            raise failure(error) from error
        if getattr(context.dagster_type.typing_type, "__name__", "") == "DataFrame":
            import pandas as pd

            return artifact.table("examples").to_pandas(types_mapper=pd.ArrowDtype)
        return artifact
