"""The split ledger in the graph of a task: no row moves, and nothing is recorded that was not published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.cli import main
from ft_assets.commands.ledger import lock_test
from ft_assets.components import stage
from ft_assets.components.stage import Task
from ft_assets.data.ledger import golden
from ft_assets.data.ledger.archive import export, put_aside, reset, restore
from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.entries import find, read
from ft_assets.errors import UserError
from ft_assets.lineage.explain import explain
from ft_assets.paths import data_dir, ledger_dir, store_root
from ft_assets_tests.conftest import open_instance, use_data
from ft_assets_tests.data.ledger.test_chain import flip
from ft_assets_tests.flow import Flow
from ft_assets_tests.runs import current, description
from ft_assets_tests.tickets import LABELS, materialize, task, ticket, tickets, write_csv

SPLITS = ("train_split", "validation_split", "test_split")
DATA = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)


@pytest.fixture(scope="module")
def splits_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which the data of the tickets task has been made, each ticket by a customer of its own."""
    data = tmp_path_factory.mktemp("splits") / "data"
    (data / "dagster").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, open_instance(data) as instance:
        use_data(data, patch)
        write_tickets(alone(120))
        materialize(instance, task(data), *DATA)
    return data


@pytest.fixture
def instance(
    splits_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance and a data directory of the test's own, with the data made."""
    data = tmp_path / "data"
    shutil.copytree(splits_once, data)
    use_data(data, monkeypatch)
    with open_instance(data) as made:
        yield made


def trains_nothing(folder: Path, **changes: Any) -> Task:
    """The tickets task; its model is never made here."""
    return task(folder, policy={"retrain": "manual"}, **changes)


@pytest.fixture
def made(tmp_path: Path) -> Task:
    return trains_nothing(tmp_path)


def alone(rows: int, first: int = 0) -> list[dict[str, str]]:
    return [
        row | {"customer": f"customer {first + n}"} for n, row in enumerate(tickets(first + rows)[first:])
    ]


def write_tickets(rows: list[dict[str, str]], name: str = "tickets") -> None:
    path = data_dir() / "incoming" / "tickets" / f"{name}.csv"
    write_csv(path, rows)
    os.utime(path, (0, path.stat().st_mtime - 60))  # it has been whole for long


def rows_by_split(instance: dg.DagsterInstance) -> dict[str, str]:
    """example_id → the split that it is in."""
    store, now = ArtifactStore(store_root()), current(instance)
    return {
        each: split
        for split in SPLITS
        for each in store.open("tickets", split, now[split]).table()["example_id"].to_pylist()
    }


def texts_in(instance: dg.DagsterInstance, split: str) -> list[str]:
    return (
        ArtifactStore(store_root())
        .open("tickets", split, current(instance)[split])
        .table()["text"]
        .to_pylist()
    )


def ledger() -> Ledger:
    found = Ledger.open(ledger_dir("tickets"))
    assert found is not None
    return found


def reused(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    made = (event.event_specific_data.materialization for event in result.get_asset_materialization_events())
    return {event.asset_key.path[-1]: event.metadata["reused"].value for event in made}


# --- data that arrives ------------------------------------------------------------------------------------------


def test_a_file_more_moves_no_row(instance: dg.DagsterInstance, made: Task) -> None:
    before = rows_by_split(instance)
    assert len(before) == 120
    write_tickets(alone(60, first=120), "more")
    materialize(instance, made, *DATA)
    after = rows_by_split(instance)
    assert len(after) == 180 and {each: after[each] for each in before} == before
    assert [segment.record["rules"] for segment in ledger().segments] == [
        {"stratified": 240},  # 120 rows and as many groups
        {"stratified": 120},
    ]


def test_a_row_that_joins_a_test_cluster_goes_to_test(instance: dg.DagsterInstance, made: Task) -> None:
    text = texts_in(instance, "test_split")[0]
    customer = next(row["customer"] for row in alone(120) if row["body"] == text)
    write_tickets([ticket("billing", 900) | {"customer": customer}], "more")
    materialize(instance, made, *DATA)
    assert ticket("billing", 900)["body"] in texts_in(instance, "test_split")


def test_shares_are_met(instance: dg.DagsterInstance) -> None:
    assert {split: len(texts_in(instance, split)) for split in SPLITS} == {
        "train_split": 84, "validation_split": 18, "test_split": 18
    }  # fmt: skip


def test_other_cleaning_moves_no_row(instance: dg.DagsterInstance, made: Task, tmp_path: Path) -> None:
    """Texts change, and with them what they are known by; the rows are known by their ids, too."""
    write_tickets([row | {"body": f"<b>{row['body']}</b>"} for row in alone(60, first=120)], "more")
    materialize(instance, made, *DATA)
    before = rows_by_split(instance)
    other = trains_nothing(tmp_path, cleaning={"strip_html": False})
    materialize(instance, other, *DATA)
    assert any(text.startswith("<b>") for text in texts_in(instance, "test_split"))
    assert rows_by_split(instance) == before


def test_other_shares_are_for_new_clusters_alone(
    instance: dg.DagsterInstance, made: Task, tmp_path: Path
) -> None:
    before = rows_by_split(instance)
    other = trains_nothing(tmp_path, splits={"test": 0.3, "salt": "another one"})
    result = materialize(instance, other, *DATA)
    assert rows_by_split(instance) == before
    told = [event.user_message for event in instance.all_logs(result.run_id)]
    assert any("`splits.salt` is another one than rows were drawn with before" in text for text in told)
    write_tickets(alone(60, first=120), "more")
    materialize(instance, other, *DATA)
    after = rows_by_split(instance)
    assert {each: after[each] for each in before} == before
    # 54 of 180 are wanted, 18 were there.
    assert list(after.values()).count("test_split") == 54


# --- what is recorded, and when ---------------------------------------------------------------------------------


def test_what_grows_makes_nothing_due_and_nothing_is_built_twice(
    instance: dg.DagsterInstance, made: Task
) -> None:
    runs = Flow(instance, made).settle()
    assert not {asset for run in runs for asset in run} & {*SPLITS}
    assert all(reused(materialize(instance, made, *DATA)).values())
    assert len(ledger().segments) == 1


def test_a_refused_draft_records_nothing(instance: dg.DagsterInstance, made: Task, tmp_path: Path) -> None:
    write_tickets(alone(60, first=120), "more")
    # No row has this label, which is critical for train.
    other = trains_nothing(tmp_path, labels=[*LABELS, "praise"])
    result = materialize(instance, other, *DATA, raise_on_error=False)
    assert "train_split: every_class_present" in description(result)
    assert len(ledger().segments) == 1
    assert materialize(instance, made, *DATA).success
    assert len(ledger().segments) == 2


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing of its own is done after it."""


MOMENTS: dict[str, Callable[[pytest.MonkeyPatch, Callable[..., Any]], None]] = {
    "before the ledger is written": lambda patch, kill: patch.setattr(Ledger, "add", kill),
    "after it was written": lambda patch, kill: patch.setattr(stage, "_commit", kill),
    "after one split was published": lambda patch, kill: patch.setattr(
        ArtifactStore, "commit", second_call(ArtifactStore.commit, kill)
    ),
}


def second_call(function: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    calls: list[int] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return function(*args, **kwargs) if len(calls) == 1 else instead()

    return call


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_and_the_next_one_give_what_one_run_gives(
    instance: dg.DagsterInstance, made: Task, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write_tickets(alone(60, first=120), "more")
    materialize(instance, made, *DATA[:3])
    aside = data_dir().with_name("aside")
    shutil.copytree(data_dir(), aside)

    def kill(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        MOMENTS[moment](patch, kill)
        with pytest.raises(Killed):
            materialize(instance, made, *SPLITS)
    materialize(instance, made, *SPLITS)
    found, segments = current(instance), len(ledger().segments)
    monkeypatch.setenv("FT_DATA_DIR", str(aside))
    materialize(instance, made, *SPLITS)
    assert found == current(instance) and segments == len(ledger().segments) == 2


def test_a_damaged_ledger_stops_the_splits_and_names_the_way_out(
    instance: dg.DagsterInstance, made: Task
) -> None:
    before = current(instance)
    (ledger_dir("tickets") / "000001.parquet").write_bytes(b"torn")
    write_tickets(alone(60, first=120), "more")
    result = materialize(instance, made, *DATA, raise_on_error=False)
    told = description(result)
    assert "000001.parquet is not what was written" in told and "ledger restore tickets FILE" in told
    assert {split: current(instance)[split] for split in SPLITS} == {split: before[split] for split in SPLITS}


# --- the ledger is lost, moved, begun anew ----------------------------------------------------------------------


def test_the_ledger_outlives_the_store(instance: dg.DagsterInstance, made: Task) -> None:
    before = rows_by_split(instance)
    shutil.rmtree(data_dir() / "store")
    write_tickets(alone(60, first=120), "more")
    materialize(instance, made, *DATA)
    after = rows_by_split(instance)
    assert {each: after[each] for each in before} == before


def test_a_lost_ledger_is_taken_over_from_the_current_splits(
    instance: dg.DagsterInstance, made: Task
) -> None:
    flow = Flow(instance, made)
    before = rows_by_split(instance)
    shutil.rmtree(ledger_dir("tickets"))
    write_tickets(alone(60, first=120), "more")
    assert flow.settle()
    after = rows_by_split(instance)
    assert {each: after[each] for each in before} == before
    assert ledger().segments[0].record["rules"]["imported"] == 120


def test_of_a_lost_ledger_what_can_still_be_read_of_the_splits_is_taken_over(
    instance: dg.DagsterInstance, made: Task
) -> None:
    before = rows_by_split(instance)
    shutil.rmtree(ledger_dir("tickets"))
    flip(next((data_dir() / "store" / "tickets" / "test_split").glob("*/examples.parquet")))
    result = materialize(instance, made, *DATA)
    after = rows_by_split(instance)
    stay = {each: split for each, split in before.items() if split != "test_split"}
    assert {each: after[each] for each in stay} == stay
    told = [event.user_message for event in instance.all_logs(result.run_id)]
    assert any("test_split, made before it, cannot be read: its rows are drawn anew" in text for text in told)


def test_what_an_older_copy_lacks_is_taken_over_from_the_current_splits(
    instance: dg.DagsterInstance, made: Task, tmp_path: Path
) -> None:
    export(ledger(), tmp_path / "ledger.tar")
    write_tickets(alone(60, first=120), "more")
    materialize(instance, made, *DATA)
    before = rows_by_split(instance)
    put_aside("tickets")
    restore("tickets", tmp_path / "ledger.tar")
    write_tickets(alone(10, first=180), "still more")
    materialize(instance, made, *DATA)
    after = rows_by_split(instance)
    assert {each: after[each] for each in before} == before


def test_what_an_older_copy_lacks_of_one_split_is_taken_over(
    instance: dg.DagsterInstance, made: Task, tmp_path: Path
) -> None:
    """Of three rows more none comes to test, which stays the one that the older ledger has made."""
    export(ledger(), tmp_path / "ledger.tar")
    first = current(instance)
    write_tickets(alone(3, first=120), "more")
    materialize(instance, made, *DATA)
    before = rows_by_split(instance)
    assert current(instance)["test_split"] == first["test_split"] and len(before) == 123
    put_aside("tickets")
    restore("tickets", tmp_path / "ledger.tar")
    write_tickets(alone(60, first=200), "still more")
    materialize(instance, made, *DATA)
    after = rows_by_split(instance)
    assert {each: after[each] for each in before} == before


def test_what_an_older_copy_lacks_is_taken_over_though_it_was_written_to(
    instance: dg.DagsterInstance, made: Task, tmp_path: Path
) -> None:
    export(ledger(), tmp_path / "ledger.tar")
    write_tickets(alone(60, first=120), "more")
    materialize(instance, made, *DATA)
    before = rows_by_split(instance)
    put_aside("tickets")
    restore("tickets", tmp_path / "ledger.tar")
    lock_test(instance, {"tickets": made}, "tickets")
    lock_test(instance, {"tickets": made}, "tickets", release=True)
    write_tickets(alone(60, first=200), "still more")
    materialize(instance, made, *DATA)
    after = rows_by_split(instance)
    assert {each: after[each] for each in before} == before


def test_after_a_reset_that_gives_the_same_draw_the_splits_are_those_of_the_new_ledger(
    instance: dg.DagsterInstance, made: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    before = current(instance)
    reset("tickets")
    materialize(instance, made, *SPLITS)
    assert {split: current(instance)[split] for split in SPLITS} == {split: before[split] for split in SPLITS}
    lock_test(instance, {"tickets": made}, "tickets")
    assert "locked: 18 rows" in capsys.readouterr().out


def test_a_reset_draws_all_anew_and_makes_the_splits_due(
    instance: dg.DagsterInstance, made: Task, tmp_path: Path
) -> None:
    before = rows_by_split(instance)
    reset("tickets")
    other = trains_nothing(tmp_path, splits={"salt": "another one"})
    runs = Flow(instance, other).settle()
    assert set(runs[0]) >= set(SPLITS)
    after = rows_by_split(instance)
    assert after.keys() == before.keys() and after != before
    assert {name: rows for name, rows in ledger().segments[0].record["rules"].items()} == {"stratified": 240}


def test_a_restored_ledger_makes_the_splits_due(
    instance: dg.DagsterInstance, made: Task, tmp_path: Path
) -> None:
    flow = Flow(instance, made)
    before = rows_by_split(instance)
    export(ledger(), tmp_path / "ledger.tar")
    reset("tickets")
    flow.use(trains_nothing(tmp_path, splits={"salt": "another one"}))
    flow.settle()
    restore("tickets", tmp_path / "ledger.tar", replace=True)
    assert set(flow.settle()[0]) >= set(SPLITS)
    assert rows_by_split(instance) == before


# --- a locked test set ------------------------------------------------------------------------------------------


def lock_rows(instance: dg.DagsterInstance) -> None:
    version = current(instance)["test_split"]
    test = ArtifactStore(store_root()).open("tickets", "test_split", version).table()
    golden.lock(ledger(), test, version, datetime.now(UTC))


def test_a_locked_test_set_stays_as_it_is_when_rows_come_in(instance: dg.DagsterInstance, made: Task) -> None:
    flow = Flow(instance, made)
    before = current(instance)
    lock_rows(instance)
    assert flow.settle() != []  # the lock is looked at
    assert {split: current(instance)[split] for split in SPLITS} == {split: before[split] for split in SPLITS}
    write_tickets(alone(60, first=120), "more")
    flow.settle()
    assert current(instance)["test_split"] == before["test_split"]
    assert current(instance)["train_split"] != before["train_split"]


def test_a_duplicate_that_sorts_before_a_locked_row_does_not_take_its_place(
    instance: dg.DagsterInstance, made: Task
) -> None:
    before = rows_by_split(instance)
    lock_rows(instance)
    rows = [row for row in alone(120) if row["body"] in texts_in(instance, "test_split")]
    # Cleaning keeps the smallest (group, id), so these come first.
    write_tickets([row | {"body": row["body"].upper(), "customer": "a customer"} for row in rows[:1]], "more")
    materialize(instance, made, *DATA)
    assert rows_by_split(instance) == before
    assert rows[0]["body"] in texts_in(instance, "test_split")
    versions = current(instance)
    test = ArtifactStore(store_root()).open("tickets", "test_split", versions["test_split"])
    (merged,) = test.table("merged").to_pylist()
    assert merged["rule"] == "recorded_before" and test.summary["merged"] == 1
    told = {
        name: explain(Path(store_root()), "tickets", merged[name], {"tickets": versions}).now
        for name in ("example_id", "merged_into")
    }
    assert told["merged_into"].startswith("in the test split")
    assert told["example_id"].startswith(f"merged into {merged['merged_into']}, which is in the test split")


def test_a_near_duplicate_that_is_kept_instead_of_a_recorded_row_is_in_its_split(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    made = trains_nothing(tmp_path, cleaning={"near_duplicates": {"action": "merge"}})
    materialize(instance, made, *DATA)
    before = {split: set(texts_in(instance, split)) for split in SPLITS}
    rows = [row for row in alone(120) if any(row["body"] in texts for texts in before.values())]
    # The smallest (group, id) is kept.
    other = [row | {"body": f"{row['body']} ok", "customer": f"a customer {n}"} for n, row in enumerate(rows)]
    write_tickets(other, "more")
    materialize(instance, made, *DATA)
    after = {split: {text.removesuffix(" ok") for text in texts_in(instance, split)} for split in SPLITS}
    assert after == before and len(rows) == sum(map(len, before.values()))
    assert all(text.endswith(" ok") for split in SPLITS for text in texts_in(instance, split))


def test_a_locked_row_that_changes_or_goes_is_not_published(instance: dg.DagsterInstance, made: Task) -> None:
    lock_rows(instance)
    materialize(instance, made, *DATA)
    before = current(instance)
    changed, gone = texts_in(instance, "test_split")[:2]
    rows = [row for row in alone(120) if row["body"] != gone]
    for row in rows:
        if row["body"] == changed:
            row["category"] = "billing" if row["category"] != "billing" else "technical"
    write_tickets(rows)
    result = materialize(instance, made, *DATA, raise_on_error=False)
    assert "1 missing, 1 changed, of 18 locked rows" in description(result)
    assert {split: current(instance)[split] for split in SPLITS} == {split: before[split] for split in SPLITS}


def test_what_is_recorded_of_a_row_is_found_by_its_id(instance: dg.DagsterInstance, made: Task) -> None:
    for example_id, split in list(rows_by_split(instance).items())[:5]:
        (found,) = find(ledger(), example_id)
        assert f"{found['split']}_split" == split
    assert read(ledger()).rows.height == 120


def test_explain_tells_when_and_why_a_row_was_recorded(
    instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    example_id, split = next(iter(rows_by_split(instance).items()))
    assert main(["explain", example_id]) == 0
    told = capsys.readouterr().out
    at = ledger().segments[0].record["at"]
    assert f"in the {split.removesuffix('_split')} split" in told
    assert f"recorded {at[:10]}" in told and "drawn for a new cluster" in told


def test_the_current_test_split_is_locked_and_released(
    instance: dg.DagsterInstance, made: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = {"tickets": made}
    lock_test(instance, tasks, "tickets")
    assert "locked: 18 rows of tickets/test_split" in capsys.readouterr().out
    result = materialize(instance, made, *SPLITS)
    (test,) = [
        event
        for event in result.get_asset_materialization_events()
        if event.asset_key.path[-1] == "test_split"
    ]
    assert test.materialization.metadata["test_set_locked"].value.startswith("18 rows, since ")
    lock_test(instance, tasks, "tickets", release=True)
    assert ledger().locked is None


def test_a_test_split_of_another_ledger_is_not_locked(instance: dg.DagsterInstance, made: Task) -> None:
    reset("tickets")
    with pytest.raises(UserError, match="made by another ledger"):
        lock_test(instance, {"tickets": made}, "tickets")
