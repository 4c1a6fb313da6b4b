"""Runs whose process is gone without a word (killed, or the machine went down), brought to their end.

Such a run would stay STARTED for ever, and hold its place in the queue and its slot in the pool, so that the next
training waits without end. Dagster sees it only where the code server has outlived the run.
"""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

__all__ = ["PROCESS_TAG", "end_dead_runs", "process_tags", "sensor"]

PROCESS_TAG = "ft_assets/process"
"""Tag of a run that a command of ours executes by itself: host, process id and start of its process."""
_SERVER_TAG = ".dagster/grpc_info"
"""Tag of a run that a code server has started: how to reach the server."""
_LIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_ANSWER_SECONDS = 2.0


def process_tags() -> dict[str, str]:
    """The tags for a run that this process is about to execute; the daemon cannot launch such a run again."""
    process = f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"
    return {PROCESS_TAG: process, "dagster/max_retries": "0"}


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process on this machine is gone, and free their slots; returns their ids."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_LIVE)):
        if _is_dead(instance, run):
            instance.report_run_failed(
                run,
                "The process of this run is gone: it was killed, or the machine went down. Nothing half-made was "
                "published; run it again, and what was finished is reused.",
            )
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


@dg.sensor(
    name="end_dead_runs",
    description="Marks runs as failed whose process is gone, so that they hold no slot. Starts no run.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    ended = end_dead_runs(context.instance)
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every live run has its process")


def _is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if PROCESS_TAG in run.tags:
        host, process, started = run.tags[PROCESS_TAG].split()
        return host == socket.gethostname() and _started(int(process)) != started
    if _SERVER_TAG not in run.tags or _answers(json.loads(run.tags[_SERVER_TAG])):
        return False
    # A run goes on when its server alone has died. Its number may mean another process by now: then it waits longer.
    return not any(map(_runs, _processes(instance, run)))


def _processes(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[int]:
    """The process ids that Dagster has noted in the run's log."""
    notes = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    found = (note.dagster_event.engine_event_data.metadata.get("pid") for note in notes if note.dagster_event)
    return {int(str(process.value)) for process in found if process is not None}


def _started(process: int) -> str:
    """When a process was started, in ticks since the machine was; "-" where there is none, and where no Linux tells."""
    try:
        # The name in the second field may hold anything, parentheses included.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "-" if Path("/proc/self/stat").exists() or not _runs(process) else "runs"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _answers(server: Mapping[str, str]) -> bool:
    """Whether a code server of this machine still listens; one of another machine is not judged."""
    if server.get("host") not in ("localhost", "127.0.0.1"):
        return True
    by_file = "socket" in server
    with socket.socket(socket.AF_UNIX if by_file else socket.AF_INET) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(server["socket"] if by_file else ("127.0.0.1", int(server["port"])))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
