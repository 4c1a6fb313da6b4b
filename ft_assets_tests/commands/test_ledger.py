"""`ledger`: what it tells, and that nothing is replaced or drawn anew unless that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from ft_assets import disk
from ft_assets.cli import main
from ft_assets.commands.ledger import export_ledger, reset_ledger, restore_ledger, show_ledger
from ft_assets.components.stage import Task
from ft_assets.data.ledger.archive import put_aside
from ft_assets.data.ledger.chain import Ledger, lock
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir
from ft_assets_tests.data.ledger.helpers import Row
from ft_assets_tests.data.ledger.test_chain import appended, flip, opened
from ft_assets_tests.tickets import task


@pytest.fixture
def tasks(project_data: Path, tmp_path: Path) -> dict[str, Task]:
    """The tickets task, with a ledger of three rows and one group."""
    appended(Ledger.create(ledger_dir("tickets")), Row(1, 10), Row(2, 20, group=7), Row(3, 30, group=7))
    return {"tickets": task(tmp_path)}


def segments() -> int:
    return len(opened(ledger_dir("tickets")).segments)


def test_show_tells_rows_by_split_and_what_was_recorded_when(
    tasks: dict[str, Task], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "show", "tickets"]) == 0
    told = capsys.readouterr().out
    assert "3 rows: " in told and " in train, " in told and "1 groups" in told
    assert "2026-01-02T03:04:05+00:00  4 stratified" in told
    assert "evaluations that have read the test set: 0" in told


def test_show_of_a_task_without_a_ledger_names_those_that_have_one(
    tasks: dict[str, Task], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "show", "other"]) == 1
    assert "tasks with a ledger: tickets" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../tickets", "a/b", ""])
def test_a_name_that_leads_elsewhere_is_no_task(tasks: dict[str, Task], name: str) -> None:
    with pytest.raises(UserError, match="no name for a task"):
        show_ledger(name)


def test_export_and_restore_go_round(
    tasks: dict[str, Task], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_ledger("tickets", tmp_path / "kept.tar")
    restore_ledger(tasks, "tickets", tmp_path / "kept.tar")
    assert "nothing to restore" in capsys.readouterr().out
    put_aside("tickets")
    restore_ledger(tasks, "tickets", tmp_path / "kept.tar")
    assert "restored: ledger " in capsys.readouterr().out and segments() == 1


def test_a_damaged_ledger_is_not_exported(tasks: dict[str, Task], tmp_path: Path) -> None:
    flip(ledger_dir("tickets") / "000001.parquet")
    with pytest.raises(UserError, match="is damaged"):
        export_ledger("tickets", tmp_path / "kept.tar")
    assert not (tmp_path / "kept.tar").exists()


def test_restore_and_reset_want_a_task_of_this_code_location(tasks: dict[str, Task], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no task 'tikets'"):
        restore_ledger(tasks, "tikets", tmp_path / "kept.tar")
    with pytest.raises(UserError, match="no task 'tikets'"):
        reset_ledger(tasks, "tikets", yes=True)


def test_a_reset_is_done_only_if_it_is_meant(
    tasks: dict[str, Task], capsys: pytest.CaptureFixture[str]
) -> None:
    before = opened(ledger_dir("tickets")).id
    reset_ledger(tasks, "tickets", dry_run=True)
    assert "dry run: nothing was changed" in capsys.readouterr().out
    with pytest.raises(UserError, match="nothing was changed"):
        reset_ledger(tasks, "tickets")
    assert opened(ledger_dir("tickets")).id == before
    reset_ledger(tasks, "tickets", yes=True)
    told = capsys.readouterr().out
    assert "the old one lies in " in told and "the sensor follow_changes rebuilds" in told
    assert opened(ledger_dir("tickets")).id != before and segments() == 0


def test_no_command_writes_while_a_run_makes_the_splits(
    tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_TELL_EVERY_SECONDS", 0.0)
    with lock("tickets"), pytest.raises(UserError, match="a run is making the splits of tickets"):
        reset_ledger(tasks, "tickets", yes=True)
    assert segments() == 1
