"""The graph of a task on a real instance: what is published, what is reused, what a change reaches."""

import json
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.components.stage import Task
from ft_assets.compute.local import LocalLauncher
from ft_assets.paths import data_dir
from ft_assets.worker.work_order import Kind
from ft_assets_tests.runs import customer_in
from ft_assets_tests.tickets import ASSETS, LABELS, definitions, materialize, task, ticket, tickets, write_csv


def versions(instance: dg.DagsterInstance) -> dict[str, str]:
    found = {}
    for asset in ASSETS:
        event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", asset]))
        if event is not None and event.asset_materialization is not None:
            found[asset] = (event.asset_materialization.tags or {})["dagster/data_version"]
    return found


def by_asset(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    events = (
        event.event_specific_data.materialization for event in result.get_asset_materialization_events()
    )
    return {event.asset_key.path[-1]: event for event in events}


def report_file(instance: dg.DagsterInstance) -> Path:
    event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", "evaluation_report"]))
    assert event is not None and event.asset_materialization is not None
    artifact = str(event.asset_materialization.metadata["artifact"].value)
    return data_dir() / "store" / "tickets" / artifact / "report.html"


@pytest.fixture
def incoming(project_data: Path) -> Path:
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, tickets())
    return file


def test_a_csv_becomes_a_report(trained: dg.DagsterInstance) -> None:
    assert set(versions(trained)) == set(ASSETS)
    report = json.loads(report_file(trained).with_suffix(".json").read_text())
    assert report["task"] == "tickets" and report["verdict"] is None
    assert {"accuracy", "f1_macro", *(f"f1_{label}" for label in LABELS)} <= set(report["metrics"])
    # Three kinds of ticket with words of their own: a model that has learned anything beats the majority.
    majority = report["baselines"]["majority"]["metrics"]["accuracy"]["value"]
    assert report["metrics"]["accuracy"]["value"] > majority


def test_a_second_run_reuses_everything(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    before = versions(trained)
    second = by_asset(materialize(trained, task(tiny_bert_dir)))
    assert set(second) == set(ASSETS)
    assert all(event.metadata["reused"].value for event in second.values())
    assert versions(trained) == before


@pytest.fixture
def made_ready(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of work for which runs have started a worker ahead."""
    kinds: list[str] = []
    make_ready = LocalLauncher.make_ready

    def noted(launcher: LocalLauncher, kind: Kind, task_type: str) -> None:
        kinds.append(kind)
        make_ready(launcher, kind, task_type)

    monkeypatch.setattr(LocalLauncher, "make_ready", noted)
    return kinds


def test_a_run_that_reuses_everything_starts_no_worker(
    trained: dg.DagsterInstance, tiny_bert_dir: Path, made_ready: list[str]
) -> None:
    materialize(trained, task(tiny_bert_dir))
    assert made_ready == []


def test_a_run_without_training_starts_no_worker(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path, made_ready: list[str]
) -> None:
    materialize(instance, task(tiny_bert_dir), *ASSETS[:6])
    assert made_ready == []


def test_a_run_that_will_train_starts_the_worker_with_its_first_stage(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path, made_ready: list[str]
) -> None:
    write_csv(incoming, tickets(3))  # too few to be split: the run ends before the training
    result = materialize(instance, task(tiny_bert_dir), raise_on_error=False)
    assert not result.success and made_ready[0] == "train"


def test_how_long_a_build_took_is_kept_when_it_is_reused(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    second = by_asset(materialize(trained, task(tiny_bert_dir)))
    seconds = {asset: event.metadata["build_seconds"].value for asset, event in second.items()}
    assert min(seconds.values()) > 0


def test_every_asset_tells_what_it_is(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    specs = definitions(task(tiny_bert_dir)).resolve_all_asset_specs()
    assert {spec.key.path[-1] for spec in specs} == set(ASSETS)
    for spec in specs:
        assert spec.description and spec.kinds and spec.code_version and spec.group_name == "tickets"


def test_what_was_read_is_what_is_recorded(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    materialize(instance, made, "raw_examples", "cleaned_examples")
    event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", "cleaned_examples"]))
    assert event is not None and event.asset_materialization is not None
    tags = event.asset_materialization.tags or {}
    assert tags["dagster/input_data_version/tickets/raw_examples"] == versions(instance)["raw_examples"]


def test_another_learning_rate_touches_no_data_asset(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    before = versions(trained)
    changed = task(tiny_bert_dir, training={"method": "full", "learning_rate": 1e-3, "epochs": 1})
    second = by_asset(materialize(trained, changed))
    rebuilt = {asset for asset, event in second.items() if not event.metadata["reused"].value}
    assert rebuilt == {"checkpoint", "evaluation_report"}
    after = versions(trained)
    assert {asset for asset in ASSETS if after[asset] != before[asset]} == rebuilt


def test_another_report_title_trains_nothing(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    changed = task(tiny_bert_dir, evaluation={"resamples": 500, "title": "Tickets, told apart"})
    second = by_asset(materialize(trained, changed))
    assert {asset for asset, event in second.items() if not event.metadata["reused"].value} == {
        "evaluation_report"
    }


def test_a_price_is_shown_without_training_again(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    def shown(made: Task) -> dict[str, dg.MetadataValue]:
        event = by_asset(materialize(trained, made, "checkpoint"))["checkpoint"]
        assert event.metadata["reused"].value is True
        return dict(event.metadata)

    assert not [name for name in shown(task(tiny_bert_dir)) if name.startswith("price")]
    found = shown(task(tiny_bert_dir, cost={"price_per_hour": 3600, "currency": "CHF"}))
    # One a second: the price is the worker's seconds, of which training is a part.
    assert found["price_chf"].value >= found["seconds"].value > 0
    assert found["model_flop_utilisation"].value > 0


def test_the_audit_is_on_the_checkpoint(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    metadata = by_asset(materialize(trained, task(tiny_bert_dir), "checkpoint"))["checkpoint"].metadata
    audit = {record.data["what"]: record.data["value"] for record in metadata["audit"].records}  # type: ignore[union-attr]
    assert audit["classes without rows"] == "none" and audit["padding token"] == "[PAD]"
    # A thousandth is the most that is let through.
    assert float(str(audit["reloaded logit difference"])) < 1e-3
    assert audit["reloaded classes tokenizer and window"] == "the same"


def test_a_row_that_lands_in_test_does_not_train_again(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    before = versions(trained)
    row = ticket("billing", 9_999) | {"customer": customer_in(trained, "test")}
    write_csv(data_dir() / "incoming" / "tickets" / "tickets.csv", [*tickets(), row])
    materialize(trained, made)
    after = versions(trained)
    same = {asset for asset in ASSETS if after[asset] == before[asset]}
    assert {"train_split", "validation_split", "base_model", "checkpoint"} <= same
    assert not same & {"raw_examples", "test_split", "evaluation_report"}


def test_rows_moved_within_the_file_stop_at_cleaning(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    data = ASSETS[:6]
    materialize(instance, made, *data)
    before = versions(instance)
    write_csv(incoming, tickets()[::-1])
    materialize(instance, made, *data)
    after = versions(instance)
    assert {asset for asset in data if after[asset] != before[asset]} == {"raw_examples"}


def test_a_failed_critical_check_publishes_nothing_and_keeps_the_last_good_version(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path, project_data: Path
) -> None:
    made = task(tiny_bert_dir)
    data = ASSETS[:6]
    materialize(instance, made, *data)
    before = versions(instance)

    write_csv(incoming, [ticket("billing", number) for number in range(60)])  # one class only
    result = materialize(instance, made, *data, raise_on_error=False)
    assert not result.success
    after = versions(instance)
    assert after["labeled_examples"] == before["labeled_examples"]
    assert after["train_split"] == before["train_split"]

    failed = {
        evaluation.check_name
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.asset_key.path[-1] == "labeled_examples"
    }
    assert "at_least_two_classes" in failed
    refused = list((project_data / "store" / "tickets" / "labeled_examples" / "refused").iterdir())
    assert len(refused) == 1 and (refused[0] / "refusal.json").is_file()

    write_csv(incoming, tickets(210))  # the mend flows
    assert materialize(instance, made, *data).success
    assert versions(instance)["train_split"] != before["train_split"]


def test_a_refused_split_keeps_all_three_splits(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    materialize(instance, made, *ASSETS[:6])
    before = versions(instance)
    # The only row of a fourth label is in test: train lacks a class, and that blocks all three.
    rare = ticket("billing", 77_777) | {"category": "praise", "customer": customer_in(instance, "test")}
    write_csv(incoming, [*tickets(), rare])
    changed = task(tiny_bert_dir, labels=[*LABELS, "praise"])
    result = materialize(instance, changed, *ASSETS[:6], raise_on_error=False)
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "train_split: every_class_present" in failure.step_failure_data.user_failure_data.description
    after = versions(instance)
    assert all(after[asset] == before[asset] for asset in ("train_split", "validation_split", "test_split"))
    assert after["labeled_examples"] != before["labeled_examples"]


def test_rows_are_kept_merged_or_quarantined_at_every_stage(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    extra = [
        {"body": "   ", "category": "billing", "customer": "x"},
        {"body": "the invoice is wrong", "category": "praise", "customer": "y"},
        {"body": "late again", "category": "billing", "customer": "z"},
        {"body": "Late  again", "category": "delivery", "customer": "z"},
        tickets()[0],
    ]
    write_csv(incoming, [*tickets(), *extra])
    result = by_asset(materialize(instance, task(tiny_bert_dir), *ASSETS[:7]))
    for asset in ("raw_examples", "cleaned_examples", "labeled_examples"):
        shown = {name: value.value for name, value in result[asset].metadata.items()}
        assert shown["rows_in"] == shown["dagster/row_count"] + shown["merged"] + shown["quarantined"]
    rules = result["quarantine"].metadata["by_rule"].records
    found = {record.data["rule"]: record.data["rows"] for record in rules}
    assert found == {"empty_text": 1, "unknown_label": 1, "conflicting_labels": 2}


def test_a_changed_contract_audits_again_and_a_reused_artifact_tells_of_that_audit(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    data = ("raw_examples", "cleaned_examples")
    write_csv(incoming, [*tickets(90), ticket("billing", 1) | {"body": " "}])  # one row of 91 is refused
    materialize(instance, task(tiny_bert_dir), *data)
    strict = task(tiny_bert_dir, contracts={"max_quarantined": 0})
    for _ in range(2):  # the second one reuses what the first has built
        result = materialize(instance, strict, *data)
        failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
        assert failed == {"few_rows_quarantined"}


def test_a_damaged_artifact_is_set_aside_and_rebuilt(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path, project_data: Path
) -> None:
    made = task(tiny_bert_dir)
    materialize(instance, made, *ASSETS[:6])
    before = versions(instance)
    file = project_data / "store" / "tickets" / "train_split" / before["train_split"] / "examples.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    result = by_asset(materialize(instance, made, *ASSETS[:6]))
    assert not result["train_split"].metadata["reused"].value
    assert result["validation_split"].metadata["reused"].value
    assert versions(instance) == before
    assert list((project_data / "store" / "tickets" / "train_split" / "damaged").iterdir())


def test_a_missing_upstream_says_what_to_materialise(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    result = materialize(instance, task(tiny_bert_dir), "cleaned_examples", raise_on_error=False)
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "materialise tickets/raw_examples first" in str(failure.step_failure_data.error_display_string)


def test_no_row_of_the_raw_data_is_shown(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    result = by_asset(materialize(instance, task(tiny_bert_dir), "raw_examples"))
    shown = str({name: value.value for name, value in result["raw_examples"].metadata.items()})
    assert not any(row["body"] in shown for row in tickets())


def test_nobody_waits_for_the_relabel_queue(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    made = list(by_asset(materialize(trained, task(tiny_bert_dir))))
    assert made[-1] == "relabel_queue"
