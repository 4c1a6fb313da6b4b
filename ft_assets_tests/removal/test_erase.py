"""Rows are erased from everything that is below the data directory, and stay out."""

import json
import shutil
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.artifacts import ArtifactStore, Removal
from ft_assets.commands.erase import erase_rows
from ft_assets.components.stage import Task
from ft_assets.disk import flock
from ft_assets.errors import UserError
from ft_assets.paths import data_dir, resume_dir
from ft_assets.removal import suppressed
from ft_assets.removal.erase import plan_erasure
from ft_assets_tests.flow import Flow
from ft_assets_tests.runs import current, published
from ft_assets_tests.tickets import ASSETS, materialize, task, ticket, tickets, write_csv

DATA = ASSETS[:6]
SPLITS = ("train_split", "validation_split", "test_split")
ROWS = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS, "quarantine")


def store_dir() -> Path:
    return data_dir() / "store"


def rows_of(instance: dg.DagsterInstance, asset: str) -> list[dict[str, object]]:
    version = current(instance)[asset]
    return ArtifactStore(store_dir()).open("tickets", asset, version).table().to_pylist()


def where_it_stands(text: str) -> list[str]:
    """Files below the data directory that hold a text, tables decoded. Source files and Dagster's own are left out."""
    return [
        path.relative_to(data_dir()).as_posix()
        for path in sorted(data_dir().rglob("*"))
        if path.is_file() and path.relative_to(data_dir()).parts[0] not in ("incoming", "dagster")
        if text.encode() in path.read_bytes() or (path.suffix == ".parquet" and text in cells(path))
    ]


def cells(path: Path) -> str:
    return str(pq.ParquetFile(path).read().to_pydict())


def erase(instance: dg.DagsterInstance, made: Task, *ids: object, **more: object) -> None:
    erase_rows(instance, {made.name: made}, ids=[str(each) for each in ids], yes=True, **more)  # type: ignore[arg-type]


def retired() -> list[Path]:
    return sorted((store_dir() / "tickets" / "checkpoint" / "retired").glob("*"))


@dg.job(name="tickets")
def job() -> None:
    """Names no assets, as the job of a task does."""


def test_a_training_row_is_gone_from_all_that_is_stored_and_stays_out(
    trained: dg.DagsterInstance, tiny_bert_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = task(tiny_bert_dir, policy={"retrain": "on_change"})
    before = current(trained)
    row = rows_of(trained, "train_split")[7]
    secret = str(row["text"])
    assert {path.split("/")[2] for path in where_it_stands(secret)} >= {"raw_examples", "train_split"}

    erase(trained, made, row["example_id"], reason="asked for")
    assert where_it_stands(secret) == []
    told = capsys.readouterr().out
    assert (
        "retire checkpoint/" in told
        and f"the source file {data_dir()}/incoming/tickets/tickets.csv still has 1 of the rows" in told
    )
    (kept,) = retired()
    assert kept.name.startswith(before["checkpoint"])
    assert json.loads((kept / "retired.json").read_text())["erased_rows"] == 1
    with pytest.raises(UserError, match="not in the store"):
        ArtifactStore(store_dir()).open("tickets", "checkpoint", before["checkpoint"])

    flow = Flow(trained, made)
    requests, _ = flow.look()
    assert "its artifact is no longer in the store" in requests[0].tags["ft_assets/because"]
    runs = flow.settle()
    assert [name for run in runs for name in run].count("checkpoint") == 1
    after = current(trained)
    assert after["checkpoint"] != before["checkpoint"]
    assert where_it_stands(secret) == []
    assert all(ArtifactStore(store_dir()).has("tickets", asset, version) for asset, version in after.items())

    # Read again from another file and another row, it stays out; and the others are the same rows as before.
    write_csv(data_dir() / "incoming" / "tickets" / "renamed.csv", tickets()[::-1])
    (data_dir() / "incoming" / "tickets" / "tickets.csv").unlink()
    assert materialize(trained, made, *DATA).success
    raw = ArtifactStore(store_dir()).open("tickets", "raw_examples", current(trained)["raw_examples"])
    assert (raw.summary["rows_in"], raw.summary["kept"], raw.summary["erased"]) == (180, 179, 1)
    assert raw.summary["files"][0]["erased"] == 1
    assert current(trained)["train_split"] == after["train_split"]
    assert where_it_stands(secret) == []


def test_a_test_row_takes_the_report_but_not_the_checkpoint(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir, policy={"retrain": "on_change"})
    before = current(trained)
    row = rows_of(trained, "test_split")[0]
    report = store_dir() / "tickets" / "evaluation_report" / before["evaluation_report"]
    assert report.is_dir()
    erase(trained, made, row["example_id"])
    assert not report.exists() and retired() == []
    assert where_it_stands(str(row["text"])) == []
    Flow(trained, made).settle()
    after = current(trained)
    same = {asset for asset in ASSETS if after[asset] == before[asset]}
    assert {"train_split", "validation_split", "checkpoint"} <= same
    assert not same & {"test_split", "evaluation_report", "raw_examples"}
    assert where_it_stands(str(row["text"])) == []


def test_a_file_with_its_withdrawn_copy_is_erased(
    instance: dg.DagsterInstance, incoming: Path, made: Task
) -> None:
    from ft_assets.commands.withdraw import withdraw_file

    texts = [ticket("billing", number)["body"] for number in range(900, 912)]
    withdraw_file(instance, {"tickets": made}, "b.csv")
    assert where_it_stands(texts[0])[-1].startswith("withdrawn/tickets/")
    erase_rows(instance, {"tickets": made}, file="b.csv", yes=True)
    assert [found for text in texts for found in where_it_stands(text)] == []
    write_csv(incoming / "again.csv", [ticket("billing", number) for number in range(900, 912)])
    materialize(instance, made, *ROWS)
    assert [found for text in texts for found in where_it_stands(text)] == []
    assert len(rows_of(instance, "raw_examples")) == 150


def test_the_withdrawn_copy_of_a_file_that_two_tasks_read_is_erased_for_each_of_them(
    instance: dg.DagsterInstance, made: Task, tiny_bert_dir: Path
) -> None:
    from ft_assets.commands.withdraw import withdraw_file

    sources = [{"path": "incoming/*/*.csv", "name": "all"}]
    other = Task("other", task(tiny_bert_dir, sources=sources).config, made.folder)
    withdraw_file(instance, {"tickets": made, "other": other}, "b.csv")
    for reader, name in (("tickets", "b.csv"), ("other", "tickets/b.csv")):
        plan = plan_erasure(store_dir(), reader, file=name)
        assert plan is not None and [copy.parent.name for copy in plan.copies] == ["tickets"]


def test_equal_rows_go_together_in_whatever_order_they_stand(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    twice = {"body": "the very same words", "category": "billing", "customer": "first"}
    rows = [*tickets(90), twice, twice | {"customer": "second"}]
    write_csv(incoming / "a.csv", rows)
    materialize(instance, made, "raw_examples")
    ids = [row["example_id"] for row in rows_of(instance, "raw_examples") if row["text"] == twice["body"]]
    erase(instance, made, ids[1])
    write_csv(incoming / "a.csv", [*rows[::-1], twice | {"customer": "third"}])
    materialize(instance, made, "raw_examples")
    assert where_it_stands(twice["body"]) == []


def test_refused_damaged_and_quarantined_rows_are_erased(
    instance: dg.DagsterInstance, incoming: Path, made: Task
) -> None:
    secret = "nobody may read the zanzibar note"
    write_csv(incoming / "b.csv", [{"body": secret, "category": "praise", "customer": "x"}])
    materialize(instance, made, *ROWS)  # no label of the task: quarantined
    (row,) = [row for row in rows_of(instance, "quarantine") if row["text"] == secret]
    write_csv(incoming / "a.csv", [ticket("billing", number) for number in range(60)])
    assert not materialize(instance, made, *ROWS, raise_on_error=False).success  # one class: refused
    store = ArtifactStore(store_dir())
    damaged = store.open("tickets", "quarantine", current(instance)["quarantine"]).path / "examples.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert any("/refused/" in path for path in where_it_stands_readable(secret))
    erase(instance, made, row["example_id"])
    assert where_it_stands(secret) == []


def where_it_stands_readable(text: str) -> list[str]:
    return [
        path.as_posix()
        for path in store_dir().rglob("*.parquet")
        if path.read_bytes()[-4:] == b"PAR1" and text in cells(path)
    ]


def test_a_row_that_cannot_be_read_is_erased(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    with (incoming / "a.csv").open("a") as file:
        file.write("secretinonefield\n")
    materialize(instance, made, *ROWS)
    (row,) = rows_of(instance, "quarantine")
    assert row["text"] is None
    assert {path.split("/")[2] for path in where_it_stands("secretinonefield")} == {"raw_examples"}
    erase(instance, made, row["example_id"])
    materialize(instance, made, *ROWS)
    assert rows_of(instance, "quarantine") == [] and where_it_stands("secretinonefield") == []


def test_states_of_trainings_that_were_cut_off_go_with_the_rows(
    instance: dg.DagsterInstance, made: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    point = resume_dir() / made.name / "cut" / "step-000000004"
    point.mkdir(parents=True)
    (point / "weights.safetensors").write_bytes(b"w")
    erase(instance, made, rows_of(instance, "train_split")[0]["example_id"])
    assert not point.parent.exists()
    assert (
        f"remove {point.parent} (the state of a training that was cut off, tokenised or cleaned rows)"
        in capsys.readouterr().out
    )


def test_a_dry_run_and_a_missing_yes_change_nothing(
    instance: dg.DagsterInstance, made: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    row = rows_of(instance, "train_split")[0]["example_id"]
    before = published(store_dir())
    erase_rows(instance, {"tickets": made}, ids=[str(row)], dry_run=True)
    assert "remove train_split/" in capsys.readouterr().out
    with pytest.raises(UserError, match="--yes"):
        erase_rows(instance, {"tickets": made}, ids=[str(row)])
    assert published(store_dir()) == before and suppressed.read("tickets") == frozenset()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ids": ["0123456789abcdef"]}, "there is no row 0123456789abcdef"),
        ({"file": "nowhere.csv"}, "no row of file 'nowhere.csv'"),
        ({"file": "a.csv", "task": "ticket"}, "known tasks: tickets"),
    ],
)
def test_what_is_not_there_is_an_error(
    instance: dg.DagsterInstance, made: Task, given: dict[str, object], says: str
) -> None:
    before = published(store_dir())
    with pytest.raises(UserError, match=says):
        erase_rows(instance, {"tickets": made}, yes=True, **given)  # type: ignore[arg-type]
    assert published(store_dir()) == before


def test_one_unknown_id_among_known_ones_erases_nothing(instance: dg.DagsterInstance, made: Task) -> None:
    row = rows_of(instance, "train_split")[0]["example_id"]
    with pytest.raises(UserError, match="nothing was erased"):
        erase(instance, made, row, "0123456789abcdef")
    assert suppressed.read("tickets") == frozenset()


def test_nothing_is_erased_under_a_run(instance: dg.DagsterInstance, made: Task) -> None:
    row = rows_of(instance, "train_split")[0]["example_id"]
    lock = store_dir() / ".locks" / "tickets.train_split.0123abcd.lock"
    with flock(lock), pytest.raises(UserError, match="is using tickets"):
        erase(instance, made, row)
    instance.create_run_for_job(job)
    with pytest.raises(UserError, match="is using tickets"):
        erase(instance, made, row)
    assert suppressed.read("tickets") == frozenset()


def test_what_a_killed_erasure_has_left_is_finished_by_the_same_call(
    instance: dg.DagsterInstance, made: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = rows_of(instance, "train_split")[0]
    removed: list[str] = []
    remove = Removal.remove

    def dies(removal: Removal, task: str, asset: str, data_version: str) -> int:
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(asset)
        return remove(removal, task, asset, data_version)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Removal, "remove", dies)
        erase(instance, made, row["example_id"])
    assert suppressed.read("tickets") == {row["example_id"]}
    assert where_it_stands(str(row["text"])) != []
    erase(instance, made, row["example_id"])
    assert where_it_stands(str(row["text"])) == []
    erase(instance, made, row["example_id"])  # and once more: there is nothing left to do


def test_a_row_stays_out_when_its_source_gets_another_name(
    instance: dg.DagsterInstance, made: Task, tiny_bert_dir: Path
) -> None:
    row = rows_of(instance, "train_split")[0]
    erase(instance, made, row["example_id"])
    named = [source.model_dump(exclude_unset=True) | {"name": "renamed"} for source in made.config.sources]
    renamed = Task("tickets", task(tiny_bert_dir, sources=named).config, made.folder)
    assert materialize(instance, renamed, "raw_examples").success
    raw = rows_of(instance, "raw_examples")
    assert {each["source"] for each in raw} == {"renamed"} and row["text"] not in {
        each["text"] for each in raw
    }


def test_without_room_for_the_list_nothing_is_removed(
    instance: dg.DagsterInstance, made: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = rows_of(instance, "train_split")[0]["example_id"]
    before = published(store_dir())
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    (data_dir() / "suppressed").mkdir()
    (data_dir() / "suppressed" / ".tickets.jsonl.new").symlink_to("/dev/full")
    with pytest.raises(UserError, match="no room left while writing the suppression list"):
        erase(instance, made, row)
    assert published(store_dir()) == before


def test_a_damaged_list_stops_the_reading_of_the_sources(
    instance: dg.DagsterInstance, made: Task, incoming: Path
) -> None:
    erase(instance, made, rows_of(instance, "train_split")[0]["example_id"])
    path = suppressed.list_file("tickets")
    path.write_bytes(path.read_bytes()[:-10])
    result = materialize(instance, made, "raw_examples", raise_on_error=False)
    assert not result.success
    with pytest.raises(UserError, match="erased rows"):
        suppressed.read("tickets")


def test_a_task_without_erased_rows_keeps_its_build_key(
    instance: dg.DagsterInstance, made: Task, incoming: Path
) -> None:
    result = materialize(instance, made, "raw_examples")
    (event,) = result.asset_materializations_for_node("tickets__raw_examples")
    assert event.metadata["reused"].value
    artifact = ArtifactStore(store_dir()).open("tickets", "raw_examples", current(instance)["raw_examples"])
    assert suppressed.IDENTITY not in artifact.inputs


def test_a_file_of_the_same_name_in_another_task_stays(
    instance: dg.DagsterInstance, incoming: Path, made: Task, tiny_bert_dir: Path
) -> None:
    other = Task("other", task(tiny_bert_dir, sources=[{"path": "incoming/other/*.csv"}]).config, made.folder)
    shutil.copytree(store_dir() / "tickets", store_dir() / "other")
    shutil.copytree(incoming, incoming.parent / "other")
    tasks, before = {"tickets": made, "other": other}, published(store_dir())
    with pytest.raises(UserError, match=r"several tasks(.|\n)*other, tickets"):
        erase_rows(instance, tasks, file="b.csv", yes=True)
    with pytest.raises(UserError, match="no row of file"):
        erase_rows(instance, tasks, file="incoming/elsewhere/b.csv", yes=True)
    assert published(store_dir()) == before
    erase_rows(instance, tasks, file="incoming/tickets/b.csv", yes=True)
    assert len(suppressed.read("tickets")) == 12 and suppressed.read("other") == frozenset()
    assert {path.split("/")[1] for path in where_it_stands(ticket("billing", 900)["body"])} == {"other"}
