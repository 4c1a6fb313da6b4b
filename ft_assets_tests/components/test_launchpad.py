"""What a person gives a run in the launchpad; the jobs; who started a run and why."""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.components.jobs import all_tasks_job, jobs_of
from ft_assets.components.run_reason import run_reason
from ft_assets.paths import data_dir
from ft_assets_tests.flow import Flow, stages_of
from ft_assets_tests.runs import current, description
from ft_assets_tests.tickets import ASSETS, definitions, materialize, task, tickets, write_csv

DATA = (*ASSETS[:9], "relabel_queue")
MODEL = ("checkpoint", "baselines", "evaluation_report")
OTHER = {"seed": 3, "training": {"learning_rate": 1e-3, "epochs": 1, "lora": {"rank": 4}}}


def materializations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    events = (event.event_specific_data for event in result.get_asset_materialization_events())
    return {event.materialization.asset_key.path[-1]: event.materialization for event in events}


def made_anew(result: dg.ExecuteInProcessResult) -> set[str]:
    made = materializations(result)
    return {asset for asset, event in made.items() if not event.metadata["reused"].value}


def log_lines(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """What our code has logged in a run, in order."""
    records = instance.all_logs(run_id)
    return [record.user_message for record in records if record.dagster_event is None]


@pytest.fixture
def incoming(project_data: Path) -> None:
    write_csv(project_data / "incoming" / "tickets" / "tickets.csv", tickets(30))


def test_overrides_hold_for_one_run_and_are_seen_in_all_that_comes_out(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir, policy={"retrain": "on_change"})
    before = current(trained)
    result = materialize(trained, made, *MODEL, config={"checkpoint": OTHER})
    assert made_anew(result) == {"checkpoint", "evaluation_report"}

    shown = materializations(result)["checkpoint"]
    rows: Any = shown.metadata["overrides"]
    assert {record.data["setting"]: tuple(record.data.values())[1:] for record in rows.records} == {
        "lora.rank": ("16", "4"),
        "learning_rate": ("0.005", "0.001"),
        "epochs": ("4.0", "1.0"),
        "seed": ("0", "3"),
    }
    assert shown.metadata["seed"].value == 3
    folder = data_dir() / "store" / "tickets" / str(shown.metadata["artifact"].value)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["config"]["training"]["lora"] == {**manifest["config"]["training"]["lora"], "rank": 4}
    assert manifest["seed"] == manifest["config"]["training"]["seed"] == 3
    training = json.loads((folder / "training.json").read_text())
    assert training["seed"] == 3 and training["learning_rate"] == 1e-3 and training["settings"]["epochs"] == 1
    card = (folder / "README.md").read_text()
    assert "| seed | 3 |" in card and "| learning_rate | 0.001 |" in card and "'rank': 4" in card
    report = next((data_dir() / "store" / "tickets" / "evaluation_report").glob("*/report.html"), None)
    assert report is not None
    version = current(trained)["evaluation_report"]
    page = (report.parent.parent / version / "report.html").read_text()
    assert "seed 3" in page and "epochs 1.0" in page

    # The planner goes by the task's own code version, which has not changed.
    assert Flow(trained, made).settle() == []
    # Without them, the task's own checkpoint is current again, at once.
    again = materialize(trained, made, *MODEL)
    assert made_anew(again) == set() and current(trained) == before
    assert "overrides" not in materializations(again)["checkpoint"].metadata


def test_settings_that_the_task_takes_over_are_not_trained_again(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    given = {"learning_rate": 1e-3, "epochs": 1}
    materialize(trained, task(tiny_bert_dir), "checkpoint", config={"checkpoint": {"training": given}})
    tried = current(trained)["checkpoint"]
    changed = task(
        tiny_bert_dir,
        training={"method": "full", "batch_size": 16, **given},
        policy={"retrain": "on_change"},
    )
    flow = Flow(trained, changed)
    requests, _ = flow.look()
    assert "its configuration changed" in requests[0].tags["ft_assets/because"]
    result = flow.carry_out(requests[0])
    assert "checkpoint" not in made_anew(result) and current(trained)["checkpoint"] == tried


def test_force_builds_anew_and_equal_output_stops_there(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    before = current(trained)
    forced = {name: {"force": True} for name in ("cleaned_examples", "splits", "checkpoint")}
    result = materialize(trained, made, config=forced)
    splits = {"train_split", "validation_split", "test_split"}
    # The card tells of the builds that are current: these are new ones.
    assert made_anew(result) == {"cleaned_examples", "checkpoint", "data_card"} | splits
    # On a CPU the same training gives the same weights; the card and all else beside them are equal, too.
    assert current(trained) == before
    assert made_anew(materialize(trained, made)) == set()


def test_what_was_forced_is_what_later_runs_find(
    instance: dg.DagsterInstance, incoming: None, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    first = materializations(materialize(instance, made, "raw_examples"))["raw_examples"]
    second = materializations(
        materialize(instance, made, "raw_examples", config={"raw_examples": {"force": True}})
    )["raw_examples"]
    third = materializations(materialize(instance, made, "raw_examples"))["raw_examples"]
    assert second.metadata["reused"].value is False and third.metadata["reused"].value is True
    assert first.metadata["build_key"] == third.metadata["build_key"] != second.metadata["build_key"]
    assert third.metadata["build_seconds"] == second.metadata["build_seconds"]


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"checkpoint": {"training": {"lerning_rate": 1e-3}}}, 'unexpected config entry "lerning_rate"'),
        ({"checkpoint": {"training": {"epochs": "two"}}}, "root:ops:tickets__checkpoint:config:training:epochs"),
        ({"checkpoint": {"training": {"method": "lorra"}}}, "config:training:method"),
        ({"checkpoint": {"training": {"lora": {"rank": 1.5}}}}, "config:training:lora:rank"),
        ({"checkpoint": {"seed": "one"}}, "config:seed"),
        ({"raw_examples": {"seed": 1}}, 'unexpected config entry "seed"'),
        ({"raw_examples": {"force": "yes"}}, "config:force"),
    ],
)  # fmt: skip
def test_an_unknown_key_or_a_wrong_type_starts_no_run(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError) as error:
        materialize(instance, task(tiny_bert_dir), config=config)
    assert named in str(error.value).replace("Received", "").replace("  ", " ")
    assert instance.get_runs() == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"training": {"learning_rate": 2.0}}, "training.learning_rate: Input should be less than 1"),
        ({"training": {"lora": {"rank": 0}}}, "training.lora.rank: Input should be greater than or equal to 1"),
        ({"seed": -1}, "training.seed: Input should be greater than or equal to 0"),
        ({"seed": 1, "training": {"seed": 2}}, "seed is 1 and training.seed is 2"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_limits_is_told_before_anything_is_made(
    instance: dg.DagsterInstance, incoming: None, tiny_bert_dir: Path, given: dict[str, Any], named: str
) -> None:
    result = materialize(
        instance,
        task(tiny_bert_dir),
        "raw_examples",
        "checkpoint",
        raise_on_error=False,
        config={"checkpoint": given},
    )
    assert not result.success and current(instance) == {}
    told = {
        event.step_key: event.step_failure_data.user_failure_data.description
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    }
    assert (
        named in told["tickets__raw_examples"] and "ops: tickets__checkpoint" in told["tickets__raw_examples"]
    )


def test_a_list_or_a_name_may_say_which_modules_get_adapters(tiny_bert_dir: Path) -> None:
    job = definitions(task(tiny_bert_dir)).resolve_implicit_global_asset_job_def()
    for modules in ("all-linear", ["query", "key"]):
        config = {"training": {"lora": {"target_modules": modules}, "max_length": None}}
        assert dg.validate_run_config(job, {"ops": {"tickets__checkpoint": {"config": config}}})


def test_the_jobs_of_a_task_make_its_parts(tiny_bert_dir: Path) -> None:
    made = task(tiny_bert_dir)
    with_jobs = dg.Definitions.merge(
        definitions(made),
        dg.Definitions(jobs=[*jobs_of("tickets", stages_of(made)), all_tasks_job(["tickets"])]),
    )
    parts = {
        "tickets": set(ASSETS),
        "all_tasks": set(ASSETS),
        "tickets__data": set(DATA),
        "tickets__train_and_evaluate": set(MODEL),
        "tickets__evaluate": {"baselines", "evaluation_report"},
    }
    for name, assets in parts.items():
        job = with_jobs.resolve_job_def(name)
        assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == assets
        assert job.description and job.executor_def is dg.in_process_executor
        assert job.tags.get("ft_assets/task") == (None if name == "all_tasks" else "tickets")
        # The launchpad may leave some assets out, and config of the others still holds.
        kept = sorted(assets)[0]
        subset = job.get_subset(asset_selection={dg.AssetKey(["tickets", kept])})
        assert dg.validate_run_config(subset, {"ops": {f"tickets__{kept}": {"config": {"force": True}}}})


def test_a_part_that_is_running_holds_back_no_other_part(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    flow = Flow(trained, task(tiny_bert_dir))
    write_csv(data_dir() / "incoming" / "tickets" / "tickets.csv", tickets(150))
    old = data_dir() / "incoming" / "tickets" / "tickets.csv"
    settle(old)
    job = dg.DagsterRun(
        job_name="tickets__train_and_evaluate",
        status=dg.DagsterRunStatus.STARTED,
        tags={"ft_assets/task": "tickets"},
    )
    trained.add_run(job)
    requests, _ = flow.look()
    assert next(key.path[-1] for key in requests[0].asset_selection or ()) == "raw_examples"


def settle(file: Path) -> None:
    """Make a file look as if it had been whole for a minute."""
    stat = file.stat()
    os.utime(file, (stat.st_atime, stat.st_mtime - 60))


def test_the_first_line_of_a_run_says_who_started_it_and_why_and_only_once(
    instance: dg.DagsterInstance, incoming: None, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir)
    settle(data_dir() / "incoming" / "tickets" / "tickets.csv")
    flow = Flow(instance, made)
    requests, _ = flow.look()
    result = flow.carry_out(requests[0])
    lines = log_lines(instance, result.run_id)
    assert lines[0].startswith("started by follow_changes, because raw_examples: it has never been made")
    assert sum("started by" in line for line in lines) == 1
    by_hand = materialize(instance, made, "raw_examples")
    assert log_lines(instance, by_hand.run_id)[0] == "started by hand"


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"dagster/schedule_name": "nightly"}, "started by schedule nightly"),
        ({"user": "ada@example.org"}, "started by hand (ada@example.org)"),
        (
            {"ft_assets/started_by": "follow_changes", "ft_assets/because": "x", "dagster/parent_run_id": "ab" * 16},
            "started again by hand, after run abababab (started by follow_changes, because x)",
        ),
        (
            {"dagster/parent_run_id": "ab" * 16, "dagster/retry_number": "1"},
            "started once more by itself, after run abababab (started by hand)",
        ),
    ],
)  # fmt: skip
def test_the_reason_of_a_run_is_read_from_its_tags(tags: dict[str, str], told: str) -> None:
    assert run_reason(dg.DagsterRun(job_name="tickets", tags=tags)) == told


def test_failures_of_overrides_do_not_hold_the_task_back(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir, policy={"retrain": "on_change"})
    given = {"method": "lora", "lora": {"target_modules": ["no_such_module"]}}
    failed = materialize(
        trained, made, "checkpoint", raise_on_error=False, config={"checkpoint": {"training": given}}
    )
    assert not failed.success and description(failed)
    changed = task(
        tiny_bert_dir,
        policy={"retrain": "on_change"},
        training={"method": "full", "learning_rate": 5e-3, "epochs": 1, "batch_size": 16},
    )
    requests, _ = Flow(trained, changed).look()
    assert [key.path[-1] for key in requests[0].asset_selection or ()] == ["checkpoint", "evaluation_report"]
