"""The schedule of a task at its times: what it starts, what it says where it starts nothing, and bad times."""

import os
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from ft_assets.components.fine_tuning_task import FineTuningTask
from ft_assets.components.jobs import jobs_of
from ft_assets.components.schedules import build_schedule
from ft_assets.components.stage import Task
from ft_assets.components.tags import TRAINED_TAG
from ft_assets.errors import UserError
from ft_assets.paths import data_dir
from ft_assets_tests.flow import Flow, stages_of
from ft_assets_tests.runs import customer_in
from ft_assets_tests.tickets import definitions, task, ticket, tickets, write_csv

BERLIN = ZoneInfo("Europe/Berlin")
# Later than any run of the tests: a time that lies in the past would count in the day of the test.
NIGHT = datetime(2030, 1, 15, 3, tzinfo=UTC)
OTHER_RATE = {"method": "full", "learning_rate": 1e-3, "epochs": 1, "batch_size": 16}


def scheduled(base_model: Path, /, training: dict[str, Any] | None = None, **policy: Any) -> Task:
    settings = {"retrain": "schedule", "cron": "0 3 * * *", **policy}
    return task(base_model, policy=settings, **({"training": training} if training else {}))


def tick(instance: dg.DagsterInstance, made: Task, at: datetime = NIGHT) -> dg.RunRequest | str:
    """What the schedule asks for at a time, as the daemon evaluates it; or why it asks for nothing."""
    stages = stages_of(made)
    jobs = jobs_of(made.name, stages)
    schedule = build_schedule(made, stages, jobs[0])
    together = dg.Definitions.merge(definitions(made), dg.Definitions(jobs=jobs, schedules=[schedule]))
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at,
        repository_def=together.get_repository_def(),
    ) as context:
        found = together.resolve_schedule_def(schedule.name).evaluate_tick(context)
    if found.run_requests:
        (request,) = found.run_requests
        return request
    return str(found.skip_message)


def assets(request: dg.RunRequest | str) -> list[str]:
    assert isinstance(request, dg.RunRequest), request
    return [key.path[-1] for key in request.asset_selection or ()]


def because(request: dg.RunRequest | str) -> str:
    assert isinstance(request, dg.RunRequest), request
    return request.tags["ft_assets/because"]


def add_training_rows(instance: dg.DagsterInstance, rows: int) -> None:
    """New tickets of a customer whose rows are trained on; the file looks as if it had been whole for long."""
    customer = customer_in(instance, "train")
    new = [ticket("billing", 9_000 + number) | {"customer": customer} for number in range(rows)]
    file = data_dir() / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, [*tickets(), *new])
    os.utime(file, (0, file.stat().st_mtime - 60))


def in_flight(
    instance: dg.DagsterInstance, job: str, created: datetime | None = None, **more: Any
) -> dg.DagsterRun:
    tags = {"ft_assets/task": "tickets"} | more.pop("tags", {})
    run = dg.DagsterRun(job_name=job, tags=tags, **({"status": dg.DagsterRunStatus.STARTED} | more))
    if created is None:
        return instance.add_run(run)
    return instance.run_storage.add_historical_run(run, created)


def test_nothing_new_is_a_cheap_no_op_that_says_so(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    told = tick(trained, scheduled(tiny_bert_dir))
    assert str(told).startswith("nothing that the model depends on has changed since it was last made, 20")
    assert trained.get_runs_count() == 1  # the one that has made it all


def test_another_setting_is_trained_at_the_next_time_and_not_before(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = scheduled(tiny_bert_dir, training=OTHER_RATE)
    requests, told = Flow(trained, made).look()
    assert requests == [] and "policy.retrain is schedule: it runs at 0 3 * * * (UTC)" in told
    request = tick(trained, made)
    assert assets(request) == ["checkpoint", "evaluation_report"]
    assert isinstance(request, dg.RunRequest)
    assert request.tags["ft_assets/started_by"] == "schedule tickets__retrain"
    assert because(request).startswith(
        "0 new training rows since the last training; checkpoint: its configuration"
    )


def test_the_rows_that_came_in_since_are_counted(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    made = scheduled(tiny_bert_dir)
    add_training_rows(trained, 7)
    Flow(trained, made).settle()  # the data follows at once
    request = tick(trained, made)
    assert assets(request) == ["checkpoint", "baselines", "evaluation_report"]
    assert because(request).startswith(
        "7 new training rows since the last training; checkpoint: train_split changed"
    )
    result = Flow(trained, made).carry_out(request)
    records = trained.all_logs(result.run_id)
    lines = [record.user_message for record in records if record.dagster_event is None]
    assert lines[0].startswith("started by schedule tickets__retrain, because 7 new training rows")
    assert result.success and "7 training rows that the last checkpoint has not seen" in "\n".join(lines)
    assert "nothing that the model depends on" in str(tick(trained, made))


def test_data_that_is_still_due_goes_into_the_same_run(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = scheduled(tiny_bert_dir)
    add_training_rows(trained, 7)
    request = tick(trained, made)
    assert {"raw_examples", "train_split", "checkpoint", "evaluation_report"} <= set(assets(request))
    assert "base_model" not in assets(request)
    assert because(request) == "raw_examples: what its sources hold has changed"


def test_data_that_another_run_is_making_goes_into_the_same_run(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = scheduled(tiny_bert_dir)
    run = in_flight(trained, "tickets__data")
    request = tick(trained, made)
    assert {"raw_examples", "train_split", "checkpoint", "evaluation_report"} <= set(assets(request))
    assert because(request).startswith(f"run {run.run_id[:8]} is making raw_examples")


def test_a_model_that_another_run_is_making_is_not_made_twice(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = scheduled(tiny_bert_dir, training=OTHER_RATE)
    run = in_flight(trained, "tickets__train_and_evaluate")
    assert tick(trained, made) == f"run {run.run_id[:8]} is making baselines"


def test_too_few_new_rows_wait_and_new_data_is_counted_first(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = scheduled(tiny_bert_dir, min_new_rows=10)
    add_training_rows(trained, 7)
    told = str(tick(trained, made))
    assert told.startswith("raw_examples comes first") and "policy.min_new_rows" in told
    Flow(trained, made).settle()
    told = str(tick(trained, made))
    assert "checkpoint waits: 7 new training rows since the last training, of 10 to wait for" in told
    # Another setting does not wait for rows, whatever the data does.
    add_training_rows(trained, 8)
    assert "checkpoint" in assets(tick(trained, scheduled(tiny_bert_dir, OTHER_RATE, min_new_rows=10)))


def test_data_that_fails_its_checks_holds_the_model_back(
    trained: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    made = scheduled(tiny_bert_dir, OTHER_RATE)
    file = data_dir() / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, [ticket("billing", number) for number in range(60)])  # one class only
    os.utime(file, (0, file.stat().st_mtime - 60))
    Flow(trained, made).settle()
    told = str(tick(trained, made))
    assert "labeled_examples waits: the same failed in run" in told and "checkpoint waits: the same" in told


@pytest.mark.parametrize(
    ("at", "trained_at", "goes"),
    [
        # Summer time begins on 2030-03-31: that day has 23 hours, and 03:00 is the first hour after the gap.
        ((2030, 3, 31, 3, 0), (2030, 3, 30, 23, 30), True),
        ((2030, 3, 31, 3, 0), (2030, 3, 31, 0, 30), False),
        ((2030, 3, 31, 23, 30), (2030, 3, 31, 1, 30), False),
        # It ends on 2030-10-27: 25 hours, and 02:30 comes twice.
        ((2030, 10, 27, 23, 30), (2030, 10, 27, 0, 15), False),
        ((2030, 10, 27, 0, 15), (2030, 10, 26, 23, 45), True),
        # Month and year end.
        ((2031, 2, 28, 23, 59), (2031, 2, 28, 0, 1), False),
        ((2031, 3, 1, 0, 5), (2031, 2, 28, 23, 59), True),
        ((2032, 2, 29, 3, 0), (2032, 2, 28, 23, 0), True),
        ((2031, 1, 1, 0, 30), (2030, 12, 31, 23, 30), True),
    ],
)  # fmt: skip
def test_the_day_of_max_per_day_is_that_of_the_time_zone(
    trained: dg.DagsterInstance,
    tiny_bert_dir: Path,
    at: tuple[int, ...],
    trained_at: tuple[int, ...],
    goes: bool,
) -> None:
    made = scheduled(tiny_bert_dir, OTHER_RATE, timezone="Europe/Berlin", max_per_day=1)
    created = datetime(*trained_at, tzinfo=BERLIN).astimezone(UTC)
    run = in_flight(trained, "tickets", created, status=dg.DagsterRunStatus.SUCCESS)
    trained.add_run_tags(run.run_id, {f"{TRAINED_TAG}.tickets": run.run_id})
    found = tick(trained, made, datetime(*at, tzinfo=BERLIN))
    if goes:
        assert "checkpoint" in assets(found)
    else:
        assert "1 trainings today, of 1 at most" in str(found)


@pytest.mark.parametrize(
    ("cron", "start", "times"),
    [
        # 02:30 does not exist when summer time begins, and comes twice when it ends: once a day all the same.
        ("30 2 * * *", (2030, 3, 30), ["03-30 02:30", "03-31 03:00", "04-01 02:30"]),
        ("30 2 * * *", (2030, 10, 26), ["10-26 02:30", "10-27 02:30", "10-28 02:30"]),
        ("0 3 31 * *", (2031, 1, 1), ["01-31 03:00", "03-31 03:00", "05-31 03:00"]),
        ("0 3 L * *", (2032, 1, 1), ["01-31 03:00", "02-29 03:00", "03-31 03:00"]),
        ("@monthly", (2031, 1, 31), ["02-01 00:00", "03-01 00:00", "04-01 00:00"]),
    ],
)  # fmt: skip
def test_each_time_comes_once(
    tiny_bert_dir: Path, cron: str, start: tuple[int, ...], times: list[str]
) -> None:
    made = scheduled(tiny_bert_dir, cron=cron, timezone="Europe/Berlin")
    schedule = build_schedule(made, stages_of(made), jobs_of("tickets", stages_of(made))[0])
    found = schedule_execution_time_iterator(
        datetime(*start, tzinfo=BERLIN).timestamp(), schedule.cron_schedule, schedule.execution_timezone
    )
    assert [f"{time:%m-%d %H:%M}" for time in islice(found, 3)] == times


@pytest.mark.parametrize("cron", ["61 * * * *", "0 24 * * *", "0 3 30 2 *", "a b c d e", "*/0 * * * *"])
def test_times_that_there_are_not_name_file_and_key_when_the_task_is_loaded(
    tiny_bert_dir: Path, cron: str
) -> None:
    made = scheduled(tiny_bert_dir, cron=cron)
    with pytest.raises(UserError, match=r"policy\.cron") as error:
        FineTuningTask(made).build_defs(dg.ComponentTree.for_test().load_context)
    assert f"'{cron}'" in str(error.value) and "defs.yaml" in error.value.where


@pytest.mark.parametrize("policy", [{}, {"retrain": "manual"}, {"retrain": "on_change"}])
def test_only_a_task_with_times_has_a_schedule(tiny_bert_dir: Path, policy: dict[str, Any]) -> None:
    context = dg.ComponentTree.for_test().load_context
    assert not list(FineTuningTask(task(tiny_bert_dir, policy=policy)).build_defs(context).schedules or ())
    (schedule,) = FineTuningTask(scheduled(tiny_bert_dir)).build_defs(context).schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition) and schedule.name == "tickets__retrain"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
