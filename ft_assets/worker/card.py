"""The model card of a trained checkpoint, whatever the task type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ft_assets.task_types import generates
from ft_assets.training.model_card import model_card
from ft_assets.worker.work_order import WorkOrder

__all__ = ["write_card"]

_SETTINGS = ("method", "learning_rate", "seed", "precision", "optimizer", "device_name", "window")
# No times: the card is part of the checkpoint, and the same training again gives the same checkpoint.
_RESULTS = ("steps", "epochs", "best_step", "trainable_parameters", "parameters")


def write_card(order: WorkOrder, result: Mapping[str, Any], scores: Sequence[str]) -> None:
    """Write README.md into the output.

    Args:
        order: what was asked for.
        result: what the training returned.
        scores: names of the scores of an evaluation.
    """
    settings, outcome = _facts(order, result, scores)
    if generates(order.task_type) and order.prompt.system is not None:
        settings["system message"] = order.prompt.system
    card = model_card(
        title=order.card.task,
        description=order.card.description,
        task_type=order.task_type,
        labels=order.labels,
        prompt=order.prompt.template,
        base_model=order.card.base_model,
        license_name=order.card.license,
        language=order.card.language,
        data_versions=order.card.data_versions,
        training=settings,
        result=outcome,
    )
    (Path(order.output) / "README.md").write_text(card, encoding="utf-8")


def _facts(
    order: WorkOrder, result: Mapping[str, Any], scores: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and results of a training."""
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
