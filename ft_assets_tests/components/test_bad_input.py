"""Bad input gets an error that says what, where and what to do; what was published stays intact and current."""

import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from ft_assets.data.readers import raw_examples
from ft_assets_tests.runs import current, description, failed_checks, published, work_in_progress, written_in
from ft_assets_tests.tickets import ASSETS, materialize, task, ticket, tickets, write_csv

SECRET = "xyzzyplugh"
"""Stands in the texts of bad rows; nothing that Dagster keeps may hold it."""
ROWS = [row | {"body": f"{row['body']} {SECRET}"} for row in tickets()]
HEADER = b"body,category,customer\n"
CLOSED = "http://127.0.0.1:9"  # the discard port: nobody listens there
LABELED = ASSETS[:3]

Spoil = Callable[[Path], object]


@pytest.fixture
def data(trained: dg.DagsterInstance, tmp_path: Path) -> Iterator[Path]:
    """The data directory. All that was published before a test is there afterwards, byte for byte, and nothing
    half-made."""
    store = tmp_path / "data" / "store"
    before = published(store)
    yield tmp_path / "data"
    after = published(store)
    assert {name: after.get(name) for name in before} == before
    assert work_in_progress(store) == []


def incoming(data: Path) -> Path:
    return data / "incoming" / "tickets"


def rows(made: list[dict[str, str]]) -> Spoil:
    return lambda folder: write_csv(folder / "tickets.csv", made)


def content(made: bytes, name: str = "tickets.csv") -> Spoil:
    return lambda folder: (folder / name).write_bytes(made)


def workbook() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", SECRET)
    return buffer.getvalue()


FILES: dict[str, tuple[Spoil, str, str]] = {
    "a missing column": (
        rows([{name: row[name] for name in ("body", "customer")} for row in ROWS]),
        r"no column 'category': .*columns there: 'body', 'customer'",
        "name the right column under `columns`",
    ),
    "a misspelt column": (
        rows([{"body": row["body"], "categroy": row["category"], "customer": "c"} for row in ROWS]),
        "no column 'category': did you mean 'categroy'",
        "name the right column under `columns`",
    ),
    "an empty file": (content(b""), "the file is empty", "give a file with rows"),
    "a header and no row": (content(HEADER), "there are no rows", "give a source with rows"),
    "a workbook called csv": (
        content(workbook()),
        "expected csv, but it looks like a ZIP archive",
        "set `format:`",
    ),
    "a web page called csv": (
        content(f"<!DOCTYPE html><html>{SECRET}</html>".encode()),
        "looks like an HTML page",
        "convert the file",
    ),
    "a csv called parquet": (
        content(HEADER + SECRET.encode(), "more.parquet"),
        "expected parquet, but it looks like delimited text",
        "set `format:`",
    ),
    "bytes that are no UTF-8": (
        content(HEADER + f"caf\xe9 {SECRET},billing,c\n".encode("latin-1") * 20),
        "20 of 20 rows are not utf-8",
        "set `encoding:` in sources, for example to cp1252",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_used(
    case: str, trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    spoil, what, do = FILES[case]
    folder, before = incoming(data), current(trained)
    good = (folder / "tickets.csv").read_bytes()
    spoil(folder)
    if case == "a csv called parquet":
        (folder / "tickets.csv").unlink()
    made = task(tiny_bert_dir, sources=[{"path": "incoming/tickets/*"}])
    told = description(materialize(trained, made, "raw_examples", raise_on_error=False))
    assert re.search(what, told)
    assert re.search(rf"where: .*{folder}/(tickets\.csv|more\.parquet)", told)
    assert do in told.partition("do: ")[2]
    assert current(trained) == before
    assert written_in(data / "dagster", SECRET) == []

    (folder / "tickets.csv").write_bytes(good)
    assert materialize(trained, task(tiny_bert_dir), "raw_examples").success
    assert current(trained) == before


@pytest.mark.parametrize("case", [case for case in FILES if case != "a csv called parquet"])
def test_a_file_that_cannot_be_used_is_refused_on_its_own(
    case: str, trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    spoil, what, _ = FILES[case]
    folder = incoming(data)
    (folder / "tickets.csv").rename(folder / "good.csv")
    spoil(folder)
    result = materialize(trained, task(tiny_bert_dir), "raw_examples", "quarantine")
    assert failed_checks(result)["raw_examples: files_readable"] == "WARN"
    (made,) = result.asset_materializations_for_node("tickets__raw_examples")
    (told,) = [record.data for record in made.metadata["unreadable_files"].records]
    assert told["file"] == "tickets.csv" and re.search(what, told["reason"])
    assert made.metadata["dagster/row_count"].value == 180
    assert written_in(data / "dagster", SECRET) == []


def test_a_file_that_may_not_be_read_is_refused_on_its_own(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    # The memory of a process is a file that nobody can read at its beginning, root neither.
    (incoming(data) / "bad.csv").symlink_to("/proc/self/mem")
    result = materialize(trained, task(tiny_bert_dir), "raw_examples")
    assert failed_checks(result)["raw_examples: files_readable"] == "WARN"
    before = current(trained)["raw_examples"]
    (incoming(data) / "bad.csv").unlink()
    write_csv(incoming(data) / "bad.csv", [ticket("billing", 900)])
    materialize(trained, task(tiny_bert_dir), "raw_examples")
    assert current(trained)["raw_examples"] != before


def test_a_task_may_ask_that_every_file_can_be_read(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    before = current(trained)
    (incoming(data) / "more.csv").write_bytes(b"")
    strict = task(tiny_bert_dir, contracts={"severity": {"files_readable": "critical"}})
    result = materialize(trained, strict, "raw_examples", raise_on_error=False)
    assert failed_checks(result)["raw_examples: files_readable"] == "ERROR"
    assert "1 of 2 files ('more.csv')" in description(result)
    assert current(trained) == before


def test_a_row_that_cannot_be_used_is_kept_aside_with_its_place_and_the_others_go_on(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    file = incoming(data) / "tickets.csv"
    unknown = b"the late refund again,praise,customer 1\n"
    no_text = f"caf\xe9 {SECRET},billing,customer 1\n".encode("latin-1")
    file.write_bytes(file.read_bytes() + unknown + no_text)
    result = materialize(trained, task(tiny_bert_dir), *LABELED, "quarantine")
    shown = {
        event.asset_key.path[-1]: event.event_specific_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    # 180 good rows below the header, then these two.
    reasons = {record.data["rule"]: record.data["reason"] for record in shown["quarantine"]["rows"].records}
    assert reasons["undecodable"].startswith("tickets.csv, line 183, byte 4: not utf-8")
    assert reasons["unknown_label"] == "the label is none of the 3 labels of the task"
    unknown_labels = shown["labeled_examples"]["unknown_labels"].records
    assert [record.data for record in unknown_labels] == [{"value": "praise", "rows": 1}]
    assert shown["labeled_examples"]["dagster/row_count"].value == 180
    assert written_in(data / "dagster", SECRET) == []


@pytest.mark.parametrize(
    ("made", "check", "told"),
    [
        (
            [row | {"category": row["category"].upper()} for row in ROWS],
            "has_rows",
            "(at least one row is left): found 0: compare `labels:` in the task",
        ),
        (
            [ticket("billing", number) for number in range(30)],
            "at_least_two_classes",
            "(at least two labels occur): found 1: there is nothing to tell apart: add examples",
        ),
        (
            tickets(2),
            "as_many_rows_as_classes",
            "(there are at least as many rows as classes (3)): found 2: add examples",
        ),
    ],
    ids=["no label of the set", "one class", "fewer rows than classes"],
)
def test_labels_that_cannot_be_learned(
    trained: dg.DagsterInstance,
    data: Path,
    tiny_bert_dir: Path,
    made: list[dict[str, str]],
    check: str,
    told: str,
) -> None:
    before = current(trained)
    write_csv(incoming(data) / "tickets.csv", made)
    result = materialize(trained, task(tiny_bert_dir), *ASSETS[:6], raise_on_error=False)
    assert f"labeled_examples: {check} {told}" in description(result)
    assert failed_checks(result)[f"labeled_examples: {check}"] == "ERROR"
    after = current(trained)
    assert {asset for asset in ASSETS if after[asset] != before[asset]} == {
        "raw_examples",
        "cleaned_examples",
    }
    (refusal,) = (data / "store" / "tickets" / "labeled_examples" / "refused").glob("*/refusal.json")
    summary = json.loads(refusal.read_text())["summary"]
    assert summary["rows_in"] == summary["kept"] + summary["merged"] + summary["quarantined"]
    if check == "has_rows":  # the labels that the task does not know are named with the failure
        (event,) = [event for event in result.all_events if event.is_step_failure]
        shown = event.step_failure_data.user_failure_data.metadata["labeled_examples unknown_labels"].records
        assert {record.data["value"] for record in shown} == {"BILLING", "DELIVERY", "TECHNICAL"}


def test_rows_longer_than_the_window_are_counted_and_reported(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    # A ticket has at least seven words and a number, and two special tokens.
    short = {"method": "full", "learning_rate": 5e-3, "epochs": 1, "batch_size": 16, "max_length": 8}
    result = materialize(trained, task(tiny_bert_dir, training=short), "checkpoint", "evaluation_report")
    shown = {
        event.asset_key.path[-1]: event.event_specific_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    checkpoint, report = shown["checkpoint"], shown["evaluation_report"]
    for split in ("train", "validation"):
        assert checkpoint[f"{split}_rows_truncated"].value == checkpoint[f"{split}_rows"].value > 0
    assert report["test_rows_truncated"].value > 0
    version = current(trained)["evaluation_report"]
    page = data / "store" / "tickets" / "evaluation_report" / version / "report.html"
    assert "Rows cut to the window of 8 tokens" in page.read_text()
    logged = " ".join(entry.user_message for entry in trained.all_logs(result.run_id))
    for split in ("train", "validation", "examples"):
        assert re.search(rf"\d+ of \d+ {split} rows are longer than 8 tokens and were cut", logged)


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "what", "do"),
    [
        (shutil.rmtree, "does not exist", "name a folder with config.json"),
        (no_weights, r"only pickled ones \(pytorch_model\.bin\)", "convert it where you trust it"),
        (cut_weights, r"is damaged: model\.safetensors has [\d,]+ bytes, not [\d,]+", "fetch the file again"),
    ],
    ids=["none", "pickled", "cut off"],
)
def test_a_base_model_that_cannot_be_used(
    trained: dg.DagsterInstance,
    data: Path,
    tiny_bert_dir: Path,
    tmp_path: Path,
    spoil: Spoil,
    what: str,
    do: str,
) -> None:
    folder, before = tmp_path / "model", current(trained)
    shutil.copytree(tiny_bert_dir, folder)
    spoil(folder)
    told = description(materialize(trained, task(folder), "base_model", "checkpoint", raise_on_error=False))
    assert re.search(what, told) and f"where: {folder}" in told and do in told.partition("do: ")[2]
    assert current(trained) == before


@pytest.mark.parametrize(
    ("asset", "settings"),
    [
        ("base_model", {"base_model": "hf://org/model@0123456789abcdef0123456789abcdef01234567"}),
        ("base_model", {"base_model": "pypi://some-model==1.0[wheel]/model"}),
        ("raw_examples", {"sources": [{"path": "pypi://some-data==1.0[sdist]/rows.csv"}]}),
        ("raw_examples", {"sources": [{"path": f"{CLOSED}/rows.csv"}]}),
    ],
    ids=["hub", "package index", "data in a package", "data at a URL"],
)
def test_no_network(
    trained: dg.DagsterInstance,
    data: Path,
    tiny_bert_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    asset: str,
    settings: dict[str, object],
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{CLOSED}/simple")
    monkeypatch.setenv("HF_ENDPOINT", CLOSED)
    before = current(trained)
    made = task(tiny_bert_dir, **settings)
    told = description(materialize(trained, made, asset, raise_on_error=False))
    assert re.search(r"cannot be (fetched|had)", told)
    assert "where: " in told and "127.0.0.1" in told
    assert "check the network" in told or "check network" in told
    assert current(trained) == before


def test_a_file_that_is_still_being_written(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, before = incoming(data) / "tickets.csv", current(trained)
    write_csv(file, tickets(30))

    def read_slowly(*args: Any, **more: Any) -> Any:
        tables = raw_examples(*args, **more)
        write_csv(file, tickets(60))
        return tables

    monkeypatch.setattr("ft_assets.data.readers.raw_examples", read_slowly)
    told = description(materialize(trained, task(tiny_bert_dir), "raw_examples", raise_on_error=False))
    assert (
        "1 file(s) changed while they were read" in told
        and "tickets.csv" in told
        and "do: run it again" in told
    )
    assert current(trained) == before


def test_files_of_equal_name_in_two_sources_are_told_apart(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    more = data / "incoming" / "more" / "tickets.csv"
    made = task(tiny_bert_dir, sources=[{"path": "incoming/tickets/*.csv"}, {"path": "incoming/more/*.csv"}])
    write_csv(more, tickets(30))
    materialize(trained, made, "raw_examples")
    before = current(trained)["raw_examples"]
    write_csv(incoming(data) / "tickets.csv", tickets(60))  # the first of the two; the second stays
    materialize(trained, made, "raw_examples")
    assert current(trained)["raw_examples"] != before


@pytest.mark.parametrize("owner", ["bob", "team:", "bob@home"])
def test_an_owner_that_dagster_would_not_take_is_an_error_of_the_task(
    tiny_bert_dir: Path, owner: str
) -> None:
    with pytest.raises(
        ValidationError, match=f"'{owner}' is no owner: write an e-mail address, or team:NAME"
    ):
        task(tiny_bert_dir, owners=[owner])


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store, on a disk of its own that has one free page."""
    disk, store = tmp_path / "disk", tmp_path / "data" / "store"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one (root)")
    try:
        shutil.copytree(store, disk / "store")
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 4096))
        monkeypatch.setenv("FT_STORE", str(disk / "store"))
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("asset", ["raw_examples", "checkpoint"])
def test_no_space_left_on_the_device(
    trained: dg.DagsterInstance, data: Path, small_disk: Path, tiny_bert_dir: Path, asset: str
) -> None:
    before, files = current(trained), published(small_disk / "store")
    made = task(tiny_bert_dir, training={"method": "full", "epochs": 1, "batch_size": 64})
    write_csv(incoming(data) / "tickets.csv", tickets(300))
    told = description(materialize(trained, made, asset, raise_on_error=False))
    assert re.search("no room left|no space left", told)
    assert "where: " in told and "make room" in told.partition("do: ")[2]
    assert current(trained) == before
    assert published(small_disk / "store") == files
    assert work_in_progress(small_disk / "store") == []

    (small_disk / "ballast").unlink()
    assert materialize(trained, made, asset).success
