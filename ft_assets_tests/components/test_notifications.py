"""The sensors that tell people, on a real instance: what is told, how often, and what is never told."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time
from dagster._daemon.freshness import FreshnessDaemon
from dagster._utils.error import serializable_error_info_from_exc_info
from pydantic import ValidationError

from ft_assets.components.dead_runs import end_dead_runs, process_tags
from ft_assets.components.notifications import build_sensors
from ft_assets.components.stage import Task
from ft_assets.components.telling import OFF
from ft_assets.io.notifier import NotifierResource
from ft_assets.notifications import Channel, Notification, channel
from ft_assets.notifications.settings import VARIABLES
from ft_assets.planning.config import PolicyConfig
from ft_assets_tests.flow import stages_of
from ft_assets_tests.notifications.servers import Inbox, http_inbox, smtp_post
from ft_assets_tests.runs import written_in
from ft_assets_tests.tickets import definitions, materialize, task, tickets, write_csv

ROW = "xyzzyplugh"  # stands in the rows
TOKEN = "T0PSECRET"  # stands in the webhook's URL


@pytest.fixture(autouse=True)
def no_pause_and_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "PAUSE_SECONDS", 0.0)
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """What the webhook has received, which the environment names."""
    with http_inbox() as made:
        monkeypatch.setenv("FT_NOTIFY_WEBHOOK", f"{made.url}/{TOKEN}")
        yield made


@pytest.fixture
def incoming(project_data: Path) -> Path:
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, tickets(30))
    return file


class Sensor:
    """One of the sensors, ticked as the daemon does: its cursor is kept unless the tick fails."""

    def __init__(self, name: str, instance: dg.DagsterInstance, made: Task) -> None:
        self.sensor = {each.name: each for each in build_sensors({made.name: stages_of(made)})}[name]
        self.instance = instance
        self.notifier = NotifierResource()
        self.cursor: str | None = None
        self.failures: list[str] = []

    def tick(self) -> str:
        """What the tick says; "failed" if it failed."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"notifier": self.notifier}
        ) as context:
            try:
                found: Any = self.sensor(context)
            except Exception:
                # As Dagster keeps it for the tick's page.
                self.failures.append(serializable_error_info_from_exc_info(sys.exc_info()).to_string())
                return "failed"
        self.cursor = found.cursor
        return str(found.skip_reason.skip_message)


@pytest.fixture
def failures(instance: dg.DagsterInstance, tiny_bert_dir: Path) -> Sensor:
    return Sensor("notify_failures", instance, task(tiny_bert_dir))


@pytest.fixture
def checks(instance: dg.DagsterInstance, tiny_bert_dir: Path) -> Sensor:
    return Sensor("notify_failed_checks", instance, task(tiny_bert_dir))


def fail(instance: dg.DagsterInstance, made: Task, file: Path) -> str:
    """A run that fails since its file has no column of that name; gives the run's id."""
    write_csv(file, [{"body": ROW, "categroy": ROW, "customer": ROW}])
    result = materialize(instance, made, "raw_examples", raise_on_error=False)
    assert not result.success
    return result.run_id


@pytest.mark.parametrize("name", ["notify_failures", "notify_failed_checks", "notify_too_old"])
def test_without_a_channel_they_are_off_and_what_happens_meanwhile_is_not_told_later(
    name: str,
    instance: dg.DagsterInstance,
    incoming: Path,
    tiny_bert_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sensor = Sensor(name, instance, task(tiny_bert_dir))
    assert sensor.tick() == OFF
    fail(instance, task(tiny_bert_dir), incoming)
    assert sensor.tick() == OFF
    with http_inbox() as inbox:
        monkeypatch.setenv("FT_NOTIFY_WEBHOOK", inbox.url)
        assert sensor.tick() == sensor.tick() == "nothing to tell"
        assert inbox.bodies == []


def test_a_run_that_failed_is_told_once_with_the_reason_and_a_link(
    failures: Sensor, incoming: Path, tiny_bert_dir: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_UI_URL", "https://dagster.example.org/")
    fail(failures.instance, task(tiny_bert_dir), incoming)  # before the sensor was there
    failures.tick()
    run = fail(failures.instance, task(tiny_bert_dir), incoming)
    assert failures.tick() == "webhook: told of 1"
    assert failures.tick() == "nothing to tell"
    (told,) = inbox.bodies
    assert told | {"reason": "", "when": ""} == {
        "kind": "run_failed",
        "title": "tickets: raw_examples failed",
        "reason": "",
        "task": "tickets",
        "asset": "raw_examples",
        "link": f"https://dagster.example.org/runs/{run}",
        "when": "",
    }
    assert re.match(
        r"(?s)there is no column 'category': did you mean 'categroy'.*\nwhere: .*tickets\.csv.*\ndo: name",
        told["reason"],
    )
    assert abs(datetime.fromisoformat(told["when"]) - datetime.now(UTC)) < timedelta(
        minutes=5
    )  # of this test


def test_no_row_and_no_secret_is_in_a_message_a_log_or_an_error(
    failures: Sensor, checks: Sensor, incoming: Path, tiny_bert_dir: Path, inbox: Inbox, project_data: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for sensor in (failures, checks):
        sensor.tick()
    fail(failures.instance, task(tiny_bert_dir), incoming)
    write_csv(incoming, [row | {"category": "", "body": f"{row['body']} {ROW}"} for row in tickets(30)])
    materialize(failures.instance, task(tiny_bert_dir), "raw_examples", "cleaned_examples", "labeled_examples",
                raise_on_error=False)  # fmt: skip
    inbox.answers = [403, 403]
    said = [sensor.tick() for _ in range(3) for sensor in (failures, checks)]
    assert said[0] == "failed" and "tried again: webhook: it answers 403" in said[1]
    assert said[-2:] == ["nothing to tell"] * 2
    assert {told["kind"] for told in inbox.bodies} == {"run_failed", "check_failed"}
    out, err = capfd.readouterr()
    for secret in (ROW, TOKEN):
        assert secret not in json.dumps(inbox.bodies)
        assert secret not in "".join([*said, *failures.failures, *checks.failures, out, err])
    assert written_in(project_data / "dagster", TOKEN) == []
    assert inbox.paths[0] == f"/{TOKEN}"  # it was there to be told


@dg.job
def small_job() -> None:
    """For runs that never begin."""


def test_a_process_that_died_is_told(failures: Sensor, inbox: Inbox) -> None:
    failures.tick()
    instance = failures.instance
    gone = " ".join([process_tags()["ft_assets/process"].split()[0], "999999999", "1"])
    tags = {"ft_assets/process": gone, "ft_assets/task": "tickets"}
    run = instance.create_run_for_job(small_job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert end_dead_runs(instance) == [run.run_id]
    failures.tick()
    (told,) = inbox.bodies
    assert told["title"] == "tickets: a run failed" and told["asset"] == ""
    assert told["reason"].startswith("The process of this run is gone")
    assert told["link"] == f"http://127.0.0.1:3000/runs/{run.run_id}"


def test_of_an_exception_that_is_not_ours_only_the_kind_is_told(failures: Sensor, inbox: Inbox) -> None:
    @dg.asset
    def theirs() -> None:
        raise KeyError(ROW)

    failures.tick()
    result = dg.materialize([theirs], instance=failures.instance, raise_on_error=False)
    assert not result.success
    failures.tick()
    assert inbox.bodies[0]["reason"] == "KeyError; the run's page tells more"
    assert ROW not in json.dumps(inbox.bodies)


def test_a_broken_channel_keeps_no_other_from_being_told_and_is_told_later(
    failures: Sensor, incoming: Path, tiny_bert_dir: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_NOTIFY_EMAIL_TO", "team@example.org")
    monkeypatch.setenv("FT_NOTIFY_EMAIL_FROM", "dagster@example.org")
    monkeypatch.setenv("FT_NOTIFY_SMTP", "smtp://127.0.0.1:9")  # nobody listens there
    made = task(tiny_bert_dir)
    failures.tick()
    runs = [fail(failures.instance, made, incoming), fail(failures.instance, made, incoming)]
    said = failures.tick()
    assert "webhook: told of 2" in said
    assert "not told, and tried again: email: nobody listens there" in said
    # From now on the ticks fail, and tell nobody twice.
    assert [failures.tick(), failures.tick()] == ["failed", "failed"]
    assert "email: nobody listens there" in failures.failures[0]
    with smtp_post() as post:
        monkeypatch.setenv("FT_NOTIFY_SMTP", f"smtp://127.0.0.1:{post.port}")
        assert failures.tick() == "email: told of 2"
        assert failures.tick() == "nothing to tell"
    assert [mail.get_content().split("/runs/")[1].strip() for mail in post.mails] == runs
    assert [told["link"].rpartition("/")[2] for told in inbox.bodies] == runs


def test_a_channel_with_a_wrong_setting_fails_the_tick_before_there_is_anything_to_tell(
    failures: Sensor, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_NOTIFY_SLACK", f"ftp://{TOKEN}")
    assert "FT_NOTIFY_SLACK has the scheme 'ftp'" in failures.tick()
    assert failures.tick() == "failed"
    assert "FT_NOTIFY_SLACK" in failures.failures[0] and TOKEN not in failures.failures[0]


def test_a_fault_within_a_channel_is_told_without_its_text_and_kept_from_the_others(
    failures: Sensor, inbox: Inbox
) -> None:
    class Odd:
        name = "odd"

        def check(self) -> None:
            """Nothing is wrong with it."""

        def send(self, notification: Notification) -> None:
            raise KeyError(TOKEN)

    class WithOdd(NotifierResource):
        def channels(self) -> list[Channel]:
            return [Odd(), *super().channels()]

    failures.notifier = WithOdd()
    failures.tick()
    run = failures.instance.create_run_for_job(small_job, status=dg.DagsterRunStatus.STARTED)
    failures.instance.report_run_failed(run, "gone")
    said = failures.tick()
    assert "webhook: told of 1" in said and "odd: a fault of the program: KeyError" in said
    assert failures.tick() == "failed" and len(inbox.bodies) == 1
    assert "in send" in failures.failures[0] and TOKEN not in said + failures.failures[0]


def test_more_than_a_tick_may_tell_is_told_by_the_next_in_order(
    failures: Sensor, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_assets.components.notifications.AT_ONCE", 2)
    failures.tick()
    runs = [
        failures.instance.create_run_for_job(small_job, status=dg.DagsterRunStatus.STARTED) for _ in range(3)
    ]
    for run in runs:
        failures.instance.report_run_failed(run, "gone")
    said = [failures.tick() for _ in range(3)]
    assert said == ["webhook: told of 2", "webhook: told of 1", "nothing to tell"]
    assert [told["link"].rpartition("/")[2] for told in inbox.bodies] == [run.run_id for run in runs]


def test_failed_checks_of_a_run_are_one_message_and_not_told_again_when_the_same_is_reused(
    checks: Sensor, incoming: Path, tiny_bert_dir: Path, inbox: Inbox
) -> None:
    checks.tick()
    made = task(tiny_bert_dir)
    rows = tickets(30)
    write_csv(incoming, [row | {"body": ""} if number < 10 else row for number, row in enumerate(rows)])
    result = materialize(checks.instance, made, "raw_examples", "cleaned_examples")
    assert checks.tick() == "webhook: told of 1"
    (told,) = inbox.bodies
    assert (told["kind"], told["title"]) == ("check_failed", "tickets: the check few_rows_quarantined failed")
    assert re.fullmatch(
        r"cleaned_examples: few_rows_quarantined \(warning\): \d+ unexpected, \d+ checked", told["reason"]
    )
    assert (told["task"], told["asset"]) == ("tickets", "cleaned_examples")
    assert told["link"] == f"http://127.0.0.1:3000/runs/{result.run_id}"

    materialize(checks.instance, made, "raw_examples", "cleaned_examples")
    assert checks.tick() == "nothing to tell"
    write_csv(incoming, [row | {"body": ""} if number < 12 else row for number, row in enumerate(rows)])
    materialize(checks.instance, made, "raw_examples", "cleaned_examples")
    assert checks.tick() == "webhook: told of 1"


def test_a_critical_check_is_told_with_its_severity(
    checks: Sensor, incoming: Path, tiny_bert_dir: Path, inbox: Inbox
) -> None:
    checks.tick()
    write_csv(incoming, [row | {"category": "unheard of"} for row in tickets(30)])
    result = materialize(
        checks.instance, task(tiny_bert_dir), "raw_examples", "cleaned_examples", "labeled_examples",
        raise_on_error=False,
    )  # fmt: skip
    assert not result.success
    checks.tick()
    (told,) = inbox.bodies
    assert "labeled_examples" in told["asset"] and "(error): " in told["reason"]
    assert "unheard of" not in json.dumps(told)


def look_at_ages(instance: dg.DagsterInstance, made: Task, at: datetime) -> None:
    """One round of Dagster's freshness daemon, at a time."""
    graph = definitions(made).get_repository_def().asset_graph

    async def look() -> None:
        for node in graph.asset_nodes:
            await FreshnessDaemon()._evaluate_asset(context=LoadingContextForTest(instance), node=node)  # type: ignore[arg-type]

    with freeze_time(at):
        asyncio.run(look())


def test_what_is_too_old_is_told_once_and_so_is_that_it_is_fresh_again(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path, inbox: Inbox
) -> None:
    made = task(tiny_bert_dir, policy={"max_age_days": {"raw_examples": 30, "cleaned_examples": 60}})
    sensor = Sensor("notify_too_old", instance, made)
    materialize(instance, made, "raw_examples", "cleaned_examples")
    now = datetime.now(UTC)
    for days, told in ((1, 0), (29, 0), (31, 1), (40, 0)):
        look_at_ages(instance, made, now + timedelta(days=days))
        before = len(inbox.bodies)
        sensor.tick()
        assert len(inbox.bodies) - before == told, days
    materialize(instance, made, "raw_examples")
    look_at_ages(instance, made, datetime.now(UTC))
    assert sensor.tick() == "webhook: told of 1"
    assert sensor.tick() == "nothing to tell"
    old, fresh = inbox.bodies
    assert (old["kind"], old["title"]) == ("too_old", "tickets/raw_examples is too old")
    assert re.fullmatch(
        r"last made or confirmed: \d{4}-\d\d-\d\d \d\d:\d\d UTC; policy.max_age_days allows 30 day\(s\)",
        old["reason"],
    )
    assert old["link"] == "http://127.0.0.1:3000/assets/tickets/raw_examples"
    assert (fresh["kind"], fresh["title"]) == ("recovered", "tickets/raw_examples is fresh again")


def test_what_was_never_made_is_not_too_old(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, inbox: Inbox
) -> None:
    made = task(tiny_bert_dir, policy={"max_age_days": {"checkpoint": 1}})
    sensor = Sensor("notify_too_old", instance, made)
    look_at_ages(instance, made, datetime.now(UTC) + timedelta(days=10))
    assert sensor.tick() == "nothing to tell" and inbox.bodies == []


def test_a_policy_that_is_taken_back_is_forgotten(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path, inbox: Inbox
) -> None:
    made = task(tiny_bert_dir, policy={"max_age_days": {"raw_examples": 30}})
    materialize(instance, made, "raw_examples")
    sensor = Sensor("notify_too_old", instance, made)
    look_at_ages(instance, made, datetime.now(UTC) + timedelta(days=31))
    assert sensor.tick() == "webhook: told of 1"
    without = Sensor("notify_too_old", instance, task(tiny_bert_dir))
    without.cursor = sensor.cursor
    assert without.tick() == "nothing to tell"
    assert json.loads(without.cursor or "") == {"webhook": []}


def test_the_policy_is_on_the_assets_that_it_names_and_changes_no_build(tiny_bert_dir: Path) -> None:
    plain = definitions(task(tiny_bert_dir)).resolve_all_asset_specs()
    aged = definitions(task(tiny_bert_dir, policy={"max_age_days": {"checkpoint": 7.5}}))
    found = {spec.key.path[-1]: spec.freshness_policy for spec in aged.resolve_all_asset_specs()}
    assert {name for name, policy in found.items() if policy} == {"checkpoint"}
    assert found["checkpoint"] == dg.FreshnessPolicy.time_window(timedelta(days=7.5))
    assert {spec.key: spec.code_version for spec in plain} == {
        spec.key: spec.code_version for spec in aged.resolve_all_asset_specs()
    }


@pytest.mark.parametrize("days", [0, -1, 0.001, 1e9, float("inf"), float("nan"), "soon"])
def test_an_age_that_is_none_is_an_error(days: object) -> None:
    with pytest.raises(ValidationError, match=r"max_age_days\.checkpoint"):
        PolicyConfig.model_validate({"max_age_days": {"checkpoint": days}})


def test_the_code_location_has_the_sensors_running_and_dagster_looks_at_ages_by_itself(
    instance: dg.DagsterInstance,
) -> None:
    from ft_assets.definitions import defs

    found = {sensor.name: sensor for sensor in defs().get_repository_def().sensor_defs}
    for name in ("notify_failures", "notify_failed_checks", "notify_too_old"):
        assert found[name].default_status is dg.DefaultSensorStatus.RUNNING
    assert FreshnessDaemon.daemon_type() in instance.get_required_daemon_types()
