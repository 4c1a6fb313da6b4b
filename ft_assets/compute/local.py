"""The local launcher: the worker as a group of processes on this machine, its messages through
dagster-pipes."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from ft_assets.compute.process import (
    WorkerProcess,
    WorkerStopped,
    check_end,
    worker_command,
    worker_environment,
)
from ft_assets.worker.work_order import RESULT_FILES, Kind, WorkOrder

__all__ = ["LocalLauncher", "run_is_over"]

_ORDER = "work_order.json"
# Longer than the libraries take to load on a slow machine: it does not matter when the worker waits.
_AHEAD_SECONDS = 30.0
_OVER = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE}


@dataclass
class _Worker:
    """A worker that loads its libraries, or waits for its order."""

    folder: tempfile.TemporaryDirectory[str]
    process: WorkerProcess

    def begin(self, environment: Mapping[str, str]) -> WorkerProcess:
        self.process.begin(environment)
        return self.process

    def dismiss(self) -> None:
        self.process.end()
        self.folder.cleanup()


@dataclass
class _Together:
    """Several processes under torchrun, which start with their order."""

    folder: tempfile.TemporaryDirectory[str]
    processes: int
    environment: dict[str, str]
    process: WorkerProcess | None = None

    def begin(self, environment: Mapping[str, str]) -> WorkerProcess:
        order = Path(self.folder.name) / _ORDER
        self.process = WorkerProcess(
            order,
            env=self.environment | dict(environment),
            command=worker_command(order, processes=self.processes),
        )
        return self.process

    def dismiss(self) -> None:
        if self.process is not None:
            self.process.end()
        self.folder.cleanup()


class LocalLauncher(dg.ConfigurableResource):
    """Runs work orders on this machine. Another launcher has the same `run` and `make_ready`."""

    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables for the worker, beside the few that it always gets.",
    )
    work_dir: str | None = Field(
        default=None,
        description="Where work orders are written; by default the system's temporary directory.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="How many processes train one model together, each on a GPU of its own where there are GPUs.",
    )
    _ready: _Worker | None = PrivateAttr(default=None)

    def make_ready(self, kind: Kind, task_type: str) -> None:
        """Start a worker ahead of its order, if none waits: loading the libraries takes seconds.

        It can carry out any order; what this kind of work needs is loaded at once. One that nobody needed is ended
        with the run. Processes that train together start with their order.
        """
        if self._trains_together(kind):
            return
        if self._ready is not None and not self._ready.process.is_running:
            self._dismiss()
        if self._ready is None:
            folder = tempfile.TemporaryDirectory(prefix="ft_assets-", dir=self.work_dir)
            process = WorkerProcess(
                Path(folder.name) / _ORDER,
                env=worker_environment(self.environment),
                stand_by=(kind, task_type),
            )
            self._ready = _Worker(folder, process)

    def _trains_together(self, kind: Kind) -> bool:
        return kind == "train" and self.processes > 1

    def _worker(self, kind: Kind, task_type: str) -> _Worker | _Together:
        """Who carries out an order of this kind."""
        if self._trains_together(kind):
            folder = tempfile.TemporaryDirectory(prefix="ft_assets-", dir=self.work_dir)
            return _Together(folder, self.processes, worker_environment(self.environment))
        self.make_ready(kind, task_type)
        worker, self._ready = self._ready, None
        assert worker is not None  # noqa: S101 - it has just been made
        return worker

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """At the end of the run."""
        self._dismiss()

    def _dismiss(self) -> None:
        if self._ready is not None:
            self._ready.dismiss()
            self._ready = None

    def run(
        self,
        context: dg.AssetExecutionContext,
        work_order: WorkOrder,
        *,
        on_message: Callable[[dict[str, Any]], None],
        then: Kind | None = None,
    ) -> dict[str, Any]:
        """Carry out a work order and follow it until it ends.

        Args:
            context: of the step; its run's status is looked at every five seconds, so that a run that was
                only marked as cancelled ends, too.
            work_order: what to do; its `output` must exist.
            on_message: receives each message of the worker, live, in this thread: the step may log observations.
            then: the kind of work that follows in the same run; its worker is made ready in good time.

        Returns:
            The content of the result's file (`RESULT_FILES`).

        Raises:
            UserError: something the user can mend.
            WorkerCrashed: the worker failed in another way.
            dagster.Failure: the run was cancelled.
        """
        worker = self._worker(work_order.kind, work_order.task_type)

        def take(message: dict[str, Any]) -> None:
            if then is not None and message.get("seconds_left", _AHEAD_SECONDS) < _AHEAD_SECONDS:
                self.make_ready(then, work_order.task_type)
            on_message(message)

        try:
            work_order.write(Path(worker.folder.name) / _ORDER)
            self._attend(context, worker, take)
        finally:
            worker.dismiss()
        result: dict[str, Any] = json.loads(
            (Path(work_order.output) / RESULT_FILES[work_order.kind]).read_text(encoding="utf-8")
        )
        return result

    def _attend(
        self,
        context: dg.AssetExecutionContext,
        worker: _Worker | _Together,
        on_message: Callable[[dict[str, Any]], None],
    ) -> None:
        errors: list[dict[str, Any]] = []
        seen = 0

        def pass_messages_on() -> None:
            nonlocal seen
            messages = session.get_custom_messages()
            for message in messages[seen:]:
                seen += 1
                if message["kind"] == "error":
                    errors.append(message)
                on_message(message)

        with dg.open_pipes_session(
            context, dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
        ) as session:
            try:
                end = worker.begin(session.get_bootstrap_env_vars()).attend(
                    on_line=_to_compute_log,
                    each_look=pass_messages_on,
                    should_stop=lambda: run_is_over(context),
                )
            except WorkerStopped as stopped:
                raise dg.Failure(str(stopped), allow_retries=False) from stopped
        pass_messages_on()  # the session has read all that was left
        check_end(end, errors[-1] if errors else None)


def _to_compute_log(stream: str, line: str) -> None:
    """Into the step's own output, which Dagster keeps as the compute log of the step."""
    print(line, file=sys.stdout if stream == "stdout" else sys.stderr)


def run_is_over(context: dg.AssetExecutionContext) -> bool:
    """Whether somebody has cancelled the run, or marked it as cancelled or failed, while its step goes on."""
    run = context.instance.get_run_by_id(context.run_id)
    return run is not None and run.status in _OVER
