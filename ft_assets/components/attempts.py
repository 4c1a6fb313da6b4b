"""What runs have tried to make, noted on the runs themselves, so that the planner does not try the same for ever.

A tag `<ATTEMPT_TAG>.<fingerprint of what an asset is made of>` says how far the run came: begun, failed or made.
A run that is over and has only begun was cancelled, or its process died.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.components.tags import ATTEMPT_TAG
from ft_assets.errors import UserError
from ft_assets.planning.plan import Asset, wanted
from ft_assets.versions import file_sha256

if TYPE_CHECKING:
    from ft_assets.components.stage import Stage

__all__ = ["MOST_DEATHS", "Attempts", "begun", "why_not_again"]

MOST_DEATHS = 3
"""A run whose process dies is tried again: it may have been the machine. Not for ever."""
_BEGUN, _FAILED, _MADE = "begun", "failed", "made"


class Attempts:
    """The attempts of one step.

    Args:
        context: of the step.
        stages: what the step makes.
        inputs: what it makes them of.
    """

    def __init__(
        self, context: dg.AssetExecutionContext, stages: Sequence["Stage"], inputs: Mapping[str, Artifact]
    ) -> None:
        self._context = context
        self._stages = {stage.asset: stage for stage in stages}
        self._inputs = inputs
        self._versions: dict[str, Mapping[str, str]] = {}

    def begin(self, asset: str, versions: Mapping[str, str]) -> None:
        """An asset is about to be built of these versions, its sources included."""
        self._versions[asset] = versions
        self._note([asset], _BEGUN)

    def made(self, versions: Mapping[str, Mapping[str, str]]) -> None:
        """These assets are published, each of these versions."""
        self._versions |= versions
        self._note(versions, _MADE)

    @contextmanager
    def noting_failures(self) -> Iterator[None]:
        """What fails within fails for all assets of the step: none of them is published."""
        try:
            yield
        except Exception:
            self._note(self._stages, _FAILED)
            raise

    def _note(self, assets: Iterable[str], what: str) -> None:
        tags = {f"{ATTEMPT_TAG}.{self._wants(self._stages[asset])}": what for asset in assets}
        self._context.instance.add_run_tags(self._context.run_id, tags)

    def _wants(self, stage: "Stage") -> str:
        sources = None
        if stage.watch is not None:
            versions = self._versions.get(stage.asset)
            with suppress(UserError, OSError):  # sources that cannot be read have no version
                found = stage.watch.look(file_sha256) if versions is None else versions
                sources = stage.watch.version(found)
        asset = Asset(stage.asset, stage.layer, stage.code_version, stage.inputs, sources=sources)
        return wanted(asset, {name: artifact.data_version for name, artifact in self._inputs.items()})


def begun(wants: Iterable[str]) -> dict[str, str]:
    """The tags of a run that is asked for to make these."""
    return {f"{ATTEMPT_TAG}.{each}": _BEGUN for each in wants}


def why_not_again(instance: dg.DagsterInstance, stage: "Stage", wants: str) -> str | None:
    """Why the planner does not try the same again, or None. A person may, at any time; if that makes it, the slate
    is clean."""
    tag = f"{ATTEMPT_TAG}.{wants}"
    deaths: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(tags={tag: [_BEGUN, _FAILED, _MADE]})):
        short = run.run_id[:8]
        if run.tags[tag] == _MADE:
            break
        if run.tags[tag] == _FAILED:
            return f"the same failed in run {short}: mend what it says, or run it by hand"
        if run.status is dg.DagsterRunStatus.CANCELED:
            return f"run {short} of the same was cancelled: run it by hand when you want it"
        if run.status is dg.DagsterRunStatus.FAILURE:
            if _step_failed(instance, run, stage):
                return f"the same failed in run {short} before it began: mend what it says, or run it by hand"
            deaths.append(short)
    if len(deaths) >= MOST_DEATHS:
        return f"the process of the same run died {len(deaths)} times (last: run {deaths[0]})"
    return None


def _step_failed(instance: dg.DagsterInstance, run: dg.DagsterRun, stage: "Stage") -> bool:
    """Whether the step itself failed, as when an input cannot be loaded; else the process died."""
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return any(entry.step_key == stage.step_name for entry in failures)
