"""From a work order to the functions of the training layer, for text classifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.loading import load as load_modules
from ft_assets.training.model_card import model_card
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
    from ft_assets.training.text_classification import train_classifier

    output = Path(order.output)
    result = train_classifier(
        base_model=_given(order.base_model),
        train=_given(order.train),
        validation=Path(order.validation) if order.validation is not None else None,
        labels=order.labels,
        config=order.training,
        output=output,
        report=send,
        base_model_name=order.card.base_model,
    )
    (output / "README.md").write_text(_card(order, result), encoding="utf-8")
    return result


def predict(order: WorkOrder, send: _Send) -> dict[str, Any]:
    """Predict; returns what `predict_classes` returns."""
    from ft_assets.training.text_prediction import predict_classes

    return predict_classes(
        checkpoint=_given(order.checkpoint),
        examples=_given(order.examples),
        labels=order.labels,
        config=order.training,
        output=Path(order.output),
        report=send,
    )


def _given(path: str | None) -> Path:
    if path is None:  # the order's own validation sees to it
        raise ValueError("the work order lacks a path that its kind needs")
    return Path(path)


_CARD_SETTINGS = ("method", "learning_rate", "seed", "precision", "optimizer", "device_name", "window")
# No times: the card is part of the checkpoint, and the same training again gives the same checkpoint.
_CARD_RESULTS = (
    "steps",
    "epochs",
    "best_step",
    "trainable_parameters",
    "parameters",
)


def _card(order: WorkOrder, result: dict[str, Any]) -> str:
    settings = {name: result[name] for name in _CARD_SETTINGS}
    settings |= {"batch_size": order.training.batch_size, "epochs asked for": order.training.epochs}
    settings |= {
        name: value for name, value in result["settings"].items() if name not in ("epochs", *settings)
    }
    outcome = {name: result[name] for name in _CARD_RESULTS}
    evaluations = [point for point in result["history"] if point["kind"] == "evaluation"]
    best = next((point for point in evaluations if point["step"] == result["best_step"]), None)
    if best is not None:
        outcome |= {f"validation {name}": best[name] for name in ("loss", "accuracy", "f1_macro")}
    facts = order.card
    return model_card(
        title=facts.task,
        description=facts.description,
        labels=order.labels,
        base_model=facts.base_model,
        license_name=facts.license,
        language=facts.language,
        data_versions=facts.data_versions,
        training=settings,
        result=outcome,
    )
