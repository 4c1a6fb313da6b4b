"""The tags of runs: which task, who or what started it and why, what it tried to make."""

from collections.abc import Sequence

__all__ = [
    "ATTEMPT_TAG",
    "BECAUSE_TAG",
    "STARTED_BY_TAG",
    "TASK_TAG",
    "TOLD_TAG",
    "TRAINED_TAG",
    "because",
]

TASK_TAG = "ft_assets/task"
STARTED_BY_TAG = "ft_assets/started_by"
"""Who or what started the run: a sensor, a schedule, a command; absent where a person did in the UI."""
BECAUSE_TAG = "ft_assets/because"
"""Why: which input changed, from which version to which."""
# The UI does not show tags that begin so.
_HIDDEN = ".dagster/ft_assets"
ATTEMPT_TAG = f"{_HIDDEN}/attempt"
"""`<tag>.<fingerprint of what an asset is made of>`: how far the run came with it, see `attempts`."""
TOLD_TAG = f"{_HIDDEN}/told"
"""The run's own id, once its log says why it was started; a run that is tried again has the id of the first one."""
TRAINED_TAG = f"{_HIDDEN}/trained"
"""`<tag>.<task>: <run id>`: the run has trained the task's model. A copy of the run's tags is not that run."""

_MOST_REASONS = 5


def because(reasons: Sequence[str]) -> str:
    """Reasons as the value of a tag: some of them, and how many more there are."""
    more = len(reasons) - _MOST_REASONS
    return "; ".join([*reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])])
