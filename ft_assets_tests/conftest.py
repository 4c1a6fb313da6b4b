"""Fixtures shared by all tests: the sample's files, a tiny model, and a project of its own for each test."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Nothing that a test starts may phone home or look a thing up on a hub.
os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "DAGSTER_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
# Threads that wait do not spin: torch is loaded in several processes at once on few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import dagster as dg
import pytest
import yaml

from ft_assets.disk import flock
from ft_assets.paths import PROJECT
from ft_assets_tests import quick_sqlite
from ft_assets_tests.tickets import materialize, task, tickets, write_csv
from ft_assets_tests.tiny_models import build_tiny_bert, build_tiny_llama

CACHE = PROJECT / "data" / "cache"
OVERRIDES = {"telemetry": {"enabled": False}}
SAMPLE = PROJECT / "ft_assets" / "defs" / "review_sentiment" / "defs.yaml"


# The files that take longest, first: one that is begun last would keep one core waiting for the other. Two that mostly
# wait themselves, for a daemon, are apart.
LONGEST = (
    "test_ui.py",
    "test_compiling.py",
    "test_live.py",
    "test_tutorial.py",
    "test_processes.py",
    "test_resume.py",
    "test_graph.py",
    "test_crashes.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


def pytest_sessionstart() -> None:
    """Nothing that is loaded with the tests is garbage ..."""
    gc.disable()


def pytest_collection_finish() -> None:
    """... and the collector need not look through it again and again."""
    gc.freeze()
    gc.enable()


quick_sqlite.install()


def copy_package(target: Path, *without: str) -> None:
    """The package with its bytecode, which each process would else compile anew; a name that ends in a number is of a
    file that another process is just writing."""
    shutil.copytree(PROJECT / "ft_assets", target, ignore=shutil.ignore_patterns("*.[0-9]*", *without))


def sample() -> dict[str, Any]:
    """The attributes of the sample task."""
    return yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))["attributes"]


@pytest.fixture(scope="session")
def minilm_dir() -> Path:
    """The base model of the sample task."""
    from ft_assets.sources import resolve_model

    return resolve_model(sample()["base_model"], cache=CACHE, base=PROJECT / "data")


@pytest.fixture(scope="session")
def reviews_file() -> Path:
    """The data of the sample task, as it stands in its package."""
    from ft_assets.sources import resolve

    return resolve(sample()["sources"][0]["path"], cache=CACHE, base=PROJECT / "data")[0].path


@pytest.fixture(scope="session")
def tiny_bert_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of two layers with a tokenizer of some hundred words."""
    return once(tmp_path_factory, "tiny_bert", build_tiny_bert)


@pytest.fixture(scope="session")
def tiny_llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a chat template, that reads bytes."""
    return once(tmp_path_factory, "tiny_llama", build_tiny_llama)


@pytest.fixture(scope="session")
def dagster_home_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an instance in which nothing has happened: making its tables anew takes a third of a second."""

    def make(home: Path) -> None:
        with dg.DagsterInstance.local_temp(str(home), overrides=OVERRIDES):
            pass
        quick_sqlite.close_files()

    return once(tmp_path_factory, "dagster_home", make)


@pytest.fixture
def project_data(dagster_home_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own: `incoming/`, `store/`, and Dagster's home."""
    data = tmp_path / "data"
    (data / "incoming").mkdir(parents=True)
    shutil.copytree(dagster_home_once, data / "dagster")
    use_data(data, monkeypatch)
    return data


@pytest.fixture
def instance(project_data: Path) -> Iterator[dg.DagsterInstance]:
    """A real Dagster instance (SQLite) in the test's own directory."""
    with open_instance(project_data) as made:
        yield made


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, tiny_bert_dir: Path) -> Path:
    """A data directory in which the tickets task has been materialised: the one full run that many tests share."""

    def make(data: Path) -> None:
        write_csv(data / "incoming" / "tickets" / "tickets.csv", tickets())
        with used(data) as instance:
            materialize(instance, task(tiny_bert_dir))

    return once(tmp_path_factory, "trained", make)


@pytest.fixture
def trained(
    trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance and a data directory (`FT_DATA_DIR`) of the test's own, with the tickets task materialised."""
    data = tmp_path / "data"
    shutil.copytree(trained_once, data)
    use_data(data, monkeypatch)
    with open_instance(data) as made:
        yield made


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is not to be changed, made once: by whichever process of xdist's comes first, for all of them."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with flock(base / f"{name}.lock"):
        if not (base / name).exists():
            folder = factory.mktemp(name)
            make(folder)
            folder.rename(base / name)
    return base / name


def use_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the project at a data directory."""
    monkeypatch.setenv("FT_DATA_DIR", str(data))
    monkeypatch.setenv("DAGSTER_HOME", str(data / "dagster"))


@contextmanager
def open_instance(data: Path) -> Iterator[dg.DagsterInstance]:
    """The SQLite instance below a data directory."""
    with dg.DagsterInstance.local_temp(str(data / "dagster"), overrides=OVERRIDES) as instance:
        yield instance
    quick_sqlite.close_files()


@contextmanager
def used(data: Path) -> Iterator[dg.DagsterInstance]:
    """The same, with the project pointed at that directory meanwhile."""
    (data / "dagster").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        use_data(data, patch)
        with open_instance(data) as instance:
            yield instance
