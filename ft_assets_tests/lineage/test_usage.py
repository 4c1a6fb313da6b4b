"""Where files went, and what a checkpoint was made of: rows counted, commands, page and metadata."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
import requests

from ft_assets.cli import main
from ft_assets.commands.current import current_versions
from ft_assets.lineage.graph import Build, builds, files
from ft_assets.lineage.page import render_lineage
from ft_assets.lineage.usage import UnknownError, checkpoints, file_uses, find_checkpoint, making, settings
from ft_assets.paths import data_dir
from ft_assets.report_server import handler
from ft_assets_tests.lineage.conftest import HOSTILE, HOSTILE_FILE
from ft_assets_tests.runs import current
from ft_assets_tests.tickets import materialize, task


def newest(store: Path, asset: str) -> Build:
    return [build for build in builds(store) if build.asset == asset][-1]


def ids(build: Build, table: str = "examples") -> set[str]:
    return set(
        pq.read_table(build.path / f"{table}.parquet", columns=["example_id"])["example_id"].to_pylist()
    )


def rows_by_hand(store: Path, file: str, split: str) -> int:
    """Rows of a file whose text is in the newest split: counted row by row, without joins."""
    raw = pq.read_table(newest(store, "raw_examples").path / "examples.parquet").to_pylist()
    into = {}
    for asset in ("cleaned_examples", "labeled_examples"):
        merged = pq.read_table(newest(store, asset).path / "merged.parquet").to_pylist()
        into |= {row["example_id"]: row["merged_into"] for row in merged}
    held, count = ids(newest(store, f"{split}_split")), 0
    for row in raw:
        example_id = row["example_id"]
        while example_id in into:
            example_id = into[example_id]
        count += row["file"] == file and example_id in held
    return count


def test_rows_of_a_file_are_counted_in_every_split_by_their_text(store: Path) -> None:
    (use, *_) = find_checkpoint(builds(store), newest(store, "checkpoint").data_version)
    found = {file.name: file.rows for file in use.files}
    assert set(found) == {"tickets.csv", HOSTILE}
    for name, rows in found.items():
        assert rows == {split: rows_by_hand(store, name, split) for split in ("train", "validation")}
    # One row of the second file is a duplicate of one of the first: its text counts for both.
    splits = sum(use.rows[split] for split in ("train", "validation"))
    merged = len(ids(newest(store, "cleaned_examples"), "merged"))
    assert (
        merged == 1
        and splits <= sum(sum(map(int, rows.values())) for rows in found.values()) <= splits + merged
    )


def test_a_checkpoint_tells_all_that_went_into_it(store: Path, tiny_bert_dir: Path) -> None:
    second, first = checkpoints(builds(store))
    assert [file.name for file in first.files] == ["tickets.csv"]
    assert second.rows == {
        split: len(ids(newest(store, f"{split}_split"))) for split in ("train", "validation")
    }
    assert {file.name: file.sha256 for file in second.files} == files(newest(store, "raw_examples"))
    assert second.base_model == str(tiny_bert_dir)
    assert f"{second.code}-{second.config_digest}" == second.build.record["code_version"]
    assert second.libraries["torch"] and second.config["training"]["epochs"] == 4
    (report,) = second.reports
    assert report.build == newest(store, "evaluation_report")
    assert report.rows == len(ids(newest(store, "test_split")))


def test_a_file_tells_which_checkpoints_and_reports_hold_its_rows(store: Path) -> None:
    found = {use.name: use for use in file_uses(builds(store))}
    first, second = (build for build in builds(store) if build.asset == "checkpoint")
    assert [build for build, _ in found["tickets.csv"].checkpoints] == [second, first]
    assert [build for build, _ in found[HOSTILE].checkpoints] == [second]
    for name, use in found.items():
        build, rows = use.reports[0]
        assert build == newest(store, "evaluation_report")
        assert rows == rows_by_hand(store, name, "test")
    assert found["tickets.csv"].rows == 180


def test_a_file_is_found_by_name_and_by_content(store: Path) -> None:
    known = builds(store)
    sha256 = files(newest(store, "raw_examples"))[HOSTILE]
    for wanted in (HOSTILE, sha256, sha256[:8].upper()):
        (use,) = file_uses(known, wanted)
        assert (use.name, use.sha256) == (HOSTILE, sha256)
    for wrong in ("ticket.csv", "", sha256[:3], "../tickets.csv"):
        with pytest.raises(UnknownError, match="no build has read this file") as told:
            file_uses(known, wrong)
        assert "tickets.csv" in told.value.where


def test_a_checkpoint_is_found_by_the_beginning_of_its_version(store: Path) -> None:
    known, version = builds(store), newest(store, "checkpoint").data_version
    assert find_checkpoint(known, version[:10])[0].build.data_version == version
    for wrong in ("", "nothing"):
        with pytest.raises(UnknownError, match="checkpoint"):
            find_checkpoint(known, wrong)


def test_rows_that_can_no_longer_be_counted_are_unknown_and_not_none(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    shutil.rmtree(newest(copy, "train_split").path)
    (use, *_) = checkpoints(builds(copy))
    assert {file.rows["train"] for file in use.files} == {None}
    assert None not in {file.rows["validation"] for file in use.files}
    assert file_uses(builds(copy), HOSTILE)[0].checkpoints  # it may hold rows of it


def test_from_manifests_alone_the_same_files_are_told(store: Path) -> None:
    build = newest(store, "checkpoint")
    made = making(builds(store), build.build_key)
    assert made is not None and making(builds(store), "nothing") is None
    assert {file.name: file.read for file in made.files} == {"tickets.csv": 180, HOSTILE: 34}
    assert {len(file.rows) for file in made.files} == {0}


def test_a_file_that_was_read_later_and_gave_the_same_rows_is_not_told_as_trained_on(store: Path) -> None:
    known = builds(store)
    raw, cleaned, trained_first = (
        next(build for build in known if build.asset == asset)
        for asset in ("raw_examples", "cleaned_examples", "checkpoint")
    )
    later = {"build_key": "later", "created": "2999-01-01T00:00:00+00:00"}
    sources = {"source:0/default/tickets.csv": "f" * 64}  # other bytes, as with another order of its columns
    again = Build(**{**vars(raw), **later, "data_version": "again", "sources": sources})
    same = Build(**{**vars(cleaned), **later, "inputs": {"raw_examples": "again"}})
    history = [*known, again, same]
    (use,) = find_checkpoint(history, trained_first.data_version)
    assert [file.sha256 for file in use.files] == list(files(raw).values())
    # The model holds its rows all the same, and whoever asks for the file is told so.
    (other,) = file_uses(history, "ffffff")
    assert trained_first in [build for build, _ in other.checkpoints]


def test_settings_are_told_on_a_line_each() -> None:
    config = {"labels": ["a", "b"], "training": {"epochs": 2, "dropout": None, "lora": {"rank": 8}}}
    assert settings(config) == {"labels": "a, b", "training.epochs": "2", "training.lora.rank": "8"}


# --- what is current ----------------------------------------------------------------------------------------


def test_current_is_what_was_materialised_last_though_it_was_built_before(
    history: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    known = builds(data_dir() / "store")
    assert current_versions(known) == {"tickets": current(history)}
    (data_dir() / "incoming" / "tickets" / HOSTILE_FILE).unlink()
    materialize(history, task(tiny_bert_dir), "raw_examples")
    first = next(build for build in known if build.asset == "raw_examples")
    found = current_versions(known)
    assert found is not None and found["tickets"]["raw_examples"] == first.data_version


def test_without_a_home_nothing_is_current(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert current_versions(builds(store)) is None


# --- commands -----------------------------------------------------------------------------------------------


@pytest.fixture
def at_the_store(history_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FT_DATA_DIR", str(history_once))
    monkeypatch.setenv("DAGSTER_HOME", str(history_once / "dagster"))
    monkeypatch.delenv("FT_STORE", raising=False)
    return history_once / "store"


def test_lineage_prints_files_and_checkpoints(at_the_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "tickets"]) == 0
    told = capsys.readouterr().out
    for asset in ("checkpoint", "evaluation_report", "raw_examples"):
        assert f"{newest(at_the_store, asset).data_version[:12]} (current)" in told
    assert "180 rows, 0 unreadable" in told and "training.epochs" not in told
    assert "\x1b" not in told and "\u202e" not in told and "<img src=x onerror=alert(1)>" in told


def test_lineage_of_one_checkpoint_lists_its_settings(
    at_the_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lineage", "--checkpoint", newest(at_the_store, "checkpoint").data_version]) == 0
    assert "training.epochs: 4" in capsys.readouterr().out


def test_lineage_as_json_has_whole_versions(at_the_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = newest(at_the_store, "checkpoint").data_version
    assert main(["lineage", "--checkpoint", version[:8], "--json"]) == 0
    ((found,),) = [task["checkpoints"] for task in json.loads(capsys.readouterr().out)]
    assert found["data_version"] == version and found["current"] is True and found["in_store"] is True
    assert main(["lineage", "--file", "tickets.csv", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert [len(file["checkpoints"]) for file in told["files"]] == [2] and told["checkpoints"] == []


def test_explain_prints_a_life(at_the_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example_id, *_) = sorted(ids(newest(at_the_store, "test_split")))
    assert main(["explain", example_id]) == 0
    told = capsys.readouterr().out
    for words in ("Now: in the test split", "read from ", "kept as it was", "text, masked: ", "predicted "):
        assert words in told
    assert main(["explain", example_id, "--task", "tickets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["example_id"] == example_id


def test_a_row_of_a_hostile_file_does_not_act_on_the_terminal(
    at_the_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pq.read_table(newest(at_the_store, "raw_examples").path / "examples.parquet").to_pylist()
    for row in [row for row in table if row["file"] == HOSTILE][:4]:
        assert main(["explain", row["example_id"]]) == 0
        told = capsys.readouterr().out
        assert "onerror" in told and not re.search("[\x00-\x09\x0b-\x1f\u202e]", told)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explain", "ffff", "--task", "nothing"], "nothing was built yet of the task nothing"),
        (["lineage", "nothing"], "nothing was built yet of the task nothing"),
        (["lineage", "--file", "x.csv"], "no build has read this file"),
        (["lineage", "--checkpoint", "x"], "no checkpoint begins with that version"),
        (["lineage", "../.."], "nothing was built yet"),
    ],
)
def test_what_is_not_there_is_an_error_with_advice(
    at_the_store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert says in told and "do: " in told


# --- in the browser -----------------------------------------------------------------------------------------


@pytest.fixture
def server(at_the_store: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(at_the_store, current_versions)) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def test_the_report_server_shows_the_lineage_and_its_links_lead_somewhere(server: str, store: Path) -> None:
    page = requests.get(f"{server}/tickets/lineage", timeout=60)
    assert page.status_code == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]
    links = set(re.findall(r'href="([^"]+)"', page.text)) - {"data:,"}
    anchors = {f"#{found}" for found in re.findall(r'id="([^"]+)"', page.text)}
    assert {link for link in links if link.startswith("#")} <= anchors
    reports = {link for link in links if not link.startswith("#")}
    assert len(reports) == 2
    for link in reports:
        assert requests.get(f"{server}{link}", timeout=60).status_code == 200
    assert page.text.count('class="now"') >= 3
    assert "/tickets/lineage" in requests.get(server, timeout=60).text


@pytest.mark.parametrize(
    "path", ["/nothing/lineage", "/tickets/lineage/x", "/../lineage", "/tickets/lineage%0a"]
)
def test_other_places_are_not_found(server: str, path: str) -> None:
    assert requests.get(f"{server}{path}", timeout=60).status_code == 404


def test_other_hosts_are_refused(server: str) -> None:
    answer = requests.get(f"{server}/tickets/lineage", headers={"Host": "evil.example"}, timeout=60)
    assert answer.status_code == 403


def test_a_hostile_name_is_text_on_the_page(store: Path) -> None:
    page = render_lineage("tickets", builds(store))
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\x1b" not in page and "\u202e" not in page and "⟨U+202E⟩" in page
    assert not re.search(r"<script|https?://(?!127)", page)


def test_a_damaged_table_is_told_in_the_browser(server: str, at_the_store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(at_the_store, tmp_path / "store")
    os.truncate(newest(copy, "train_split").path / "examples.parquet", 10)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(copy, current_versions)) as made:
        threading.Thread(target=made.handle_request).start()
        answer = requests.get(f"http://127.0.0.1:{made.server_address[1]}/tickets/lineage", timeout=60)
    assert answer.status_code == 500 and "is damaged" in answer.text


# --- in the UI ----------------------------------------------------------------------------------------------


def metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", asset]))
    assert event is not None and event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_the_assets_link_to_the_lineage(history: dg.DagsterInstance) -> None:
    for asset in ("raw_examples", "checkpoint", "evaluation_report"):
        assert "/tickets/lineage" in metadata(history, asset)["lineage"]
    key = newest(data_dir() / "store", "checkpoint").build_key
    assert f"#checkpoint-{key})" in metadata(history, "checkpoint")["lineage"]


def test_the_checkpoint_shows_what_it_was_made_of(history: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    shown = metadata(history, "checkpoint")
    (use, *_) = checkpoints(builds(data_dir() / "store"))
    found = {record.data["file"]: record.data for record in shown["files"].records}
    assert found["tickets.csv"]["rows"] == 180 and len(found) == 2
    assert {
        record.data["split"]: record.data["rows"] for record in shown["rows_by_split"].records
    } == use.rows
    made_of = {record.data["what"]: record.data["value"] for record in shown["made_of"].records}
    assert made_of["base model"].startswith(str(tiny_bert_dir))
    assert (made_of["code"], made_of["configuration"]) == (use.code, use.config_digest)
