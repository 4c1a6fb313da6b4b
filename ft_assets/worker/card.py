"""What a model card says about a training, whatever the task type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ft_assets.worker.work_order import WorkOrder

__all__ = ["training_facts"]

_SETTINGS = ("method", "learning_rate", "seed", "precision", "optimizer", "device_name", "window")
# No times: the card is part of the checkpoint, and the same training again gives the same checkpoint.
_RESULTS = ("steps", "epochs", "best_step", "trainable_parameters", "parameters")


def training_facts(
    order: WorkOrder, result: Mapping[str, Any], scores: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and results of a training, for the card.

    Args:
        order: what was asked for.
        result: what the training returned.
        scores: names of the scores of an evaluation.
    """
    settings = {name: result[name] for name in _SETTINGS}
    settings |= {"batch_size": order.training.batch_size, "epochs asked for": order.training.epochs}
    settings |= {
        name: value for name, value in result["settings"].items() if name not in ("epochs", *settings)
    }
    outcome = {name: result[name] for name in _RESULTS}
    evaluations = [point for point in result["history"] if point["kind"] == "evaluation"]
    best = next((point for point in evaluations if point["step"] == result["best_step"]), None)
    if best is not None:
        outcome |= {f"validation {name}": best[name] for name in scores}
    return settings, outcome
