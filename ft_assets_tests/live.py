"""A running system: the daemon, its code server, runs and workers as real processes over a small task that retrains
whenever its data changes. For tests and benchmarks that kill them."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from ft_assets.artifacts import ArtifactStore
from ft_assets.components.planner import Planner
from ft_assets.components.stage import Task
from ft_assets.task import TaskConfig
from ft_assets_tests.flow import stages_of
from ft_assets_tests.tickets import LABELS, ticket, tickets, write_csv
from ft_assets_tests.ui import LOCATION, prepare_data, write_project

__all__ = ["LiveSystem"]

ROLES = {
    "worker": "ft_assets.worker",
    # The code server spawns a process for each run.
    "run": "multiprocessing.spawn",
    "daemon": "dagster-daemon",
    "code server": "grpc",
}
"""What the command line of a process of each role holds; the first that fits counts."""
SETTLED = 60.0


class LiveSystem:
    """The tickets task with `retrain: on_change`, followed by a daemon.

    Args:
        folder: empty; receives project and data.
        base_model: a tiny one.
        task: name of the task.
    """

    def __init__(self, folder: Path, base_model: Path, task: str = "tickets") -> None:
        self.attributes: dict[str, Any] = {
            "task_type": "text-classification",
            "sources": [{"path": f"incoming/{task}/*.csv"}],
            "columns": {"text": "body", "label": "category", "group": "customer"},
            "labels": LABELS,
            "base_model": str(base_model),
            "training": {"method": "full", "learning_rate": 5e-3, "epochs": 2, "batch_size": 16},
            "evaluation": {"resamples": 200},
            "policy": {"retrain": "on_change"},
        }
        self.workspace = write_project(folder / "project", {task: self.attributes})
        self.environment = prepare_data(folder / "data")
        self.data = folder / "data"
        self.task = Task(
            task, TaskConfig.model_validate(self.attributes), folder / "project" / LOCATION / "defs" / task
        )
        self.dropped = 0
        self._daemon: subprocess.Popen[bytes] | None = None

    def instance(self) -> dg.DagsterInstance:
        """The instance that the processes use; this process's environment must point at it."""
        return dg.DagsterInstance.from_config(str(self.data / "dagster"))

    # --- processes ---

    def start(self) -> None:
        """Start the daemon, which starts the code server and the runs."""
        log = (self.data.parent / "daemon.log").open("ab")
        command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", self.workspace.name]
        self._daemon = subprocess.Popen(
            command,
            cwd=self.workspace.parent,
            env=self.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End everything that works on the data directory."""
        for process in self.processes():
            process.kill()
        psutil.wait_procs(self.processes(), timeout=30)

    def processes(self, role: str | None = None) -> list[psutil.Process]:
        """The processes of the system, or those of one role."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.environ().get("FT_DATA_DIR") != str(self.data):
                    # The worker gets a small environment of its own; its launcher's folder tells it.
                    continue
                command = " ".join(process.cmdline())
                if role is None or role == next(
                    (name for name, part in ROLES.items() if part in command), ""
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        """Workers (and their keepers) of this system: descendants of its runs, or what is left of them."""
        found = []
        for process in psutil.process_iter():
            try:
                if "ft_assets.worker" in " ".join(process.cmdline()) and process.environ().get(
                    "TMPDIR"
                ) == str(self.data.parent):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def kill(self, role: str, draw: random.Random) -> bool:
        """SIGKILL to one process of a role; False if there is none. A killed daemon is started again."""
        victims = self.workers() if role == "worker" else self.processes(role)
        if not victims:
            return False
        victim = draw.choice(victims)
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        if role == "daemon":
            self.start()
        return True

    # --- data ---

    def begin(self, rows: int = 120) -> None:
        """The first file."""
        self._write("tickets.csv", tickets(rows))

    def drop(self, rows: int = 12) -> Path:
        """A new file with new rows in the folder."""
        self.dropped += 1
        first = 10_000 + 1_000 * self.dropped
        return self._write(
            f"more-{self.dropped}.csv", [ticket(LABELS[number % 3], first + number) for number in range(rows)]
        )

    def _write(self, name: str, rows: list[dict[str, str]]) -> Path:
        file = self.data / "incoming" / self.task.name / name
        write_csv(file, rows)
        return file

    # --- what must hold ---

    def due(self, instance: dg.DagsterInstance) -> dict[str, Any]:
        """Assets that are not current, with the reasons."""
        return dict(Planner(instance, {self.task.name: stages_of(self.task)}).plan(self.task.name).due)

    def wait_until_current(self, instance: dg.DagsterInstance, seconds: float) -> float | None:
        """Seconds until everything is current and nothing runs; None if that takes too long."""
        started, deadline = time.monotonic(), time.monotonic() + seconds
        unfinished = dg.RunsFilter(
            statuses=[
                dg.DagsterRunStatus.QUEUED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.CANCELING,
            ]
        )
        while time.monotonic() < deadline:
            if not instance.get_runs(unfinished) and not self.due(instance):
                return time.monotonic() - started
            time.sleep(1)
        return None

    def damage(self) -> list[str]:
        """Artifacts that do not match their manifest, or were set aside as damaged."""
        store = ArtifactStore(self.data / "store", cache=self.data / "cache")
        found = [str(path) for path in (self.data / "store").glob("*/*/damaged/*")]
        for manifest in (self.data / "store" / self.task.name).glob("*/*/manifest.json"):
            asset, version = manifest.parts[-3:-1]
            if asset != "refused" and store.open(self.task.name, asset, version).data_version != version:
                found.append(str(manifest))
        return found

    def slots_held(self, instance: dg.DagsterInstance) -> int:
        return len(instance.event_log_storage.get_concurrency_info("gpu").claimed_slots)
