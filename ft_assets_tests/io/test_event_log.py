"""Our event log beside Dagster's own, over the same files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from ft_assets.errors import UserError
from ft_assets.io.event_log import MOST_ENGINES, EventLog
from ft_assets_tests.runs import eventually

PROJECT = Path(__file__).parents[2]


@dg.asset(check_specs=[dg.AssetCheckSpec("counted", asset="made")])
def made() -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    yield dg.AssetCheckResult(check_name="counted", passed=True, metadata={"rows": 3})
    yield dg.MaterializeResult(data_version=dg.DataVersion("1"))


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance as the project's own `dagster.yaml` makes it."""
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        yield instance


def events(storage: SqliteEventLogStorage, run_id: str) -> list[str]:
    return [str(entry.dagster_event_type) for entry in storage.get_logs_for_run(run_id)]


def test_the_projects_instance_writes_where_dagster_does_and_dagsters_own_log_reads_the_same(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = dg.materialize([made], instance=instance).run_id
    kept = instance.event_log_storage
    own = SqliteEventLogStorage(str(tmp_path / "history" / "runs"))
    assert len(events(own, run)) > 10
    assert events(own, run) == [str(entry.dagster_event_type) for entry in kept.get_logs_for_run(run)]
    [check] = own.get_asset_check_execution_history(dg.AssetCheckKey(dg.AssetKey("made"), "counted"), limit=5)
    assert check.run_id == run
    assert [record.asset_entry.last_run_id for record in own.get_asset_records()] == [run]


def test_what_dagsters_own_log_wrote_before_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as before:
        assert not isinstance(before.event_log_storage, EventLog)
        run = dg.materialize([made], instance=before).run_id
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.get() as now:
        assert now.get_latest_materialization_event(dg.AssetKey("made")).run_id == run


def test_a_second_log_over_the_same_files_sees_each_event_at_once(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    other = EventLog(str(tmp_path / "history" / "runs"))
    for _ in range(3):
        run = dg.materialize([made], instance=instance).run_id
        assert events(other, run)
        [record] = other.get_asset_records([dg.AssetKey("made")])
        assert record.asset_entry.last_run_id == run
    other.dispose()


def test_the_ui_sees_a_run_as_it_goes_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = dg.materialize([made], instance=instance)
    webserver, seen = EventLog(str(tmp_path / "history" / "runs")), []
    last = webserver.get_records_for_run(run.run_id).cursor
    webserver.watch(run.run_id, last, lambda entry, cursor: seen.append(entry.message))
    try:
        instance.report_engine_event("it goes on", run.dagster_run)
        assert eventually(lambda: "it goes on" in seen)
    finally:
        webserver.dispose()


def test_few_connections_stay_open_however_many_runs_are_read(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    runs = [dg.materialize([made], instance=instance).run_id for _ in range(MOST_ENGINES + 2)]
    log = EventLog(str(tmp_path / "history" / "runs"))
    assert all(events(log, run) for run in runs)
    assert len(log._engines) == MOST_ENGINES
    log.dispose()
    assert not log._engines


def test_a_wiped_log_can_be_written_again(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    dg.materialize([made], instance=instance)
    instance.event_log_storage.wipe()
    assert instance.get_latest_materialization_event(dg.AssetKey("made")) is None
    run = dg.materialize([made], instance=instance).run_id
    assert events(SqliteEventLogStorage(str(tmp_path / "history" / "runs")), run)


def test_without_a_place_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(UserError, match="DAGSTER_HOME is not set"):
        EventLog.from_config_value(None, {})
