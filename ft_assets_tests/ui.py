"""For the test that drives the UI: a project of its own, its servers as real processes, and a browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from ft_assets.paths import PROJECT

__all__ = ["LOCATION", "browser_page", "prepare_data", "serve", "write_project"]

LOCATION = "ui_project"
# An allowance for a machine that is busy with other things; a server that is ready is not waited for.
READY_SECONDS = 180
END_SECONDS = 60
# A shell's background ignores SIGINT, and so would what it starts: `dagster dev` is ended by it.
HEEDING_SIGINT = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def write_project(folder: Path, tasks: dict[str, dict[str, Any]]) -> Path:
    """Another Dagster project that uses the installed package; `tasks` are attributes by name.

    Returns:
        Its `workspace.yaml`.
    """
    package = folder / LOCATION
    for name, attributes in tasks.items():
        (package / "defs" / name).mkdir(parents=True)
        document = {"type": "ft_assets.FineTuningTask", "attributes": attributes}
        (package / "defs" / name / "defs.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (package / "__init__.py").touch()
    shutil.copy(PROJECT / "ft_assets" / "definitions.py", package)
    project = f'[tool.dg.project]\nroot_module = "{LOCATION}"\ncode_location_name = "{LOCATION}"\n'
    (folder / "pyproject.toml").write_text(f'[tool.dg]\ndirectory_type = "project"\n{project}')
    workspace = (PROJECT / "workspace.yaml").read_text(encoding="utf-8").replace("ft_assets", LOCATION)
    (folder / "workspace.yaml").write_text(workspace, encoding="utf-8")
    return folder / "workspace.yaml"


def prepare_data(data: Path) -> dict[str, str]:
    """A data directory as `make` prepares it, on the files that are fetched already.

    Returns:
        The environment for the project's processes.
    """
    (data / "incoming").mkdir(parents=True)
    (data / "dagster").mkdir()
    (data / "cache").symlink_to(PROJECT / "data" / "cache")
    shutil.copy(PROJECT / "dagster.yaml", data / "dagster")
    reports = _free_port()
    environment = {
        **os.environ,
        "FT_DATA_DIR": str(data),
        "DAGSTER_HOME": str(data / "dagster"),
        "FT_REPORTS_PORT": str(reports),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    limit = ["dagster", "instance", "concurrency", "set", "gpu", "1"]
    subprocess.run(limit, env=environment, check=True, stdout=subprocess.DEVNULL)
    return environment


@contextmanager
def serve(workspace: Path, environment: dict[str, str]) -> Iterator[str]:
    """The UI and the reports on 127.0.0.1 as `make dev` starts them; yields the UI's address.

    Afterwards no process is left that works on the data directory, or the test fails.
    """
    port = str(_free_port())
    dev = ["dagster", "dev", "-w", workspace.name, "-h", "127.0.0.1", "-p", port]
    reports = [sys.executable, "-m", "ft_assets", "reports"]
    try:
        started = [
            _Server(reports, workspace.parent, environment, ready="reports: http"),
            _Server(dev, workspace.parent, environment, ready="Serving dagster-webserver on"),
        ]
        try:
            for server in started:
                server.wait_until_ready()
            _wait_until_it_answers(f"http://127.0.0.1:{port}/server_info")
            yield f"http://127.0.0.1:{port}"
        finally:
            for server in started:
                server.end()
    finally:
        _require_none_left(environment["FT_DATA_DIR"])


@contextmanager
def browser_page(address: str | None = None) -> Iterator[Any]:
    """A page of headless Chromium, from the distribution's packages; the test is skipped where there is none.

    Args:
        address: of the server that is meant where a path alone is given.
    """
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        # In CI a test that did not run must not look like one that passed.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium here: `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        try:
            yield browser.new_page(base_url=address, viewport={"width": 1600, "height": 1000})
        finally:
            browser.close()


class _Server:
    """A process in a group of its own, and what it has printed."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], *, ready: str) -> None:
        self.command = command
        self.printed: list[str] = []
        self._ready = ready
        self._is_ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-c", HEEDING_SIGINT, *command], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.printed.append(line)
            if self._ready in line:
                self._is_ready.set()
        self._is_ready.set()  # it has ended: nothing more to wait for

    def wait_until_ready(self) -> None:
        self._is_ready.wait(READY_SECONDS)
        assert any(self._ready in line for line in self.printed), f"{self.command}: {''.join(self.printed)}"

    def end(self) -> None:
        """As Ctrl-C in a terminal does: the signal goes to the whole group."""
        for ask in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, ask)
                self._process.wait(END_SECONDS)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue
            return


def _wait_until_it_answers(address: str) -> None:
    """The UI says that it serves a moment before it does."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(connect=9, backoff_factor=0.1)))
    session.get(address).raise_for_status()


def _require_none_left(data: str) -> None:
    _, alive = psutil.wait_procs(_processes_on(data), timeout=END_SECONDS)
    left = [" ".join(process.cmdline())[:120] for process in alive if process.is_running()]
    for process in alive:
        process.kill()
    assert not left, f"left over: {left}"


def _processes_on(data: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("FT_DATA_DIR") == data:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
