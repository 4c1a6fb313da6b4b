"""From a work order to the functions of the training layer, for text classifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.loading import load as load_modules
from ft_assets.worker.card import write_card
from ft_assets.worker.work_order import WorkOrder

__all__ = ["load", "predict", "train"]

_Send = Callable[[dict[str, Any]], None]
_LIBRARIES = {
    # peft and datasets are used by training alone, and prediction starts without what they load.
    "train": ("ft_assets.training.text_classification", "accelerate", "datasets", "peft"),
    "predict": ("ft_assets.training.text_prediction",),
}


def load(kind: str) -> None:
    """Load what a kind of work ("train", "predict") needs."""
    load_modules(*_LIBRARIES[kind])


def train(order: WorkOrder, send: _Send) -> dict[str, Any]:
    """Train, write the checkpoint and its card; returns what `train_classifier` returns."""
    from ft_assets.training.processes import is_first
    from ft_assets.training.text_classification import train_classifier
    from ft_assets.worker.resuming import resume_points, token_cache

    result = train_classifier(
        base_model=order.path("base_model"),
        train=order.path("train"),
        validation=Path(order.validation) if order.validation is not None else None,
        labels=order.labels or [],
        config=order.training,
        output=Path(order.output),
        report=send,
        base_model_name=order.card.base_model,
        points=resume_points(order, send),
        cache=token_cache(order),
    )
    if is_first():
        write_card(order, result, ("loss", "accuracy", "f1_macro"))
    return result


def predict(order: WorkOrder, send: _Send) -> dict[str, Any]:
    """Predict; returns what `predict_classes` returns."""
    from ft_assets.training.text_prediction import predict_classes

    return predict_classes(
        checkpoint=order.path("checkpoint"),
        examples=order.path("examples"),
        labels=order.labels or [],
        config=order.training,
        output=Path(order.output),
        report=send,
    )
