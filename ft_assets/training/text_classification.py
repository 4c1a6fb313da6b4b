"""Training of text classifiers, from two Parquet files to a checkpoint. Prediction is in
`text_prediction`."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainingArguments, set_seed

from ft_assets.errors import UserError
from ft_assets.training.batches import PadBatch
from ft_assets.training.best import BestWeights
from ft_assets.training.checkpoint import load_base, load_tokenizer, save_checkpoint
from ft_assets.training.config import TrainingConfig
from ft_assets.training.flops import FORMULA, TrainingFlops, peak_of, training_flops
from ft_assets.training.guards import FiniteGuard, require_finite_weights
from ft_assets.training.hardware import Hardware, choose_hardware, peak_memory
from ft_assets.training.methods import prepare
from ft_assets.training.progress import Meter, Report
from ft_assets.training.rows import Rows, model_window, read_rows
from ft_assets.training.trainer import ClassifierTrainer, evaluation_scores, evaluation_steps

__all__ = ["train_classifier"]

_OPTIMIZER = "adamw_torch_fused"  # one kernel for all weights; torch has it for CUDA and for the CPU
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

    Returns:
        What was measured and used, and the points of the curves: the content of `training.json`.

    Raises:
        UserError: the model or rows cannot be used, or training diverged.
    """
    hardware = choose_hardware(config)
    loaded = _load(base_model, train, validation, labels, config)
    _report_truncation(report, loaded)
    model, train_rows, validation_rows = loaded.model, loaded.train, loaded.validation
    parameters, flops = list(model.parameters()), training_flops(model)

    steps = max(1, math.ceil(config.epochs * math.ceil(len(train_rows) / config.batch_size)))
    evaluations = 0
    if validation_rows is not None:
        evaluations = max(1, round(config.epochs * config.evaluations_per_epoch))
    guard = FiniteGuard(hardware.torch_device, peak_rate=config.effective_learning_rate(), steps=steps)
    meter = Meter(report, hardware.torch_device, steps=steps, evaluations=evaluations)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=output) as scratch:
        best = BestWeights(
            Path(scratch),
            metric=f"eval_{config.best_by}",
            greater_is_better=config.best_by != "loss",
            patience=config.early_stopping_patience,
        )
        trainer = ClassifierTrainer(
            model=model,
            args=_training_arguments(config, hardware, steps, Path(scratch)),
            data_collator=PadBatch(
                loaded.tokenizer.pad_token_id, left=loaded.tokenizer.padding_side == "left"
            ),
            train_dataset=_dataset(train_rows),
            eval_dataset=_dataset(validation_rows) if validation_rows is not None else None,
            compute_metrics=lambda pairs: evaluation_scores(pairs.predictions, pairs.label_ids),
            callbacks=[best],
            group_by_length=config.length_grouping,
            class_weights=_class_weights(train_rows.labels, labels, config),
            label_smoothing=config.label_smoothing,
            tokens_per_pass=hardware.tokens_per_pass,
            evaluate_at=evaluation_steps(steps, evaluations),
            meter=meter,
            guard=guard,
        )
        trainer.train()
        guard.check()
        best.restore(model)
    require_finite_weights(model, where="trained model")
    peak = peak_memory(hardware)
    save_checkpoint(
        model.cpu(),
        loaded.tokenizer,
        output,
        config=config,
        window=loaded.window,
        base_model=base_model_name,
    )
    totals = meter.totals()
    return {
        **totals,
        **_utilisation(totals, flops, hardware),
        "method": config.method,
        "learning_rate": config.effective_learning_rate(),
        "seed": config.seed,
        "settings": config.model_dump(mode="json", exclude_defaults=True),
        "steps": trainer.state.global_step,
        "planned_steps": steps,
        "epochs": trainer.state.epoch,
        "best_step": best.best_step,
        "best_by": config.best_by,
        "best_score": best.best_score,
        "stopped_early": best.stopped_early,
        "device": hardware.device,
        "device_name": hardware.device_name,
        "threads": hardware.threads,
        "precision": hardware.precision,
        "optimizer": _OPTIMIZER,
        "attention": getattr(model.config, "_attn_implementation", None),
        "tokens_per_pass": hardware.tokens_per_pass,
        "peak_memory_bytes": peak,
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "parameters": sum(p.numel() for p in parameters),
        "window": loaded.window,
        "rows": {"train": len(train_rows), "validation": len(validation_rows or ())},
        "truncated": {
            "train": int(train_rows.truncated.sum()),
            "validation": int(validation_rows.truncated.sum()) if validation_rows is not None else 0,
        },
        "libraries": {name: version(name) for name in _LIBRARIES},
        "history": meter.history,
    }


def _utilisation(totals: dict[str, Any], flops: TrainingFlops, hardware: Hardware) -> dict[str, Any]:
    """Model FLOP utilisation of the training, evaluations left out, with what it is made of."""
    computed = flops.of(totals["tokens_seen"], totals["squared_lengths_seen"])
    speed, peak = computed / max(totals["train_seconds"], 1e-9), peak_of(hardware)
    return {
        "model_flops": computed,
        "flops_per_second": speed,
        "model_flop_utilisation": speed / peak.flops_per_second,
        "peak_flops_per_second": peak.flops_per_second,
        "peak_basis": peak.basis,
        "flops_formula": FORMULA,
    }


@dataclass(frozen=True)
class _Loaded:
    """The model as it is trained, and the rows as it reads them."""

    model: Any
    tokenizer: Any
    train: Rows
    validation: Rows | None
    window: int


def _load(
    base_model: Path, train: Path, validation: Path | None, labels: list[str], config: TrainingConfig
) -> _Loaded:
    set_seed(config.seed)  # before the head is drawn
    model, fresh_weights = load_base(base_model, labels, config.effective_dropout())
    tokenizer = load_tokenizer(base_model)
    _require_padding(tokenizer, model)
    require_finite_weights(model, where="base model")
    window = model_window(tokenizer, model.config, config.max_length)
    train_rows = read_rows(train, tokenizer, window, labels)
    if not len(train_rows):
        raise UserError("there are no rows to train on", where="train split")
    validation_rows = read_rows(validation, tokenizer, window, labels) if validation is not None else None
    if validation_rows is not None and not len(validation_rows):
        validation_rows = None
    set_seed(config.seed)  # the adapters' start, whatever was drawn before
    model = prepare(model, config, fresh_weights=fresh_weights)
    return _Loaded(model, tokenizer, train_rows, validation_rows, window)


def _training_arguments(
    config: TrainingConfig, hardware: Hardware, steps: int, scratch: Path
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(scratch / "trainer"),
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        max_steps=steps,
        learning_rate=config.effective_learning_rate(),
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
        warmup_steps=math.ceil(config.warmup_fraction * steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_gradient_norm,
        optim=_OPTIMIZER,
        bf16=hardware.precision == "bf16",
        use_cpu=not hardware.on_gpu,
        seed=config.seed,
        dataloader_pin_memory=hardware.on_gpu,
        remove_unused_columns=False,
        label_names=["labels"],
        logging_nan_inf_filter=False,
        logging_strategy="no",
        eval_strategy="no",  # a callback says when, so that the last step is always among them
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


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


def _require_padding(tokenizer: Any, model: Any) -> None:
    """Give models that were trained without padding (GPT-2 and its kin) their end token for it; the mask
    hides it."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UserError("the tokenizer has neither a padding nor an end token", where="base model")
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def _report_truncation(report: Report, loaded: _Loaded) -> None:
    for name, rows in (("train", loaded.train), ("validation", loaded.validation)):
        if rows is not None and (note := rows.truncation(name, loaded.window)):
            report({"kind": "note", "text": note})
