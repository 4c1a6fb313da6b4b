"""A task of two files whose data stages and quarantine have been made: once, and copied for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.components.stage import Task
from ft_assets_tests.conftest import once, open_instance, use_data, used
from ft_assets_tests.tickets import ASSETS, materialize, task, ticket, tickets, write_csv


@pytest.fixture(scope="session")
def two_files_once(tmp_path_factory: pytest.TempPathFactory, tiny_bert_dir: Path) -> Path:
    rows = [ticket("billing", number) for number in range(900, 912)]

    def make(data: Path) -> None:
        write_csv(data / "incoming" / "tickets" / "a.csv", tickets(150))
        write_csv(data / "incoming" / "tickets" / "b.csv", rows)
        with used(data) as instance:
            materialize(instance, task(tiny_bert_dir), *ASSETS[:7])

    return once(tmp_path_factory, "two_files", make)


@pytest.fixture
def incoming(two_files_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the two files, `a.csv` and `b.csv`, in a data directory of the test's own."""
    data = tmp_path / "data"
    shutil.copytree(two_files_once, data)
    use_data(data, monkeypatch)
    return data / "incoming" / "tickets"


@pytest.fixture
def instance(incoming: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(incoming.parent.parent) as made:
        yield made


@pytest.fixture
def made(incoming: Path, tiny_bert_dir: Path) -> Task:
    return task(tiny_bert_dir)
