"""Fixtures shared by all tests: the sample's files, a tiny model, and a project of its own for each test."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

# Nothing that a test starts may phone home or look a thing up on a hub.
os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "DAGSTER_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
# Threads that wait do not spin: torch is loaded in several processes at once on few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import dagster as dg
import pytest
import yaml
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from ft_assets.paths import PROJECT
from ft_assets_tests.tickets import materialize, task, tickets, write_csv
from ft_assets_tests.tiny_models import build_tiny_bert, build_tiny_llama

CACHE = PROJECT / "data" / "cache"
SAMPLE = PROJECT / "ft_assets" / "defs" / "review_sentiment" / "defs.yaml"


# The files that take longest, first: one that is begun last would keep one core waiting for the other.
LONGEST = (
    "test_ui.py",
    "test_live.py",
    "test_compiling.py",
    "test_tutorial.py",
    "test_processes.py",
    "test_resume.py",
    "test_graph.py",
    "test_crashes.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    """Dagster commits some thousand times in a run, and SQLite has the disk confirm each time: half of the time of a
    test. What is written is seen at once all the same, and outlives any process; only a power cut could lose it."""
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):  # a file that is none: whoever asks it something is told
            connection.execute("PRAGMA synchronous=OFF")


@lru_cache(maxsize=16)
def _engine(url: str, poolclass: Any, connect_args: tuple[tuple[str, Any], ...]) -> Engine:
    return create_engine(url, poolclass=poolclass, connect_args=dict(connect_args))


def _same_engine(url: str, *, poolclass: Any, connect_args: Any = ()) -> Engine:
    """What Dagster's SQLite storages make anew for each statement, and compile the statement for: a quarter of a run's
    work. An engine of theirs (`NullPool`) holds no connection."""
    return _engine(url, poolclass, tuple(dict(connect_args).items()))


for storage in (sqlite_event_log, sqlite_run_storage):
    storage.create_engine = _same_engine


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
    return build_tiny_bert(tmp_path_factory.mktemp("models") / "tiny_bert")


@pytest.fixture(scope="session")
def tiny_llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a chat template, that reads bytes."""
    return build_tiny_llama(tmp_path_factory.mktemp("models") / "tiny_llama")


@pytest.fixture
def project_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own: `incoming/`, `store/`, and Dagster's home."""
    data = tmp_path / "data"
    (data / "incoming").mkdir(parents=True)
    (data / "dagster").mkdir()
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
    data = tmp_path_factory.mktemp("trained") / "data"
    (data / "dagster").mkdir(parents=True)
    write_csv(data / "incoming" / "tickets" / "tickets.csv", tickets())
    with pytest.MonkeyPatch.context() as patch, open_instance(data) as made:
        use_data(data, patch)
        materialize(made, task(tiny_bert_dir))
    return data


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


def use_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the project at a data directory."""
    monkeypatch.setenv("FT_DATA_DIR", str(data))
    monkeypatch.setenv("DAGSTER_HOME", str(data / "dagster"))


def open_instance(data: Path) -> dg.DagsterInstance:
    """The SQLite instance below a data directory."""
    return dg.DagsterInstance.local_temp(str(data / "dagster"), overrides={"telemetry": {"enabled": False}})
