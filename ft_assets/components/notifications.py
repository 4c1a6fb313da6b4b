"""The sensors that tell people: of runs that failed, of checks that failed, of assets that have grown too old.

They are on by default, and do nothing while no channel is configured. They start no run.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from ft_assets.components.stage import Stage
from ft_assets.components.tags import TASK_TAG
from ft_assets.components.telling import Letter, tell
from ft_assets.io.notifier import NotifierResource
from ft_assets.notifications import Notification

__all__ = ["build_sensors"]

INTERVAL_SECONDS = 30
AT_ONCE = 20
"""Events that a tick looks at, for each channel; the next tick goes on."""
_ENDED = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)

Ages = Mapping[dg.AssetKey, timedelta]
"""How old assets may be."""


def build_sensors(tasks: Mapping[str, Sequence[Stage]]) -> list[dg.SensorDefinition]:
    """The sensors that tell people, for all tasks of a code location. They need the resource `notifier`."""
    stages = [stage for stages in tasks.values() for stage in stages]
    ages = {stage.key: age for stage in stages if (age := stage.task.config.policy.max_age(stage.asset))}
    return [_notify_failures(), _notify_failed_checks(), _notify_too_old(ages)]


def _notify_failures() -> dg.SensorDefinition:
    @dg.sensor(
        name="notify_failures",
        description="Tells people of runs that failed, with the reason and a link. Off until a channel is configured.",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def notify_failures(context: dg.SensorEvaluationContext, notifier: NotifierResource) -> dg.SensorResult:
        failures = (dg.DagsterEventType.RUN_FAILURE,)

        def due(after: int) -> list[Letter]:
            return [
                Letter(_failure(context.instance, run, event, notifier) if run else None, place)
                for place, run, event in _ended_runs(context, failures, after)
            ]

        return tell(context, notifier, start=lambda: _newest(context.instance, failures), due=due)

    return notify_failures


def _notify_failed_checks() -> dg.SensorDefinition:
    @dg.sensor(
        name="notify_failed_checks",
        description="Tells people of checks, warnings included, that failed in a run that has ended; one message a "
        "run. Off until a channel is configured.",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def notify_failed_checks(
        context: dg.SensorEvaluationContext, notifier: NotifierResource
    ) -> dg.SensorResult:
        def due(after: int) -> list[Letter]:
            return [
                Letter(_failed_checks(context.instance, run, event, notifier) if run else None, place)
                for place, run, event in _ended_runs(context, _ENDED, after)
            ]

        return tell(context, notifier, start=lambda: _newest(context.instance, _ENDED), due=due)

    return notify_failed_checks


def _notify_too_old(allowed: Ages) -> dg.SensorDefinition:
    @dg.sensor(
        name="notify_too_old",
        description="Tells people of assets that are older than policy.max_age_days of their task allows, and when "
        "they are fresh again. Off until a channel is configured.",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def notify_too_old(context: dg.SensorEvaluationContext, notifier: NotifierResource) -> dg.SensorResult:
        def due(told: list[str]) -> list[Letter]:
            return list(_ages(context.instance, allowed, told, notifier))

        return tell(context, notifier, start=list, due=due)

    return notify_too_old


Ended = tuple[int, dg.DagsterRun | None, dg.EventLogEntry]
"""Place of an event in the log; its run, None where that is gone or of another code location; the event."""


def _ended_runs(
    context: dg.SensorEvaluationContext, kinds: Sequence[dg.DagsterEventType], after: int
) -> list[Ended]:
    """The next runs that have ended so, in the order of their end."""
    records = [
        record
        for kind in kinds
        for record in context.instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(event_type=kind, after_storage_id=after),  # type: ignore[arg-type]
            limit=AT_ONCE,
            ascending=True,
        ).records
    ]
    # Of each kind there may be more, but none that comes before the last of these.
    records = sorted(records, key=lambda record: record.storage_id)[:AT_ONCE]
    if not records:
        return []
    runs = {
        run.run_id: run
        for run in context.instance.get_runs(dg.RunsFilter(run_ids=[record.run_id for record in records]))
        if _is_ours(context, run)
    }
    return [(record.storage_id, runs.get(record.run_id), record.event_log_entry) for record in records]


def _is_ours(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    """Whether a run is one of this code location, or one that a command started without a location."""
    if run.remote_job_origin is None or context.code_location_origin is None:
        return True
    origin = run.remote_job_origin.repository_origin
    return (
        origin.code_location_origin.location_name == context.code_location_origin.location_name
        and origin.repository_name == context.repository_name
    )


def _newest(instance: dg.DagsterInstance, kinds: Sequence[dg.DagsterEventType]) -> int:
    """The place of the newest event of these kinds: what is told begins after it."""
    found = [instance.fetch_run_status_changes(kind, limit=1).records for kind in kinds]
    return max((records[0].storage_id for records in found if records), default=0)


def _failure(
    instance: dg.DagsterInstance, run: dg.DagsterRun, ended: dg.EventLogEntry, notifier: NotifierResource
) -> Notification:
    steps = [
        log.dagster_event
        for log in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        if log.dagster_event
    ]
    names = [(step.step_key or "").rpartition("__")[2] for step in steps]
    task = _task_of(run) or next(
        (step.step_key.partition("__")[0] for step in steps if step.step_key), run.job_name
    )
    reason = _step_reason(steps[0]) if steps else _run_reason(ended)
    if len(steps) > 1:
        reason = f"{reason}\n(and {len(steps) - 1} more step(s) failed: {', '.join(names[1:])})"
    return Notification(
        kind="run_failed",
        title=f"{task}: {names[0]} failed" if names else f"{task}: a run failed",
        reason=reason,
        task=task,
        asset=", ".join(names),
        link=notifier.link("runs", run.run_id),
        when=_when(ended),
    )


def _step_reason(step: dg.DagsterEvent) -> str:
    """What the step's `dg.Failure` says, without the lines of code that led to it. The text of any other exception may
    quote a row: its kind alone is told."""
    data = step.step_failure_data
    failure = data.user_failure_data
    if failure is None:
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause
        return f"{(error and error.cls_name) or 'an error'}; the run's page tells more"
    parts = {
        name: str(failure.metadata[name].value)
        for name in ("what", "where", "do")
        if name in failure.metadata
    }
    if "what" in parts:
        return "\n".join(
            [parts["what"], *(f"{name}: {parts[name]}" for name in ("where", "do") if name in parts)]
        )
    return failure.description or "it says nothing; the run's page tells more"


def _run_reason(ended: dg.EventLogEntry) -> str:
    """Why a run failed in which no step did: its process is gone, or it could not be started."""
    event = ended.dagster_event
    error = getattr(event.event_specific_data, "error", None) if event else None
    if error is not None:
        return f"no step failed, but the run did: {error.cls_name or 'an error'}; its page tells more"
    return (event.message if event else None) or "no step failed, but the run did; its page tells more"


def _failed_checks(
    instance: dg.DagsterInstance, run: dg.DagsterRun, ended: dg.EventLogEntry, notifier: NotifierResource
) -> Notification | None:
    logs = instance.all_logs(
        run.run_id,
        of_type={dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.ASSET_MATERIALIZATION},
    )
    events = [log.dagster_event for log in logs if log.dagster_event]
    # The checks of what is reused are recorded again, and were told when it was made.
    reused = {
        event.asset_key
        for event in events
        if event.is_step_materialization
        and (value := event.step_materialization_data.materialization.metadata.get("reused")) is not None
        and value.value
    }
    checks = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    latest = {
        (check.asset_key, check.check_name): check for check in checks
    }  # a step that is tried again checks again
    failed = [check for check in latest.values() if not check.passed and check.asset_key not in reused]
    if not failed:
        return None
    task = _task_of(run) or failed[0].asset_key.path[0]
    count = f"{len(failed)} checks" if len(failed) > 1 else f"the check {failed[0].check_name}"
    return Notification(
        kind="check_failed",
        title=f"{task}: {count} failed",
        reason="\n".join(map(_check_line, failed)),
        task=task,
        asset=", ".join(dict.fromkeys(check.asset_key.path[-1] for check in failed)),
        link=notifier.link("runs", run.run_id),
        when=_when(ended),
    )


def _check_line(check: dg.AssetCheckEvaluation) -> str:
    """Asset, check, severity and counts: a description may quote a value."""
    severity = "error" if check.severity is dg.AssetCheckSeverity.ERROR else "warning"
    counts = {
        name: check.metadata[name].value for name in ("unexpected", "checked") if name in check.metadata
    }
    numbers = [f"{counts[name]:,} {name}" for name in counts if isinstance(counts[name], int | float)]
    return f"{check.asset_key.path[-1]}: {check.check_name} ({severity})" + (
        f": {', '.join(numbers)}" if numbers else ""
    )


def _ages(
    instance: dg.DagsterInstance, allowed: Ages, told: list[str], notifier: NotifierResource
) -> Iterable[Letter]:
    """What has become too old, and what is fresh again: what Dagster's freshness daemon finds, and the UI shows."""
    names = {key.to_user_string() for key in allowed}
    if forgotten := set(told) - names:  # the policy no longer names it
        told = sorted(set(told) - forgotten)
        yield Letter(None, told)
    if not allowed:
        return
    for key, record in sorted(instance.get_freshness_state_records(list(allowed)).items()):
        name, state = key.to_user_string(), record.freshness_state.value
        if state == "FAIL" and name not in told:
            told = sorted([*told, name])
        elif state == "PASS" and name in told:
            told = [each for each in told if each != name]
        else:
            continue
        made = instance.get_latest_materialization_event(key)
        last = f"{datetime.fromtimestamp(made.timestamp, UTC):%Y-%m-%d %H:%M UTC}" if made else "unknown"
        old = state == "FAIL"
        yield Letter(
            Notification(
                kind="too_old" if old else "recovered",
                title=f"{name} is {'too old' if old else 'fresh again'}",
                reason=f"last made or confirmed: {last}; policy.max_age_days allows "
                f"{allowed[key].total_seconds() / 86_400:g} day(s)",
                task=key.path[0],
                asset=key.path[-1],
                link=notifier.link("assets", *key.path),
                when=record.updated_at,
            ),
            told,
        )


def _task_of(run: dg.DagsterRun) -> str:
    """The task of a run, by its tag or the assets that it was to make; empty where neither tells."""
    tasks = {key.path[0] for key in run.asset_selection or ()}
    return run.tags.get(TASK_TAG) or ", ".join(sorted(tasks))


def _when(event: dg.EventLogEntry) -> datetime:
    return datetime.fromtimestamp(event.timestamp, UTC)
