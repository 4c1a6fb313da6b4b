"""Sources that are for one split, in the graph of a task."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import ArtifactStore
from ft_assets.components.stage import Task
from ft_assets.data.ledger import golden
from ft_assets.data.ledger.chain import Ledger
from ft_assets.paths import data_dir, ledger_dir, store_root
from ft_assets_tests.runs import current, description
from ft_assets_tests.tickets import materialize, task, tickets, write_csv

SPLITS = ("train_split", "validation_split", "test_split")
DATA = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)
GOLDEN = "incoming/golden.csv"


def with_golden(folder: Path, **changes: Any) -> Task:
    """The tickets, and a file of some that are the test set."""
    sources = [{"path": "incoming/tickets/*.csv"}, {"path": GOLDEN, "name": "golden", "split": "test"}]
    columns = {"text": "body", "label": "category"}
    return task(folder, sources=sources, columns=columns, splits={"test": 0, "validation": 0.2}, **changes)


def write(name: str, rows: list[dict[str, str]]) -> None:
    write_csv(data_dir() / name, rows)


def texts(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    store, now = ArtifactStore(store_root()), current(instance)
    return {split: store.open("tickets", split, now[split]).table()["text"].to_pylist() for split in SPLITS}


def test_the_golden_file_is_the_test_split_and_its_texts_are_in_no_other(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    known = tickets(30)
    write(GOLDEN, known)
    write("incoming/tickets/a.csv", [*tickets(90)[30:], *known[:3]])
    materialize(instance, with_golden(tmp_path), *DATA)
    found = texts(instance)
    assert sorted(found["test_split"]) == sorted(row["body"] for row in known)
    assert {split: len(each) for split, each in found.items()} == {
        "train_split": 48, "validation_split": 12, "test_split": 30
    }  # fmt: skip


def test_a_golden_row_that_was_drawn_for_another_split_before_is_quarantined(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    write("incoming/tickets/a.csv", tickets(90))
    made = with_golden(tmp_path)
    materialize(instance, task(tmp_path, columns={"text": "body", "label": "category"}), *DATA)
    learnt, kept = texts(instance)["train_split"], texts(instance)["test_split"]
    rows = tickets(120)
    write(GOLDEN, [row for row in rows if row["body"] == learnt[0]] + rows[90:100])
    materialize(instance, made, *DATA)
    found = texts(instance)
    assert [name for name, each in found.items() if learnt[0] in each] == ["train_split"]
    assert sorted(found["test_split"]) == sorted([*kept, *(row["body"] for row in rows[90:100])])
    refused = ArtifactStore(store_root()).open("tickets", "train_split", current(instance)["train_split"])
    (row,) = refused.table("quarantine").to_pylist()
    assert row["reason"] == "the row was recorded in train, and its source is for test"


def test_a_locked_golden_set_keeps_rows_that_are_added_to_its_file_out_and_misses_those_that_go(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    made, known = with_golden(tmp_path), tickets(30)
    write(GOLDEN, known)
    write("incoming/tickets/a.csv", tickets(90)[30:])
    materialize(instance, made, *DATA)
    version = current(instance)["test_split"]
    ledger = Ledger.open(ledger_dir("tickets"))
    assert ledger is not None
    table = ArtifactStore(store_root()).open("tickets", "test_split", version).table()
    golden.lock(ledger, table, version, datetime.now(UTC))
    write(GOLDEN, [*known, *tickets(95)[90:]])
    materialize(instance, made, *DATA)
    assert len(texts(instance)["test_split"]) == 30
    write(GOLDEN, known[1:])
    told = description(materialize(instance, made, *DATA, raise_on_error=False))
    assert "1 missing, of 30 locked rows" in told
