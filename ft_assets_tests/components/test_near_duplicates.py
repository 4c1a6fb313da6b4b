"""Near duplicates in the graph of a task: one split for all that are connected, told in the UI and by `explain`."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.components import audit
from ft_assets.components.stage import Task
from ft_assets.data.duplicates.sets import Sets
from ft_assets.lineage.explain import explain
from ft_assets.paths import remembered_dir, store_root
from ft_assets.removal.unfinished import unfinished
from ft_assets_tests.runs import current
from ft_assets_tests.tickets import materialize, task, tickets, write_csv

SPLITS = ("train_split", "validation_split", "test_split")
DATA = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)
LONG = "the parcel of my order came late again and the courier did not find the address today"
VERSIONS = 12


@pytest.fixture
def incoming(project_data: Path) -> Path:
    """Tickets, and a dozen customers who tell the same in nearly the same words."""
    near = [
        {"body": f"{LONG} {number}", "category": "delivery", "customer": f"neighbour {number}"}
        for number in range(VERSIONS)
    ]
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, [*tickets(), *near])
    return file


def made_of(**near: Any) -> Task:
    return task(Path(), cleaning={"near_duplicates": near})


def artifact(instance: dg.DagsterInstance, asset: str) -> Artifact:
    return ArtifactStore(store_root()).open("tickets", asset, current(instance)[asset])


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = (
        event.event_specific_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key.path[-1] == asset
    )
    return {name: value.value for name, value in event.metadata.items()}


def versions_of_the_long_text(instance: dg.DagsterInstance) -> dict[str, str]:
    """example_id → split of the rows that tell the same."""
    return {
        row["example_id"]: asset
        for asset in SPLITS
        for row in artifact(instance, asset).table().to_pylist()
        if row["text"].startswith(LONG)
    }


def test_near_duplicates_of_many_groups_are_in_one_split(
    instance: dg.DagsterInstance, incoming: Path
) -> None:
    result = materialize(instance, made_of(), *DATA)
    found = versions_of_the_long_text(instance)
    assert len(found) == VERSIONS
    assert len(set(found.values())) == 1
    told = metadata_of(result, "labeled_examples")
    # Each is like each other one; no two of the tickets are, which are words drawn at random.
    assert told["near_duplicate_pairs"] == VERSIONS * (VERSIONS - 1) // 2
    assert told["rows_with_near_duplicates"] == VERSIONS
    assert told["largest_clusters"].records[0].data["rows"] == VERSIONS


def test_where_they_are_ignored_groups_alone_hold_rows_together(
    instance: dg.DagsterInstance, incoming: Path
) -> None:
    result = materialize(instance, made_of(action="ignore"), *DATA)
    assert len(set(versions_of_the_long_text(instance).values())) > 1
    assert "near_duplicate_pairs" not in metadata_of(result, "labeled_examples")
    assert "near_duplicates.parquet" not in artifact(instance, "labeled_examples").files


def test_merged_ones_live_on_in_one_row_and_explain_says_how_like_they_are(
    instance: dg.DagsterInstance, incoming: Path
) -> None:
    materialize(instance, made_of(action="merge"), *DATA)
    (kept,) = versions_of_the_long_text(instance)
    labelled = artifact(instance, "labeled_examples")
    merged = labelled.table("merged").to_pylist()
    assert {row["merged_into"] for row in merged} == {kept}
    assert len(merged) == VERSIONS - 1
    gone = explain(Path(store_root()), "tickets", merged[0]["example_id"], {"tickets": current(instance)})
    (event,) = (event for event in gone.events if event.fate == "merged")
    assert event.facts["rule"] == "near_duplicate"
    assert 0.9 < event.facts["similarity"] < 1  # two digits of 85 characters differ
    assert gone.now.startswith(f"merged into {kept}, which is in the ")
    stays = explain(Path(store_root()), "tickets", kept, {"tickets": current(instance)})
    near = next(event.facts for event in stays.events if event.asset == "labeled_examples")["near_duplicates"]
    assert set(near) <= {row["example_id"] for row in merged}


def test_another_threshold_does_not_clean_again(instance: dg.DagsterInstance, incoming: Path) -> None:
    materialize(instance, made_of(), *DATA)
    before = current(instance)
    again = materialize(instance, made_of(threshold=1.0), *DATA)
    assert metadata_of(again, "cleaned_examples")["reused"]
    assert not metadata_of(again, "labeled_examples")["reused"]
    assert current(instance)["cleaned_examples"] == before["cleaned_examples"]


def test_a_near_duplicate_that_comes_later_goes_where_the_first_one_is(
    instance: dg.DagsterInstance, incoming: Path
) -> None:
    rows = tickets()
    write_csv(incoming, rows)
    materialize(instance, made_of(), *DATA)
    held = {row["text"]: asset for asset in SPLITS for row in artifact(instance, asset).table().to_pylist()}
    later = [
        row | {"body": f"{row['body']} ok", "customer": f"later {number}"}
        for number, row in enumerate(rows[:60])
    ]
    write_csv(incoming.with_name("later.csv"), later)
    materialize(instance, made_of(), *DATA)
    came = {row["text"]: asset for asset in SPLITS for row in artifact(instance, asset).table().to_pylist()}
    assert {text: came[text] for text in held} == held
    moved = [
        row for row in rows[:60] if came.get(f"{row['body']} ok", held[row["body"]]) != held[row["body"]]
    ]
    assert moved == []
    assert {held[row["body"]] for row in rows[:60]} == set(SPLITS)


def test_what_was_computed_of_texts_serves_the_other_stages_and_the_next_run(
    instance: dg.DagsterInstance, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[int] = []
    add = Sets.add
    monkeypatch.setattr(
        Sets, "add", lambda self, rows, *rest: (signed.append(len(rows)), add(self, rows, *rest))
    )
    materialize(instance, made_of(), *DATA)
    of_all = sum(signed)
    texts = artifact(instance, "labeled_examples").table().num_rows
    assert (
        texts <= of_all <= 2 * texts
    )  # once each, by words, by characters, or both; not once more for the splits
    signed.clear()
    write_csv(
        incoming.with_name("zz.csv"),
        [{"body": f"{LONG} at last", "category": "delivery", "customer": "another neighbour"}],
    )
    materialize(instance, made_of(), *DATA)
    assert 1 <= sum(signed) <= 2
    assert len(versions_of_the_long_text(instance)) == VERSIONS + 1


def test_what_is_remembered_is_told_by_the_code_that_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = audit.memory(made_of())
    # The files have changed since.
    monkeypatch.setattr(audit, "code_version", lambda *code: "another")
    assert audit.memory(made_of()) == loaded


def test_what_was_computed_of_texts_is_among_what_an_erasure_takes_away(
    instance: dg.DagsterInstance, incoming: Path
) -> None:
    materialize(instance, made_of(), *DATA)
    assert set(unfinished("tickets")) >= set((remembered_dir() / "tickets").iterdir()) != set()
