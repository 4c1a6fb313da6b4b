"""Training of text classifiers, from two Parquet files to a checkpoint. Prediction is in
`text_prediction`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from ft_assets.errors import UserError
from ft_assets.training.audit import before_choosing
from ft_assets.training.batches import PadBatch
from ft_assets.training.checkpoint import load_base, load_tokenizer, require_padding, save_checkpoint
from ft_assets.training.config import TrainingConfig
from ft_assets.training.fine_tuning import fine_tune
from ft_assets.training.guards import require_finite_weights
from ft_assets.training.hardware import choose_hardware
from ft_assets.training.methods import prepare, train_head_only
from ft_assets.training.probe import cached_features
from ft_assets.training.processes import is_first
from ft_assets.training.progress import Report
from ft_assets.training.reloaded import Base, reloaded_classifier
from ft_assets.training.resume import ResumePoints
from ft_assets.training.rows import Rows, by_length, model_window, read_rows
from ft_assets.training.token_cache import TokenCache
from ft_assets.training.trainer import ClassifierTrainer

__all__ = ["train_classifier"]

_TASK_TYPE = "text-classification"
_PROBE = {"method": "linear_probe", "learning_rate": None, "dropout": 0.0, "compile": False}
"""Settings of the first part of probe_then_full."""
_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "numpy")


def train_classifier(
    *,
    base_model: Path,
    train: Path,
    validation: Path | None,
    labels: list[str],
    config: TrainingConfig,
    output: Path,
    report: Report,
    base_model_name: str | None = None,
    points: ResumePoints | None = None,
    cache: TokenCache | None = None,
) -> dict[str, Any]:
    """Fine-tune a sequence classifier and write the checkpoint into `output`.

    Args:
        base_model: folder with config.json, safetensors weights and a tokenizer.
        train: Parquet file with example_id, text, label.
        validation: the like; its loss chooses the weights. None: the last weights are taken.
        labels: names of the classes in the order of the outputs.
        config: settings.
        output: existing directory; receives the checkpoint in Hub format (and `adapter/` with LoRA).
        report: receives progress, evaluation and note messages.
        base_model_name: identity of the base model for the files; never a path.
        points: where the training's state is kept, to go on from it.
        cache: where tokenised rows are kept.

    Returns:
        What was measured and used, the audits, and the points of the curves: the content of `training.json`. Of several
        processes only the first one writes the checkpoint and has all of this.

    Raises:
        UserError: the model or rows cannot be used, training diverged, or the checkpoint is not what was trained.
    """
    hardware = choose_hardware(config)
    loaded = _load(base_model, train, validation, labels, config, cache=cache)
    model, train_rows, validation_rows = loaded.model, loaded.train, loaded.validation
    audit = before_choosing(train_rows, validation_rows, labels, loaded.tokenizer, model)
    _tell(report, loaded, audit)
    pad = PadBatch(loaded.tokenizer.pad_token_id, left=loaded.tokenizer.padding_side == "left")
    trainer = partial(
        ClassifierTrainer,
        data_collator=pad,
        train_dataset=_dataset(train_rows),
        validation=_dataset(validation_rows) if validation_rows is not None else None,
        class_weights=_class_weights(train_rows.labels, labels, config),
        label_smoothing=config.label_smoothing,
    )
    tune = partial(
        fine_tune,
        model,
        rows=len(train_rows),
        evaluates=validation_rows is not None,
        hardware=hardware,
        output=output,
        report=report,
        libraries=_LIBRARIES,
        make_trainer=trainer,
        make_again=lambda: _load(base_model, train, validation, labels, config, cache=cache).model,
    )
    read = [*train_rows.input_ids, *(validation_rows.input_ids if validation_rows is not None else [])]
    rate = config.effective_learning_rate(_TASK_TYPE)
    probe: dict[str, Any] = {}
    if config.method == "linear_probe":
        with cached_features(model, read, pad, hardware) as cached:
            model, result = tune(config=config, learning_rate=rate, points=points)
        probe = {
            "features_cached": cached,
            "parameters": sum(weight.numel() for weight in model.parameters()),
        }
    else:
        if config.method == "probe_then_full" and (points is None or points.newest() is None):
            report({"kind": "note", "text": "the head is trained first, on the features of the base model"})
            train_head_only(model, loaded.fresh_weights)
            first = TrainingConfig(**config.model_dump() | _PROBE | {"epochs": config.probe_epochs})
            with cached_features(model, read, pad, hardware):
                _, head = tune(config=first, learning_rate=first.effective_learning_rate(_TASK_TYPE))
            model.requires_grad_(True)
            probe = {"probe": {name: head[name] for name in ("steps", "best_step", "best_score", "seconds")}}
        model, result = tune(config=config, learning_rate=rate, points=points)
    if not is_first():
        return result

    def save() -> Path:
        save_checkpoint(
            model.cpu(),
            loaded.tokenizer,
            output,
            config=config,
            window=loaded.window,
            base_model=base_model_name,
        )
        return output

    audit |= reloaded_classifier(
        model,
        loaded.tokenizer,
        train_rows.input_ids,
        window=loaded.window,
        save=save,
        base=Base(base_model),
    )
    return {
        **result,
        **probe,
        "audit": audit,
        "window": loaded.window,
        "rows": {"train": len(train_rows), "validation": len(validation_rows or ())},
        "truncated": {
            "train": int(train_rows.truncated.sum()),
            "validation": int(validation_rows.truncated.sum()) if validation_rows is not None else 0,
        },
    }


@dataclass(frozen=True)
class _Loaded:
    """The model as it is trained, and the rows as it reads them."""

    model: Any
    tokenizer: Any
    train: Rows
    validation: Rows | None
    window: int
    fresh_weights: list[str]
    """Names of weights that the base model did not have: the head's, as a rule."""


def _load(
    base_model: Path,
    train: Path,
    validation: Path | None,
    labels: list[str],
    config: TrainingConfig,
    *,
    cache: TokenCache | None,
) -> _Loaded:
    set_seed(config.seed)  # before the head is drawn
    model, fresh_weights = load_base(base_model, labels, config.effective_dropout())
    tokenizer = load_tokenizer(base_model)
    require_padding(tokenizer, model)
    require_finite_weights(model, where="base model")
    window = model_window(tokenizer, model.config, config.max_length)

    def rows(path: Path, where: str) -> Rows:
        return by_length(read_rows(path, tokenizer, window, labels, cache), config, window, where)

    train_rows = rows(train, "train split")
    if not len(train_rows):
        raise UserError("there are no rows to train on", where="train split")
    validation_rows = rows(validation, "validation split") if validation is not None else None
    if validation_rows is not None and not len(validation_rows):
        validation_rows = None
    set_seed(config.seed)  # the adapters' start, whatever was drawn before
    model = prepare(model, config, fresh_weights=fresh_weights)
    return _Loaded(model, tokenizer, train_rows, validation_rows, window, fresh_weights)


def _dataset(rows: Rows) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": rows.input_ids, "labels": rows.labels})


def _class_weights(indices: np.ndarray, labels: list[str], config: TrainingConfig) -> torch.Tensor | None:
    """Weights rows / (classes * rows of the class), as scikit-learn's "balanced"."""
    if config.class_weights == "none":
        return None
    counts = np.bincount(indices, minlength=len(labels))
    if (counts == 0).any():
        absent = ", ".join(name for name, count in zip(labels, counts, strict=True) if not count)
        raise UserError(
            f"class_weights: balanced needs rows of every class; there are none of {absent}",
            where="train split",
            do="add rows of that class, take it out of the labels, or set training.class_weights: none",
        )
    return torch.tensor(len(indices) / (len(counts) * counts), dtype=torch.float32)


def _tell(report: Report, loaded: _Loaded, audit: dict[str, Any]) -> None:
    said = [
        rows.truncation(name, loaded.window)
        for name, rows in (("train", loaded.train), ("validation", loaded.validation))
        if rows is not None
    ]
    said += [
        text
        for text, holds in (
            (
                f"{audit['dropped']:,} training rows are longer than the window and were left out",
                audit["dropped"],
            ),
            (
                f"there are no training rows of {audit['classes_without_rows']}: it will not be learnt",
                audit["classes_without_rows"] != "none",
            ),
            (
                f"{audit['unknown_tokens']:,} of {audit['tokens']:,} training tokens are unknown to the model",
                audit["unknown_tokens"],
            ),
        )
        if holds
    ]
    for text in filter(None, said):
        report({"kind": "note", "text": text})
