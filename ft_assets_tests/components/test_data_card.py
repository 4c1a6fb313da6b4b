"""The asset `data_card` on a real instance: what it shows, what makes it anew, and how versions are compared."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.paths import data_dir
from ft_assets_tests.tickets import ASSETS, LABELS, materialize, task, ticket, tickets, write_csv

DATA = (*ASSETS[:7], "data_card")


@pytest.fixture
def file(project_data: Path) -> Path:
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, tickets())
    return file


def made(result: dg.ExecuteInProcessResult) -> dg.AssetMaterialization:
    (event,) = result.asset_materializations_for_node("tickets__data_card")
    return event


def card_of(event: dg.AssetMaterialization) -> dict[str, Any]:
    place = str(event.metadata["artifact"].value)
    return json.loads((data_dir() / "store" / "tickets" / place / "data_card.json").read_text())


def drift_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "no_drift"]
    return found


def test_the_card_tells_what_the_stages_have_made(
    instance: dg.DagsterInstance, file: Path, tiny_bert_dir: Path
) -> None:
    about = {"licence": "CC0-1.0", "contact": "data@example.org"}
    result = materialize(instance, task(tiny_bert_dir, card=about), *DATA)
    event = made(result)
    card = card_of(event)
    assert card["answer"].startswith("180 rows of 1 file became 180 examples")
    assert card["labels"]["after"] == dict.fromkeys(LABELS, 60)
    assert (card["licence"], card["source"]) == ("CC0-1.0", "")
    assert card["drift"]["says"] == "There is no earlier version: nothing to compare with."
    assert drift_check(result).passed
    assert event.metadata["licence"].value == "CC0-1.0"
    assert "/data_card.html" in str(event.metadata["card"].value)


def test_the_same_again_is_reused_and_another_word_about_the_data_is_not(
    instance: dg.DagsterInstance, file: Path, tiny_bert_dir: Path
) -> None:
    first = made(materialize(instance, task(tiny_bert_dir), *DATA))
    again = made(materialize(instance, task(tiny_bert_dir), *DATA))
    assert again.metadata["reused"].value is True
    other = made(materialize(instance, task(tiny_bert_dir, card={"language": "en"}), *DATA))
    assert other.metadata["reused"].value is False
    assert [card_of(each)["language"] for each in (first, other)] == ["", "en"]


def test_other_limits_of_the_checks_are_told_although_no_row_has_changed(
    instance: dg.DagsterInstance, file: Path, tiny_bert_dir: Path
) -> None:
    write_csv(file, [*tickets(), {"body": " ", "category": "billing", "customer": "c"}])
    strict = task(tiny_bert_dir, contracts={"max_quarantined": 0})
    failed = [
        sorted(
            check["name"]
            for check in card_of(made(materialize(instance, each, *DATA)))["checks"]
            if not check["passed"]
        )
        for each in (task(tiny_bert_dir), strict)
    ]
    assert failed == [[], ["few_rows_quarantined"]]


def test_a_version_with_other_rows_is_compared_with_the_last_one(
    instance: dg.DagsterInstance, file: Path, tiny_bert_dir: Path
) -> None:
    materialize(instance, task(tiny_bert_dir), *DATA)
    before = instance.get_latest_materialization_event(dg.AssetKey(["tickets", "labeled_examples"]))
    assert before is not None and before.asset_materialization is not None
    version = (before.asset_materialization.tags or {})["dagster/data_version"]
    new = [ticket("billing", 1_000 + number) | {"customer": f"new {number}"} for number in range(120)]
    write_csv(file, [*tickets(), *new])

    result = materialize(instance, task(tiny_bert_dir), *DATA)
    event = made(result)
    drift = card_of(event)["drift"]
    assert (drift["version"], drift["new"], drift["gone"]) == (version, 120, 0)
    check = drift_check(result)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "labels of new rows: " in (check.description or "")
    assert event.metadata["drift_labels_of_new_rows"].value > 0.1

    again = materialize(instance, task(tiny_bert_dir), *DATA)
    assert made(again).metadata["reused"].value is True
    assert not drift_check(again).passed
    # A change that leaves the rows alone still compares with the same version.
    described = made(materialize(instance, task(tiny_bert_dir, card={"language": "en"}), *DATA))
    assert described.metadata["reused"].value is False
    assert card_of(described)["drift"] == drift


def test_a_last_version_that_is_gone_is_said_to_be(
    instance: dg.DagsterInstance, file: Path, tiny_bert_dir: Path
) -> None:
    materialize(instance, task(tiny_bert_dir), *DATA)
    store = data_dir() / "store" / "tickets" / "labeled_examples"
    [old] = store.glob("*/manifest.json")
    write_csv(file, tickets(150))
    materialize(instance, task(tiny_bert_dir), *DATA[:-1])
    for each in old.parent.iterdir():
        each.unlink()
    old.parent.rmdir()
    event = made(materialize(instance, task(tiny_bert_dir), "data_card"))
    assert card_of(event)["drift"]["says"].startswith("The last version is no longer in the store")


def test_an_address_with_a_password_is_not_shown(
    instance: dg.DagsterInstance, file: Path, tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ft_assets.components.data_card import _shown_settings

    secret = task(tiny_bert_dir, sources=[{"path": "https://ann:hunter2@example.org/a.csv"}])
    assert "hunter2" not in json.dumps(_shown_settings(secret))
