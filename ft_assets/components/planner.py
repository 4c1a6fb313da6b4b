"""The planner on a Dagster instance: what each task has recorded, what is under way, what failed, and the sensor.

What is due is decided in `ft_assets.planning.plan`. Here it is read, once a tick: one query for the assets of all
tasks, one for the runs under way, and a few for what is due.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import dagster as dg

from ft_assets.artifacts import ArtifactStore
from ft_assets.components.attempts import begun, why_not_again
from ft_assets.components.jobs import makes
from ft_assets.components.recorded import UNFINISHED
from ft_assets.components.stage import SOURCES_TAG, Stage, Task
from ft_assets.components.tags import (
    BECAUSE_TAG,
    STARTED_BY_TAG,
    TASK_TAG,
    TRAINED_TAG,
    because,
)
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir, data_dir, store_root
from ft_assets.planning.plan import Asset, Plan, Recorded, make_plan
from ft_assets.planning.watch import FileWatch

__all__ = ["Planner", "build_sensor", "new_rows", "rows_only"]

UNKNOWN = "what its sources hold cannot be told"
INTERVAL_SECONDS = 10
"""Between two looks. A new file is followed within two of them, and starting a run takes some seconds more."""
FOLLOW_CHANGES = "follow_changes"
"""Name of the sensor."""
_ROWS_ONLY = ("train_split changed", "validation_split changed")


@dataclass(frozen=True)
class _Record:
    recorded: Recorded
    run: str
    at: datetime


class Planner:
    """Plans for some tasks, from one look at the instance.

    Args:
        instance: where runs and materialisations are recorded.
        tasks: each with its stages, upstream before downstream.
        now: the time, for tests.
    """

    def __init__(
        self, instance: dg.DagsterInstance, tasks: Mapping[str, Sequence[Stage]], now: datetime | None = None
    ) -> None:
        self._instance = instance
        self._tasks = tasks
        self._now = now or datetime.now(UTC)
        keys = [stage.key for stages in tasks.values() for stage in stages]
        # Runs first: one that ends in between is then seen as under way, or by what it has made, but never as neither.
        runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        self._records = _read_records(instance, keys)
        self.in_flight = self._made_by(runs)
        """Assets that unfinished runs have still to make, by task; each with its run."""
        self._store = ArtifactStore(store_root(), cache=cache_dir())
        self._watch = FileWatch(data_dir() / "watched-files.sqlite", self._now.timestamp())

    def plan(self, task: str, *, scheduled: bool = False) -> Plan:
        """What of a task is to be made now.

        Args:
            task: its name.
            scheduled: whether this is a moment that its schedule names.
        """
        stages = self._tasks[task]
        by_name = {stage.asset: stage for stage in stages}
        assets = [self._asset(stage) for stage in stages]
        return make_plan(
            assets,
            in_flight=self.in_flight.get(task, {}),
            failed=lambda asset, wants: why_not_again(self._instance, by_name[asset], wants),
            hold_model=self._policy(stages[0].task, scheduled),
        )

    def is_busy(self, task: str) -> bool:
        """Whether a run is making some of its assets."""
        return task in self.in_flight

    def request(
        self, task: str, plan: Plan, started_by: str = FOLLOW_CHANGES, also: Sequence[str] = ()
    ) -> dg.RunRequest:
        """The run that a plan asks for, with its reasons, and what else there is to say about them."""
        attempts = begun(plan.wants.values())
        if started_by == FOLLOW_CHANGES:
            attempts["dagster/max_retries"] = "0"  # the planner itself tries again
        about = {TASK_TAG: task, STARTED_BY_TAG: started_by, BECAUSE_TAG: because([*also, *plan.reasons])}
        return dg.RunRequest(
            asset_selection=[dg.AssetKey([task, name]) for name in plan.run], tags=attempts | about
        )

    def _asset(self, stage: Stage) -> Asset:
        record = self._records.get(stage.key)
        sources, unready = None, None
        if stage.watch is not None:
            try:
                sources = stage.watch.version(stage.watch.look(self._watch.sha256))
            except UserError as error:
                unready = error.what
            except OSError as error:  # one task's broken mount must not stop all others
                unready = f"its sources cannot be read: {error.strerror or type(error).__name__}"
            finally:
                self._watch.save()
        return Asset(
            name=stage.asset,
            layer=stage.layer,
            code_version=stage.code_version,
            inputs=stage.inputs,
            recorded=record.recorded if record else None,
            sources=sources,
            unready=unready,
            step=stage.step,
            gone=record is not None and not self._has(stage, record.recorded.data_version),
        )

    def _has(self, stage: Stage, data_version: str) -> bool:
        return self._store.has(stage.task.name, stage.asset, data_version)

    def _made_by(self, runs: Sequence[dg.DagsterRun]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for run in runs:
            named = run.asset_selection
            for task, stages in self._tasks.items():
                for stage in stages:
                    # A run of a job as a whole has no selection.
                    wanted = stage.key in named if named is not None else makes(run, stage)
                    record = self._records.get(stage.key)
                    if wanted and not (record and record.run == run.run_id):
                        found.setdefault(task, {})[stage.asset] = run.run_id
        return found

    def _policy(self, task: Task, scheduled: bool) -> Callable[[Mapping[str, Sequence[str]]], str | None]:
        policy = task.config.policy

        def hold(due: Mapping[str, Sequence[str]]) -> str | None:
            if policy.retrain == "manual":
                return "policy.retrain is manual: run it by hand"
            if policy.retrain == "schedule" and not scheduled:
                return f"policy.retrain is schedule: it runs at {policy.cron} ({policy.timezone})"
            if "checkpoint" not in due:
                return None
            return self._too_few_rows(task, due["checkpoint"]) or self.too_many_trainings(task)

        return hold

    def _too_few_rows(self, task: Task, reasons: Sequence[str]) -> str | None:
        least = task.config.policy.min_new_rows
        if not least or not rows_only(reasons):
            return None
        new = self.rows_since_training(task)
        if new is None or new >= least:
            return None
        return f"{new} new training rows since the last training, of {least} to wait for"

    def rows_since_training(self, task: Task) -> int | None:
        """Training rows that the checkpoint of a task has not seen; None where that cannot be told."""
        before = self._records.get(dg.AssetKey([task.name, "checkpoint"]))
        now = self._records.get(dg.AssetKey([task.name, "train_split"]))
        old = before.recorded.inputs.get("train_split") if before else None
        return new_rows(task.name, old, now.recorded.data_version) if old and now else None

    def made_at(self, task: str, asset: str) -> datetime | None:
        """When an asset was last made, or found unchanged."""
        record = self._records.get(dg.AssetKey([task, asset]))
        return record.at if record else None

    def too_many_trainings(self, task: Task) -> str | None:
        """Why the task is not trained again today, where its policy limits that."""
        most = task.config.policy.max_per_day
        if most is None:
            return None
        local = self._now.astimezone(ZoneInfo(task.config.policy.timezone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        today = self._instance.get_runs(dg.RunsFilter(created_after=midnight.astimezone(UTC)))
        trained = sum(run.tags.get(f"{TRAINED_TAG}.{task.name}") == run.run_id for run in today)
        return f"{trained} trainings today, of {most} at most" if trained >= most else None


@lru_cache(maxsize=64)
def new_rows(task: str, before: str, now: str) -> int | None:
    """Rows of one train split that another one did not have; None if that is no longer in the store."""
    store = ArtifactStore(store_root(), cache=cache_dir())
    try:
        old, new = (
            set(
                store.open(task, "train_split", version)
                .table(columns=["example_id"])["example_id"]
                .to_pylist()
            )
            for version in (before, now)
        )
    except UserError:
        return None
    return len(new - old)


def rows_only(reasons: Sequence[str]) -> bool:
    """Whether a checkpoint is due for nothing but other rows."""
    return all(reason.startswith(_ROWS_ONLY) for reason in reasons)


def _read_records(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]) -> dict[dg.AssetKey, _Record]:
    found = {}
    for record in instance.get_asset_records(keys):
        event = record.asset_entry.last_materialization
        made = event.asset_materialization if event else None
        tags = (made.tags or {}) if made else {}
        if event is None or "dagster/data_version" not in tags:
            continue
        prefix = "dagster/input_data_version/"
        inputs = {name.rpartition("/")[2]: value for name, value in tags.items() if name.startswith(prefix)}
        recorded = Recorded(
            tags["dagster/data_version"], tags.get("dagster/code_version"), inputs, tags.get(SOURCES_TAG)
        )
        found[record.asset_entry.asset_key] = _Record(
            recorded, event.run_id, datetime.fromtimestamp(event.timestamp, UTC)
        )
    return found


def build_sensor(tasks: Mapping[str, Sequence[Stage]]) -> dg.SensorDefinition:
    """The sensor that follows changes, for all tasks of a code location."""

    @dg.sensor(
        name=FOLLOW_CHANGES,
        description="Makes anew what depends on something that has changed, and no more: files, code, configuration. "
        "The data stages follow at once, training and evaluation by the policy of the task.",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        target=dg.AssetSelection.groups(*tasks) if tasks else dg.AssetSelection.all(),
    )
    def follow_changes(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        planner = Planner(context.instance, tasks)
        told = json.loads(context.cursor) if context.cursor else {}
        requests, observations, waiting, telling = [], [], [], {}
        for task in tasks:
            plan = planner.plan(task)
            if plan.run:
                requests.append(planner.request(task, plan))
            for asset, why in plan.waiting.items():
                name, because_of = f"{task}/{asset}", "; ".join(plan.due.get(asset, [UNKNOWN]))
                waiting.append(f"{name} waits: {why} (due: {because_of})")
                # While a run of the task is under way, what waits for it needs no words on its page.
                if not planner.is_busy(task):
                    telling[name] = why
                    if told.get(name) != why:
                        observations.append(
                            dg.AssetObservation(
                                dg.AssetKey([task, asset]),
                                metadata={"due_because": because_of, "waits_because": why},
                            )
                        )
                elif name in told:
                    telling[name] = told[name]
        skip = None
        if requests:
            for line in waiting:
                context.log.info(line)
        else:
            skip = dg.SkipReason("\n".join(waiting) or "everything is current")
        return dg.SensorResult(requests, skip, cursor=json.dumps(telling), asset_events=observations)

    return follow_changes
