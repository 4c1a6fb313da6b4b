"""`<task>__retrain`: trains at the times that the task's policy names, on what has come in since the last training."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from ft_assets.components.jobs import AssetJob
from ft_assets.components.planner import Planner, rows_only
from ft_assets.components.stage import Stage, Task
from ft_assets.errors import UserError
from ft_assets.planning.plan import Plan

__all__ = ["build_schedule", "retraining", "schedule_name"]


def schedule_name(task: str) -> str:
    """The name of a task's schedule."""
    return f"{task}__retrain"


def build_schedule(task: Task, stages: Sequence[Stage], job: AssetJob) -> dg.ScheduleDefinition:
    """The schedule of a task whose policy says `retrain: schedule`; `job` makes all of the task.

    Raises:
        UserError: Dagster cannot make times out of `policy.cron`.
    """
    policy = task.config.policy

    def retrain(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # The times of a daemon that was down come late: they count in the day that they are looked at.
        now = max(context.scheduled_execution_time, datetime.now(UTC))
        return retraining(Planner(context.instance, {task.name: stages}, now), task, stages)

    try:
        return dg.schedule(
            name=schedule_name(task.name),
            job=job,
            cron_schedule=str(policy.cron),
            execution_timezone=policy.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Trains {task.name} again at {policy.cron} ({policy.timezone}), if there is a reason to.",
        )(retrain)
    except dg.DagsterInvalidDefinitionError as error:
        raise UserError(
            f"policy.cron: no times can be made out of '{policy.cron}'",
            where=str(task.folder / "defs.yaml"),
            do="write minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day of week (0-6), "
            "such as '0 3 * * 1' for Mondays at three",
        ) from error


def retraining(planner: Planner, task: Task, stages: Sequence[Stage]) -> dg.RunRequest | dg.SkipReason:
    """What a time of the schedule comes to: a run, or why there is none.

    Data that is due, or that another run is making, goes into the same run: it would be missed until the next time
    otherwise. What both runs make is made once; the second waits for the first. Only where the policy sets
    `min_new_rows` the data has to come first, since the new rows cannot be counted before.
    """
    model = {stage.asset for stage in stages if stage.layer == "model"}
    plan = planner.plan(task.name, scheduled=True)
    started_by = f"schedule {schedule_name(task.name)}"
    if model & set(plan.run):
        return planner.request(task.name, plan, started_by, _new_rows(planner, task, plan))
    in_flight = planner.in_flight.get(task.name, {})
    making = sorted(model & set(in_flight))
    if making:
        return dg.SkipReason(f"run {in_flight[making[0]][:8]} is making {making[0]}")
    coming = _with_what_follows(plan, stages, set(in_flight))
    if model & set(coming):
        why = _limit(planner, task, plan, coming)
        if why is not None:
            return dg.SkipReason(why)
        followers = plan.followers | (set(coming) - set(plan.due))
        whole = replace(plan, run=coming, followers=frozenset(followers))
        also = [f"run {run[:8]} is making {asset}" for asset, run in list(in_flight.items())[:1]]
        return planner.request(task.name, whole, started_by, also)
    if plan.held:
        return dg.SkipReason("\n".join(f"{asset} waits: {why}" for asset, why in plan.held.items()))
    since = planner.made_at(task.name, "checkpoint")
    local = since.astimezone(ZoneInfo(task.config.policy.timezone)) if since else None
    return dg.SkipReason(
        "nothing that the model depends on has changed"
        + (f" since it was last made, {local:%Y-%m-%d %H:%M}" if local else "")
    )


def _new_rows(planner: Planner, task: Task, plan: Plan) -> list[str]:
    rows = planner.rows_since_training(task) if "checkpoint" in plan.run else None
    return [] if rows is None else [f"{rows} new training rows since the last training"]


def _with_what_follows(plan: Plan, stages: Sequence[Stage], in_flight: set[str]) -> tuple[str, ...]:
    """The data that is due or in flight, and all that is made from it; without what depends on something that cannot
    be made now."""
    coming, blocked = set(plan.run) | in_flight, set[str]()
    for stage in stages:
        if blocked & set(stage.inputs):
            blocked.add(stage.asset)
            coming.discard(stage.asset)
        elif coming & set(stage.inputs):
            coming.add(stage.asset)
        elif stage.asset in plan.held and stage.asset not in coming:
            blocked.add(stage.asset)
    return tuple(stage.asset for stage in stages if stage.asset in coming)


def _limit(planner: Planner, task: Task, plan: Plan, coming: Sequence[str]) -> str | None:
    """Why a run of data and model together would go around a limit of the policy."""
    if "checkpoint" not in coming:
        return None
    policy, reasons = task.config.policy, plan.due.get("checkpoint", ())
    counted = rows_only(reasons) and "base_model" not in coming
    if policy.min_new_rows and counted and planner.made_at(task.name, "checkpoint"):
        return (
            f"{coming[0]} comes first: then it is known whether {policy.min_new_rows} new training rows have come in "
            "(policy.min_new_rows), and the next time of the schedule goes by that"
        )
    return planner.too_many_trainings(task)
