"""From a work order to the functions of the training layer, for models that write text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.data.masking import mask
from ft_assets.loading import load as load_modules
from ft_assets.worker.card import write_card
from ft_assets.worker.work_order import WorkOrder

__all__ = ["load", "predict", "train"]

_Send = Callable[[dict[str, Any]], None]
_LIBRARIES = {
    "train": ("ft_assets.training.text_generation", "accelerate", "datasets", "peft"),
    "predict": ("ft_assets.training.text_answers",),
}
_SHOWN_CHARS = 400
"""Most characters of a text that the audit shows."""


def load(kind: str) -> None:
    """Load what a kind of work ("train", "predict") needs."""
    load_modules(*_LIBRARIES[kind])


def train(order: WorkOrder, send: _Send) -> dict[str, Any]:
    """Train, write the checkpoint and its card; returns what `train_language_model` returns."""
    from ft_assets.training.processes import is_first
    from ft_assets.training.text_generation import train_language_model
    from ft_assets.worker.resuming import resume_points, token_cache

    result = train_language_model(
        base_model=order.path("base_model"),
        train=order.path("train"),
        validation=Path(order.validation) if order.validation is not None else None,
        task_type=order.task_type,
        prompt=order.prompt,
        config=order.training,
        output=Path(order.output),
        report=send,
        mask=lambda text: mask(text, _SHOWN_CHARS),
        base_model_name=order.card.base_model,
        points=resume_points(order, send),
        cache=token_cache(order),
    )
    if is_first():
        write_card(order, result, ("loss", "perplexity"))
    return result


def predict(order: WorkOrder, send: _Send) -> dict[str, Any]:
    """Write answers; returns what `write_answers` returns."""
    from ft_assets.training.text_answers import write_answers

    return write_answers(
        checkpoint=order.path("checkpoint"),
        examples=order.path("examples"),
        prompt=order.prompt,
        generation=order.generation,
        config=order.training,
        output=Path(order.output),
        report=send,
        train=order.path("train") if order.shots else None,
        shots=order.shots,
    )
