"""The local launcher: the worker as a group of processes on this machine, its messages through
dagster-pipes."""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from ft_assets.compute.process import WorkerStopped, attend_worker, check_end, worker_environment
from ft_assets.worker.work_order import WorkOrder

__all__ = ["LocalLauncher", "run_is_over"]

_OVER = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE}


class LocalLauncher(dg.ConfigurableResource):
    """Runs work orders on this machine. Another launcher has the same `run`."""

    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables for the worker, beside the few that it always gets.",
    )

    def run(
        self,
        context: dg.AssetExecutionContext,
        work_order: WorkOrder,
        *,
        on_message: Callable[[dict[str, Any]], None],
        work_dir: Path | None = None,
    ) -> dict[str, Any]:
        """Carry out a work order and follow it until it ends.

        Args:
            context: of the step; its run's status is looked at every five seconds, so that a run that was
                only marked as cancelled ends, too.
            work_order: what to do; its `output` must exist.
            on_message: receives each message of the worker, live, in this thread: the step may log
            observations. work_dir: where the work order is written; None: a temporary directory.

        Returns:
            The content of training.json or prediction.json.

        Raises:
            UserError: something the user can mend.
            WorkerCrashed: the worker failed in another way.
            dagster.Failure: the run was cancelled.
        """
        with tempfile.TemporaryDirectory(prefix="ft_assets-", dir=work_dir) as folder:
            self._attend(context, work_order.write(Path(folder) / "work_order.json"), on_message)
        name = {"train": "training.json", "predict": "prediction.json"}[work_order.kind]
        result: dict[str, Any] = json.loads((Path(work_order.output) / name).read_text(encoding="utf-8"))
        return result

    def _attend(
        self, context: dg.AssetExecutionContext, order: Path, on_message: Callable[[dict[str, Any]], None]
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
                end = attend_worker(
                    order,
                    env=worker_environment({**self.environment, **session.get_bootstrap_env_vars()}),
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
