"""Drives the sensor that follows changes: a tick, and the runs that it asks for."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ft_assets.components.fine_tuning_task import build_stages
from ft_assets.components.planner import build_sensor
from ft_assets.components.stage import Stage, Task
from ft_assets_tests.chain import Chain
from ft_assets_tests.tickets import definitions

__all__ = ["Flow", "stages_of"]


def stages_of(task: Task) -> list[Stage]:
    """The stages of a task, upstream first."""
    return [stage for stages in build_stages(task) for stage in stages]


class Flow:
    """One task on an instance, with the sensor between its runs."""

    def __init__(self, instance: dg.DagsterInstance, made_of: Task | Chain) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.use(made_of)

    def use(self, made_of: Task | Chain) -> None:
        """Go on with another configuration, as after the code location was loaded again."""
        if isinstance(made_of, Task):
            self.definitions = definitions(made_of)
            self.sensor = build_sensor({made_of.name: stages_of(made_of)})
        else:
            self.definitions = made_of.definitions()
            self.sensor = build_sensor({made_of.task.name: made_of.stages()})

    def look(self) -> tuple[list[dg.RunRequest], str]:
        """One tick: the runs that it asks for, and what it says about those that wait."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.definitions
        ) as context:
            found: Any = self.sensor(context)
        self.cursor = found.cursor
        told = [
            f"{event.asset_key.path[-1]} waits: {event.metadata['waits_because'].value}"
            for event in found.asset_events
        ]
        if found.skip_reason is not None:
            told.append(str(found.skip_reason.skip_message))
        return list(found.run_requests or ()), "\n".join(told)

    def carry_out(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that a tick has asked for, as the daemon would launch it."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection or ()),
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def settle(self, most: int = 5) -> list[list[str]]:
        """Tick and run until nothing more is asked for; gives the assets of each run."""
        runs: list[list[str]] = []
        for _ in range(most):
            requests, _told = self.look()
            if not requests:
                return runs
            for request in requests:
                runs.append(names(request.asset_selection or ()))
                self.carry_out(request)
        raise AssertionError(f"it does not come to rest: {runs}")


def names(keys: Sequence[dg.AssetKey]) -> list[str]:
    return [key.path[-1] for key in keys]
