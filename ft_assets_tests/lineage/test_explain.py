"""The life of one row, told from the store."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ft_assets.errors import UserError
from ft_assets.lineage.explain import Event, Explanation, explain
from ft_assets.lineage.graph import Build, builds
from ft_assets_tests.lineage.conftest import CONFLICTING, EMPTY, HOSTILE, SAME, UNEVEN
from ft_assets_tests.tickets import ticket


def newest(store: Path) -> dict[str, str]:
    return {build.asset: build.data_version for build in builds(store)}


def life(store: Path, example_id: str) -> Explanation:
    return explain(store, "tickets", example_id, {"tickets": newest(store)})


def row_of(store: Path, body: str, file: str | None = None) -> str:
    """The id of a row in the newest raw_examples."""
    table = pq.read_table(
        store / "tickets" / "raw_examples" / newest(store)["raw_examples"] / "examples.parquet"
    )
    found = [row for row in table.to_pylist() if row["text"] == body and file in (None, row["file"])]
    (row,) = found
    return str(row["example_id"])


def row_in(store: Path, build: Build) -> str:
    return str(
        pq.read_table(build.path / "examples.parquet", columns=["example_id"])["example_id"][0].as_py()
    )


def event(found: Explanation, asset: str, current: bool = True) -> Event:
    (only,) = [each for each in found.events if each.asset == asset and each.current is current]
    return only


def last(store: Path, asset: str) -> Build:
    return [build for build in builds(store) if build.asset == asset][-1]


def test_a_trained_row_is_followed_from_its_file_to_both_checkpoints(store: Path) -> None:
    example_id = row_in(store, last(store, "train_split"))
    found = life(store, example_id)
    assert found.now.startswith("in the train split, with the label ")
    read = event(found, "raw_examples")
    lines = (store.parent / "incoming" / "tickets" / read.facts["file"]).read_text().splitlines()
    text = event(found, "cleaned_examples").facts["text"]
    assert lines[read.facts["row"] - 1].startswith(f"{text},")  # lines count from 1, as in an editor
    assert {each.fate for each in found.events if each.asset == "checkpoint"} == {"trained on"}
    assert not [each for each in found.events if each.asset == "evaluation_report"]


def test_a_test_row_is_told_with_its_prediction(store: Path) -> None:
    report = last(store, "evaluation_report")
    (row, *_) = pq.read_table(report.path / "predictions.parquet").to_pylist()
    found = life(store, row["example_id"])
    judged = event(found, "evaluation_report").facts
    assert judged["prediction"] == row["prediction"]
    assert judged["right"] == (judged["label"] == row["prediction"])
    assert judged["confidence"] == pytest.approx(row[f"p_{row['prediction']}"], abs=1e-4)
    assert judged["checkpoint"] == newest(store)["checkpoint"]
    assert not [each for each in found.events if each.asset == "checkpoint"]


def test_a_repaired_row_tells_which_rules_changed_it_and_shows_its_text_masked(store: Path) -> None:
    found = life(store, row_of(store, UNEVEN["body"]))
    cleaned = event(found, "cleaned_examples").facts
    assert set(cleaned["changed_by"]) == {"control_characters", "white_space", "personal_data"}
    # A bell and a space less, and a placeholder.
    assert cleaned["characters_before"] - cleaned["characters"] == 2 + len("ann@example.org") - len("<EMAIL>")
    assert cleaned["text"] == "my invoice was wrong, write to <EMAIL>"
    assert "ann@example.org" not in json.dumps(found.as_dict())


def test_settings_that_this_version_does_not_know_leave_the_repairs_untold(
    store: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    example_id = row_of(store, UNEVEN["body"])
    for place in (copy / "tickets" / "cleaned_examples" / "index").iterdir():
        entry = json.loads(place.read_text())
        entry["build"]["config"]["cleaning"]["of_another_version"] = 1
        place.write_text(json.dumps(entry))
    assert "changed_by" not in event(life(copy, example_id), "cleaned_examples").facts


def test_a_merged_row_is_followed_on_as_the_row_that_stands_for_it(store: Path) -> None:
    first = row_of(store, SAME["body"], "tickets.csv")
    second = row_of(store, SAME["body"], HOSTILE)
    kept = [each for each in life(store, second).events if each.asset == "cleaned_examples" and each.current]
    merged = {each.example_id: each for each in kept if each.fate == "merged"}
    (gone,) = merged
    stands = {first, second} - {gone}
    assert merged[gone].facts["into"] in stands
    found = life(store, gone)
    assert found.now.startswith(f"merged into {merged[gone].facts['into']}, which is in the ")
    assert {
        each.example_id for each in found.events if each.asset.endswith("_split") and each.current
    } == stands
    (other,) = stands
    assert event(life(store, other), "cleaned_examples").facts["stands_for"] == [gone]


def test_a_refused_row_tells_the_rule_and_shows_no_text(store: Path) -> None:
    found = life(store, row_of(store, EMPTY["body"]))
    assert found.now == "refused by empty_text in cleaned_examples"
    assert [each.fate for each in found.events] == ["read", "refused"]
    assert not [each for each in found.events if "text" in each.facts]


def test_a_row_that_was_trained_on_and_is_refused_now_tells_both(store: Path) -> None:
    first = row_of(store, CONFLICTING["body"], "tickets.csv")
    second = row_of(store, CONFLICTING["body"], HOSTILE)
    found = life(store, first)
    assert found.now == "refused by conflicting_labels in labeled_examples"
    assert event(found, "labeled_examples").facts["same_text"] == [second]
    before = event(found, "labeled_examples", current=False)
    assert before.fate == "kept" and before.facts["label"] == "delivery"
    assert [each for each in found.events if each.asset.endswith("_split") and each.current is False]


def test_the_beginning_of_an_id_is_enough_and_several_are_listed(store: Path) -> None:
    example_id = row_in(store, last(store, "test_split"))
    assert life(store, f" {example_id[:10].upper()} ").example_id == example_id
    with pytest.raises(UserError, match="rows have an id that begins with") as told:
        life(store, example_id[:1])
    assert example_id[:1] in told.value.where and "(tickets)" in told.value.where and told.value.do


def test_an_unknown_id_names_the_nearest(store: Path) -> None:
    example_id = row_in(store, last(store, "train_split"))
    mistyped = example_id[:7] + ("0" if example_id[7] != "0" else "1") + example_id[8:]
    missing = example_id[:7] + example_id[8:]
    for wrong in (mistyped, missing):
        with pytest.raises(UserError, match="no row has the id") as told:
            life(store, wrong)
        assert example_id in told.value.do


@pytest.mark.parametrize("wrong", ["", "xyz", "0" * 17, "my invoice was wrong", "\x1b[31m"])
def test_what_is_no_id_is_said_without_repeating_it(store: Path, wrong: str) -> None:
    with pytest.raises(UserError, match="no example id") as told:
        life(store, wrong)
    assert not wrong or wrong not in str(told.value)


def test_a_row_of_two_tasks_asks_for_the_task(store: Path, tmp_path: Path) -> None:
    for name in ("tickets", "copied"):
        shutil.copytree(store / "tickets", tmp_path / name)
    example_id = row_in(store, last(store, "train_split"))
    with pytest.raises(UserError, match="2 tasks have") as told:
        explain(tmp_path, None, example_id)
    assert "--task" in told.value.do
    assert explain(tmp_path, "copied", example_id).task == "copied"


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was built yet of the task tickets"):
        explain(tmp_path, "tickets", "00")


def test_a_row_whose_file_is_gone_is_not_current_but_known(store: Path) -> None:
    example_id = row_of(store, ticket("technical", 500)["body"])
    older = {build.asset: build.data_version for build in reversed(builds(store))}
    found = explain(store, None, example_id, {"tickets": older})
    assert found.now.startswith("not in the current raw_examples")
    assert found.events and not [each for each in found.events if each.current]


def test_without_an_instance_nothing_is_called_current(store: Path) -> None:
    found = explain(store, None, row_in(store, last(store, "train_split")))
    assert {each.current for each in found.events} == {None} and "DAGSTER_HOME" in found.now


def test_versions_that_were_removed_are_named(store: Path, tmp_path: Path) -> None:
    example_id = row_in(store, last(store, "train_split"))
    copy = shutil.copytree(store, tmp_path / "store")
    first = next(build for build in builds(copy) if build.asset == "raw_examples")
    shutil.rmtree(first.path)
    assert life(copy, example_id).gone == [f"raw_examples/{first.data_version}"]


def test_a_damaged_table_is_an_error_that_says_where(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    build = last(copy, "labeled_examples")
    with (build.path / "examples.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match="is damaged") as told:
        life(copy, row_of(store, UNEVEN["body"]))
    assert build.data_version in told.value.where


def test_the_facts_are_plain_json(store: Path) -> None:
    for body in (SAME["body"], UNEVEN["body"], EMPTY["body"]):
        file = "tickets.csv" if body == SAME["body"] else None
        told: Mapping[str, Any] = life(store, row_of(store, body, file)).as_dict()
        assert json.loads(json.dumps(told)) == told
