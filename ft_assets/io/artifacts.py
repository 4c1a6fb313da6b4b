"""The artifact store as a Dagster resource, and the IO manager that hands artifacts from step to step.

Publishing is not done here: a stage commits its artifact once its audit has passed
(`ft_assets.components.stage`), and the IO manager passes on what was committed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.compute.process import WorkerCrashed
from ft_assets.errors import UserError, without_values
from ft_assets.paths import cache_dir, store_root

__all__ = ["ArtifactIOManager", "ArtifactStoreResource", "told_as_failures"]


@contextmanager
def told_as_failures(where: str) -> Iterator[None]:
    """Whatever goes wrong within becomes a failure that says what, where and what to do.

    Dagster keeps an exception with all that led to it, messages included, and those of other people's code may quote
    a row. So the chain ends here; its places are kept without values.

    Args:
        where: what is being made, for a fault of the program.
    """
    try:
        yield
    except dg.Failure:
        raise
    except UserError as error:
        raise _failure(error) from None
    except Exception as error:
        raise _fault(error, where) from None


def _failure(error: UserError) -> dg.Failure:
    """The error as Dagster shows it: no retry, since only a person can mend it."""
    parts: dict[str, Any] = {"what": error.what, "where": error.where, "do": error.do}
    if error.__cause__ is not None:
        parts["traceback"] = dg.MetadataValue.text(without_values(error.__cause__))
    return dg.Failure(
        description=str(error), metadata={k: v for k, v in parts.items() if v}, allow_retries=False
    )


def _fault(error: Exception, where: str) -> dg.Failure:
    """An error that nobody has foreseen."""
    if isinstance(error, WorkerCrashed):
        what, lines = error.what, error.last_lines
    else:
        what, lines = f"a fault of the program: {type(error).__name__}", without_values(error)
    do = "report it with the lines below; nothing was published, and the last good version stays current"
    return dg.Failure(
        description=f"{what}\n  where: {where}\n  do: {do}\n{lines}",
        metadata={"what": what, "where": where, "do": do},
        allow_retries=False,
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
        with told_as_failures(f"{task}/{asset}, as input of {context.step_context.step.key}"):
            if version is None:
                raise UserError(
                    f"{task}/{asset} has not been materialised yet",
                    where=f"input of {context.step_context.step.key}",
                    do=f"materialise {task}/{asset} first, or the whole task",
                )
            artifact = self.store.open().open(task, asset, version)
        if getattr(context.dagster_type.typing_type, "__name__", "") == "DataFrame":
            import pandas as pd

            return artifact.table("examples").to_pandas(types_mapper=pd.ArrowDtype)
        return artifact
