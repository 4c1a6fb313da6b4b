"""A store with a history: the tickets task was trained, then a second file came, and it was trained again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ft_assets_tests.conftest import once, open_instance, use_data, used
from ft_assets_tests.tickets import materialize, task, ticket, write_csv

HOSTILE_FILE = "~<img src=x onerror=alert(1)> \x1b[31m\u202e.csv"
HOSTILE = "~<img src=x onerror=alert(1)> \\x1b[31m\u202e.csv"
"""The same as it is recorded: control characters of a name are escaped."""
"""A name that would act on a page, and on a terminal. It is read after the first file: of equal rows the first one has
the id that it had before."""

SAME = ticket("billing", 0)
CONFLICTING = ticket("delivery", 1) | {"category": "billing"}
UNEVEN = {
    "body": "my  invoice\x07 was wrong, write to ann@example.org",
    "category": "billing",
    "customer": "ann",
}
EMPTY = {"body": " ", "category": "billing", "customer": "customer 3"}
SECOND = [SAME, CONFLICTING, UNEVEN, EMPTY, *(ticket("technical", number) for number in range(500, 530))]


@pytest.fixture(scope="session")
def history_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory, tiny_bert_dir: Path) -> Path:
    """The data directory; it is not to be changed."""

    def make(data: Path) -> None:
        shutil.copytree(trained_once, data, dirs_exist_ok=True)
        write_csv(data / "incoming" / "tickets" / HOSTILE_FILE, SECOND)
        with used(data) as instance:
            materialize(instance, task(tiny_bert_dir))

    return once(tmp_path_factory, "history", make)


@pytest.fixture
def store(history_once: Path) -> Path:
    """The store with the history; it is not to be changed."""
    return history_once / "store"


@pytest.fixture
def history(
    history_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance and a data directory of the test's own, with the same."""
    data = tmp_path / "data"
    shutil.copytree(history_once, data)
    use_data(data, monkeypatch)
    with open_instance(data) as instance:
        yield instance
