"""Who or what started a run, and why: the first line of ours in its log."""

import dagster as dg

from ft_assets.components.tags import BECAUSE_TAG, STARTED_BY_TAG, TOLD_TAG

__all__ = ["run_reason", "tell_reason"]

# Tags that Dagster sets, and what they say. The UI of Dagster's cloud notes the user.
_STARTERS = {
    "dagster/schedule_name": "schedule {}",
    "dagster/sensor_name": "sensor {}",
    "dagster/backfill": "backfill {}",
    "user": "hand ({})",
}


def run_reason(run: dg.DagsterRun) -> str:
    """Who or what started the run and why, from its tags."""
    tags = run.tags
    started = tags.get(STARTED_BY_TAG) or next(
        (text.format(tags[tag]) for tag, text in _STARTERS.items() if tag in tags),
        # Only what is launched through the webserver is tied to a code location.
        "hand in the UI" if run.remote_job_origin else "hand",
    )
    why = tags.get(BECAUSE_TAG)
    text = f"started by {started}" + (f", because {why}" if why else "")
    before = tags.get("dagster/parent_run_id")
    if before is None:
        return text
    # A run that is tried again has the tags of the first one.
    again = "once more by itself" if "dagster/retry_number" in tags else "again by hand"
    return f"started {again}, after run {before[:8]} ({text})"


def tell_reason(context: dg.AssetExecutionContext) -> None:
    """Log the reason, once a run: also where each step has a process of its own."""
    run = context.instance.get_run_by_id(context.run_id) or context.run
    if run.tags.get(TOLD_TAG) != run.run_id:
        context.instance.add_run_tags(run.run_id, {TOLD_TAG: run.run_id})
        context.log.info(run_reason(run))
