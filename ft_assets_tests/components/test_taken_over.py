"""Files that are as they were are not read again; whatever speaks against it reads all."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.data import readers
from ft_assets.paths import store_root
from ft_assets.removal import suppressed
from ft_assets_tests.runs import current
from ft_assets_tests.tickets import materialize, task, ticket, tickets, write_csv

MADE = task(Path())


@pytest.fixture
def incoming(project_data: Path) -> Path:
    folder = project_data / "incoming" / "tickets"
    write_csv(folder / "a.csv", tickets(30))
    write_csv(folder / "b.csv", tickets(60)[30:])
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Receives the name of each file that is read."""
    names: list[str] = []
    inner = readers._read_file
    monkeypatch.setattr(
        readers, "_read_file", lambda file, *rest: (names.append(file.name), inner(file, *rest))[1]
    )
    return names


def add(incoming: Path) -> None:
    write_csv(incoming / "c.csv", [ticket("billing", 99), tickets(1)[0]])


def test_a_new_file_is_read_and_the_others_are_not(
    instance: dg.DagsterInstance, incoming: Path, read: list[str]
) -> None:
    materialize(instance, MADE, "raw_examples")
    assert read == ["a.csv", "b.csv"]
    read.clear()
    add(incoming)
    materialize(instance, MADE, "raw_examples")
    assert read == ["c.csv"]
    made = current(instance)
    # The same as if all had been read.
    materialize(instance, MADE, "raw_examples", config={"raw_examples": {"force": True}})
    assert read == ["c.csv", "a.csv", "b.csv", "c.csv"] and current(instance) == made


def damage(incoming: Path, instance: dg.DagsterInstance) -> None:
    place = Path(store_root()) / "tickets" / "raw_examples" / current(instance)["raw_examples"]
    with (place / "examples.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xff")


def erase(incoming: Path, instance: dg.DagsterInstance) -> None:
    suppressed.add("tickets", ["0123456789abcdef"], reason="a test", at="2026-01-01T00:00:00+00:00")


def change(incoming: Path, instance: dg.DagsterInstance) -> None:
    write_csv(incoming / "a.csv", tickets(29))


@pytest.mark.parametrize("meanwhile", [damage, erase, change])
def test_all_is_read_where_what_was_read_does_not_hold(
    instance: dg.DagsterInstance,
    incoming: Path,
    read: list[str],
    meanwhile: Callable[[Path, dg.DagsterInstance], None],
) -> None:
    materialize(instance, MADE, "raw_examples")
    meanwhile(incoming, instance)
    read.clear()
    add(incoming)
    materialize(instance, MADE, "raw_examples")
    assert read == ["a.csv", "b.csv", "c.csv"]


def test_all_is_read_as_another_setting_says(
    instance: dg.DagsterInstance, incoming: Path, read: list[str]
) -> None:
    materialize(instance, MADE, "raw_examples")
    read.clear()
    other = task(Path(), columns={"text": "body", "label": "category"})
    materialize(instance, other, "raw_examples")
    assert read == ["a.csv", "b.csv"]
