"""A source file is withdrawn: what contains rows of it is said before, and the data stages follow."""

import hashlib
import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.commands.withdraw import withdraw_file
from ft_assets.components.stage import Task
from ft_assets.errors import UserError
from ft_assets.paths import data_dir
from ft_assets.removal.withdraw import contains, kept_copies
from ft_assets_tests.flow import Flow
from ft_assets_tests.runs import current
from ft_assets_tests.tickets import ASSETS, materialize, task, ticket, tickets, write_csv


def old(folder: Path) -> None:
    """Files that are whole by their time stamps."""
    for path in folder.rglob("*.csv"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def split_rows(instance: dg.DagsterInstance, file: str) -> dict[str, int]:
    """How many rows of a file are in each split, counted by text."""
    store, now = ArtifactStore(data_dir() / "store"), current(instance)
    raw = store.open("tickets", "raw_examples", now["raw_examples"]).table().to_pylist()
    texts = {row["text"] for row in raw if row["file"] == file}
    return {
        split: len(texts & set(store.open("tickets", split, now[split]).table()["text"].to_pylist()))
        for split in ("train_split", "validation_split", "test_split")
    }


def test_a_dry_run_says_what_contains_rows_of_the_file_and_changes_nothing(
    instance: dg.DagsterInstance, made: Task, incoming: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = split_rows(instance, "b.csv")
    assert sum(counted.values()) == 12
    withdraw_file(instance, {"tickets": made}, "incoming/tickets/b.csv", dry_run=True)
    told = capsys.readouterr().out
    for split, rows in counted.items():
        assert (f"{rows} in {split}" in told) == (rows > 0)
    assert "12 in raw_examples" in told and "nothing was changed" in told
    assert (incoming / "b.csv").is_file() and not (data_dir() / "withdrawn").exists()


def test_it_is_said_plainly_that_the_current_checkpoint_was_trained_on_it(
    trained: dg.DagsterInstance, tiny_bert_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = split_rows(trained, "tickets.csv")
    withdraw_file(trained, {"tickets": task(tiny_bert_dir)}, "tickets.csv", dry_run=True)
    told = capsys.readouterr().out
    assert f"WAS TRAINED ON IT: {counted['train_split']} rows of its train_split" in told
    assert f"{counted['test_split']} in test_split" in told
    assert 'raw_examples will wait with "no file matches"' in told


def test_a_withdrawn_file_is_kept_and_noted_and_the_data_stages_follow(
    instance: dg.DagsterInstance, made: Task, incoming: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old(incoming)
    content = (incoming / "b.csv").read_bytes()
    withdraw_file(instance, {"tickets": made}, "b.csv")
    folder = data_dir() / "withdrawn" / "tickets"
    (kept,) = folder.glob("*-b.csv")
    assert kept.read_bytes() == content and not (incoming / "b.csv").exists()
    (line,) = (folder / "withdrawn.jsonl").read_text().splitlines()
    noted = json.loads(line)
    assert noted["sha256"] == hashlib.sha256(content).hexdigest() and noted["by"] and noted["at"]
    runs = Flow(instance, made).settle()
    assert "raw_examples" in runs[0] and "train_split" in runs[0]
    raw = ArtifactStore(data_dir() / "store").open(
        "tickets", "raw_examples", current(instance)["raw_examples"]
    )
    assert [file["file"] for file in raw.summary["files"]] == ["a.csv"]


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"retrain": "manual"}, "policy.retrain is manual"),
        ({"retrain": "schedule", "cron": "0 3 * * *"}, "trained again at 0 3 * * *"),
        ({"retrain": "on_change"}, "and then trains the model again"),
        ({"retrain": "on_change", "min_new_rows": 50}, "counts new rows alone"),
    ],
)
def test_what_happens_next_is_told_by_the_policy(
    trained: dg.DagsterInstance,
    tiny_bert_dir: Path,
    capsys: pytest.CaptureFixture[str],
    policy: dict[str, object],
    says: str,
) -> None:
    folder = data_dir() / "incoming" / "tickets"
    (folder / "more.csv").write_text("body,category,customer\nhelp,billing,x\n")
    withdraw_file(trained, {"tickets": task(tiny_bert_dir, policy=policy)}, "tickets.csv")
    assert says in capsys.readouterr().out


def test_a_pinned_source_cannot_be_withdrawn(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, incoming: Path
) -> None:
    pinned = task(
        tiny_bert_dir, sources=[{"path": "pypi://some-data==1.0[wheel]/rows.csv#sha256=" + "0" * 64}]
    )
    with pytest.raises(UserError, match=r"pinned(.|\n)*take the source out of `sources`"):
        withdraw_file(instance, {"tickets": pinned}, "pypi://some-data==1.0[wheel]/rows.csv")


def test_a_misspelt_file_is_told_the_nearest(instance: dg.DagsterInstance, made: Task) -> None:
    with pytest.raises(UserError, match=r"did you mean 'a.csv'"):
        withdraw_file(instance, {"tickets": made}, "aa.csv")


def test_a_file_outside_incoming_is_not_moved(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "else.csv").write_text("body,category,customer\nhelp,billing,x\n")
    made = task(tiny_bert_dir, sources=[{"path": str(tmp_path / "else.csv")}])
    with pytest.raises(UserError, match="not ours to move"):
        withdraw_file(instance, {"tickets": made}, "else.csv")
    assert (tmp_path / "else.csv").is_file()


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        (b"odd\nname\x1b[31m.csv", r"odd\nname\x1b[31m.csv"),
        (b"stray\xff.csv", r"stray\udcff.csv"),
        ("déjà vu.csv".encode(), "déjà vu.csv"),
    ],
    ids=["control characters", "no text", "other letters"],
)
def test_a_file_is_withdrawn_by_the_name_that_was_recorded(
    instance: dg.DagsterInstance,
    made: Task,
    incoming: Path,
    capsys: pytest.CaptureFixture[str],
    name: bytes,
    recorded: str,
) -> None:
    path = Path(os.fsdecode(os.fsencode(incoming) + b"/" + name))
    write_csv(path, [ticket("billing", number) for number in range(700, 705)])
    materialize(instance, made, "raw_examples")
    with pytest.raises(UserError, match="no task reads a file") as error:
        withdraw_file(instance, {"tickets": made}, "nosuch.csv")
    assert recorded in str(error.value)
    capsys.readouterr()
    withdraw_file(instance, {"tickets": made}, recorded)
    told = capsys.readouterr().out
    assert "5 in raw_examples" in told and f"withdrawn: {recorded} lies in" in told
    assert not path.exists() and "\x1b" not in told
    (copy,) = kept_copies("tickets")
    assert (copy.name, copy.was) == (recorded, path) and copy.path.name.endswith(f"-{recorded}")


def test_two_files_of_a_name_need_their_path(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, incoming: Path
) -> None:
    other = incoming.parent / "other" / "a.csv"
    other.parent.mkdir()
    other.write_bytes((incoming / "a.csv").read_bytes())
    made = task(tiny_bert_dir, sources=[{"path": "incoming/tickets/*.csv"}, {"path": "incoming/other/*.csv"}])
    with pytest.raises(UserError, match=r"several files are called 'a\.csv'"):
        withdraw_file(instance, {"tickets": made}, "a.csv")
    withdraw_file(instance, {"tickets": made}, "other/a.csv")
    assert not other.exists() and (incoming / "a.csv").is_file()


def test_rows_that_were_merged_into_those_of_another_file_count_as_in_the_lineage(
    instance: dg.DagsterInstance, made: Task, incoming: Path
) -> None:
    write_csv(incoming / "b.csv", tickets(12))  # as they stand in a.csv
    materialize(instance, made, *ASSETS[:6])
    found = contains(data_dir() / "store", "tickets", current(instance), "default", "b.csv")
    told = {each.asset: each.total for each in found}
    splits = split_rows(instance, "b.csv")
    assert sum(splits.values()) == 12
    assert {name: told.get(name, 0) for name in splits} == splits
    assert told["raw_examples"] == told["cleaned_examples"] == 12


def test_at_a_url_the_file_is_withdrawn_though_nothing_tells_what_contains_it(
    instance: dg.DagsterInstance,
    made: Task,
    incoming: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FT_STORE", "memory://elsewhere")
    withdraw_file(instance, {"tickets": made}, "b.csv")
    assert "cannot be told, the store lies at a URL" in capsys.readouterr().out
    assert not (incoming / "b.csv").exists()
    with pytest.raises(UserError, match=r"did you mean 'a\.csv'"):
        withdraw_file(instance, {"tickets": made}, "aa.csv")


def test_a_damaged_table_is_told_and_the_others_are_counted(
    instance: dg.DagsterInstance, made: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    place = data_dir() / "store" / "tickets" / "train_split" / current(instance)["train_split"]
    damaged = place / "examples.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    withdraw_file(instance, {"tickets": made}, "b.csv", dry_run=True)
    told = capsys.readouterr().out
    assert f"cannot be told: tickets/train_split {place.name} is damaged" in told
    assert "12 in raw_examples" in told
