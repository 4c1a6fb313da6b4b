"""Data directories of a benchmark's own, with what a sample task has published there; processes that are measured."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ft_assets.artifacts import Artifact, ArtifactStore

ROOT = Path(__file__).resolve().parent.parent

__all__ = ["data_environment", "data_of", "latest", "measured", "run"]


def data_of(task: str, folder: Path) -> Path:
    """A data directory in which the data of a sample task and its base model have been made."""
    data = folder / "data"
    environment = data_environment(data)
    run(["-m", "dagster", "instance", "concurrency", "set", "gpu", "1"], environment)
    run(["-W", "ignore", "-m", "ft_assets", "materialize", task, "--data"], environment)
    return data


def data_environment(data: Path) -> dict[str, str]:
    """A data directory of its own, over the cache of the checkout; compiled modules are kept, as they usually are."""
    (data / "dagster").mkdir(parents=True)
    cache = Path(os.environ.get("FT_DATA_DIR", ROOT / "data")) / "cache"
    (data / "cache").symlink_to(cache.resolve())
    shutil.copy(ROOT / "dagster.yaml", data / "dagster")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    changes = {
        "FT_DATA_DIR": str(data),
        "DAGSTER_HOME": str(data / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    os.environ |= changes
    return environment | changes


def run(arguments: list[str], environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Wall seconds and output of a Python command. Raises if it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - started, done.stdout


def measured(module: str, arguments: list[str]) -> int:
    """Peak memory (KiB, of the process by itself, as the kernel accounts for it) of `python -m MODULE`."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, *arguments], cwd=ROOT, stdout=log, stderr=log
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            raise RuntimeError(f"{module} failed:\n{log.read().decode()[-4000:]}")
    return usage.ru_maxrss


def latest(data: Path, task: str, asset: str) -> Artifact:
    """The one artifact of an asset that has been published."""
    store = ArtifactStore(data / "store", cache=data / "cache")
    [manifest] = (data / "store" / task / asset).glob("*/manifest.json")
    return store.open(task, asset, manifest.parent.name)
