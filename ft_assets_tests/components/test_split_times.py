"""Splits by time in the graph of a task: boundaries that hold, and what breaks them is told."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.components.split_times import outcomes
from ft_assets.components.stage import Task
from ft_assets.data.ledger.archive import reset
from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.ledger.periods import Boundaries
from ft_assets.paths import data_dir, ledger_dir, store_root
from ft_assets_tests.runs import current, description, failed_checks
from ft_assets_tests.tickets import materialize, task, tickets, write_csv

SPLITS = ("train_split", "validation_split", "test_split")
DATA = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)
COLUMNS = {"text": "body", "label": "category", "time": "day"}


@pytest.fixture
def by_time(tmp_path: Path) -> Task:
    return timed(tmp_path, by="time")


def timed(folder: Path, **splits: Any) -> Task:
    """The tickets, each of a day of its own; their groups are left out."""
    return task(folder, columns=COLUMNS, splits=splits)


def write_days(first: int, rows: int, name: str = "tickets") -> None:
    """Tickets from this day of 2026 on."""
    lines = tickets(first + rows)[first:]
    days = [date(2026, 1, 1) + timedelta(days=first + place) for place in range(rows)]
    lines = [line | {"day": day.isoformat()} for line, day in zip(lines, days, strict=True)]
    write_csv(data_dir() / "incoming" / "tickets" / f"{name}.csv", lines)


def sizes(instance: dg.DagsterInstance) -> list[int]:
    store, now = ArtifactStore(store_root()), current(instance)
    return [store.open("tickets", split, now[split]).table().num_rows for split in SPLITS]


def test_what_comes_later_is_for_test_and_the_boundaries_are_recorded(
    instance: dg.DagsterInstance, by_time: Task
) -> None:
    write_days(0, 100)
    materialize(instance, by_time, *DATA)
    assert sizes(instance) == [70, 15, 15]
    train = current(instance)["train_split"]
    write_days(100, 20, "more")
    materialize(instance, by_time, *DATA)
    assert sizes(instance) == [70, 15, 35]
    assert current(instance)["train_split"] == train  # nothing is trained again
    ledger = Ledger.open(ledger_dir("tickets"))
    assert ledger is not None
    assert [segment.record["boundaries"]["test_from"][:10] for segment in ledger.segments] == [
        "2026-03-27"
    ] * 2


def test_boundaries_outlive_the_ledger_as_the_splits_do(instance: dg.DagsterInstance, by_time: Task) -> None:
    write_days(0, 100)
    materialize(instance, by_time, *DATA)
    shutil.rmtree(ledger_dir("tickets"))
    write_days(100, 20, "more")
    materialize(instance, by_time, *DATA)
    assert sizes(instance) == [70, 15, 35]


def test_other_boundaries_stop_the_splits_until_the_ledger_is_reset(
    instance: dg.DagsterInstance, by_time: Task, tmp_path: Path
) -> None:
    write_days(0, 100)
    materialize(instance, by_time, *DATA)
    other = timed(tmp_path, by="time", validation_from="2026-02-01", test_from="2026-03-01")
    told = description(materialize(instance, other, *DATA, raise_on_error=False))
    assert "rows were dealt by other boundaries" in told and "ledger reset" in told
    reset("tickets")
    materialize(instance, other, *DATA)
    assert sizes(instance) == [31, 28, 41]  # January, February, and what is left of 100 days


def test_rows_that_were_drawn_before_splits_went_by_time_stay_and_are_counted(
    instance: dg.DagsterInstance, by_time: Task, tmp_path: Path
) -> None:
    write_days(0, 100)
    materialize(instance, timed(tmp_path), *DATA)
    write_days(100, 20, "more")
    result = materialize(instance, by_time, *DATA)
    assert sizes(instance)[0] == 70
    warned = {name: severity for name, severity in failed_checks(result).items() if "time" in name}
    # Of 120 days the last 18 are for test, and the 18 before them for validation.
    assert warned == {"train_split: recorded_rows_in_time": "WARN"}


def test_a_row_of_a_later_time_that_comes_into_train_is_critical() -> None:
    labelled = pa.table(
        {
            "example_id": ["00000000000000aa", "00000000000000bb"],
            "time": pa.array([100, 99], pa.timestamp("us", "UTC")),
            "split": pa.array([None, None], pa.string()),
        }
    )
    respected, recorded = outcomes("train", labelled, labelled, Boundaries(100, 200), Entries.none())
    assert (respected.passed, respected.severity, respected.example_ids) == (
        False, "critical", ["00000000000000aa"]
    )  # fmt: skip
    assert recorded.passed
    assert all(
        each.passed
        for each in outcomes("validation", labelled, labelled, Boundaries(100, 200), Entries.none())
    )
