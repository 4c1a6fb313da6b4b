"""A training from start to the best weights, whatever the model learns: settings, guards, measuring, early stopping.
What is trained, and by which Trainer, is decided by the module of the task type."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ft_assets.errors import UserError
from ft_assets.training.best import BestWeights, changing
from ft_assets.training.compiling import require_compiler
from ft_assets.training.config import TrainingConfig
from ft_assets.training.flops import training_flops, utilisation
from ft_assets.training.guards import FiniteGuard, require_finite_weights
from ft_assets.training.hardware import Hardware, peak_memory
from ft_assets.training.memory import MemoryPlan, plan_memory
from ft_assets.training.processes import count, gathered, is_first, shard, spreads
from ft_assets.training.progress import Meter, Report
from ft_assets.training.resume import ResumePoints, Resuming, passes_of
from ft_assets.training.trainer import evaluation_steps, row_lengths

__all__ = ["fine_tune"]

_OPTIMIZER = "adamw_torch_fused"  # one kernel for all weights; torch has it for CUDA and for the CPU
_ADAMW_BYTES = 8  # two numbers in fp32 for each trained weight


def fine_tune(
    model: Any,
    *,
    rows: int,
    evaluates: bool,
    config: TrainingConfig,
    learning_rate: float,
    hardware: Hardware,
    output: Path,
    report: Report,
    make_trainer: Callable[..., Any],
    make_again: Callable[[], Any],
    libraries: tuple[str, ...],
    points: ResumePoints | None = None,
    arguments: type[TrainingArguments] = TrainingArguments,
    **more_arguments: Any,
) -> tuple[Any, dict[str, Any]]:
    """Train the model up to the best weights.

    Args:
        model: as it is trained, adapters included.
        rows: how many rows an epoch has.
        evaluates: whether there are validation rows.
        config: settings.
        learning_rate: its peak.
        hardware: what it runs on.
        output: existing directory; scratch files lie there while it trains.
        report: receives progress and evaluation messages.
        make_trainer: takes what every `MeasuredTraining` takes, and model, args and callbacks.
        make_again: makes the model as it was given, in the host's memory; what was spread over several processes is put
            together in it.
        libraries: distributions whose versions are told.
        points: where the state is kept in between; the training goes on from the newest point. None: nowhere.
        arguments: class of the Trainer's arguments, and further ones.

    Returns:
        The model with the best weights: the one given, unless it was spread over several processes; then the first of
        them has another one. And what was measured and used, and the points of the curves.

    Raises:
        UserError: training diverged, the memory is not enough, nothing can be compiled here, or the resume points are
            those of another training.
        Stopped: the process was told to end, and the state has been kept.
    """
    flops, sizes = training_flops(model), [(w.numel(), w.requires_grad) for w in model.parameters()]
    attention, spread = getattr(model.config, "_attn_implementation", None), spreads(config)
    steps = max(1, math.ceil(config.epochs * math.ceil(rows / config.batch_size)))
    evaluations = max(1, round(config.epochs * config.evaluations_per_epoch)) if evaluates else 0
    if config.compile:
        require_compiler(hardware.torch_device)
    guard = FiniteGuard(hardware.torch_device, peak_rate=learning_rate, steps=steps)
    meter = Meter(report, hardware.torch_device, steps=steps, evaluations=evaluations)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=output) as scratch:
        best = BestWeights(
            Path(scratch),
            metric=f"eval_{config.best_by}",
            greater_is_better=config.best_by != "loss",
            patience=config.early_stopping_patience,
        )
        if spread:
            shard(model)  # before the Trainer puts it on the device
        given = _training_arguments(config, hardware, steps, learning_rate, Path(scratch)) | more_arguments
        trainer = make_trainer(
            model=model,
            args=arguments(**given),
            callbacks=[best],
            group_by_length=config.length_grouping,
            compiles=config.compile,
            evaluate_at=evaluation_steps(steps, evaluations),
            meter=meter,
            guard=guard,
        )
        with _checkpointed(model, config):
            point = points.newest() if points is not None else None
            plan = _plan(trainer, config, hardware, point, report)
            trainer.tokens_per_pass = plan.tokens_per_pass
            if evaluates:
                trainer.try_evaluation()
            resuming = None
            if points is not None:
                resuming = Resuming(
                    points, best=best, meter=meter, guard=guard, tokens_per_pass=plan.tokens_per_pass
                )
                trainer.add_callback(resuming)
            _train(trainer, point, resuming, report)
        guard.check()
        best.restore(model)
    # bf16 hangs on the instance, as its `forward` (accelerate's way); what is saved computes in fp32, as its weights
    # are. accelerate's own way back takes off what the architecture has put around its `forward`, too.
    vars(model).pop("forward", None)
    if spread:
        model = _put_together(model, make_again)
    if is_first():
        require_finite_weights(model, where="trained model")
    totals = meter.totals()
    return model, {
        **totals,
        **utilisation(flops, totals, hardware),
        "method": config.method,
        "learning_rate": learning_rate,
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
        "attention": attention,
        "tokens_per_pass": plan.tokens_per_pass,
        "largest_pass_bytes": plan.needed_bytes,
        "free_memory_bytes": plan.free_bytes,
        "peak_memory_bytes": peak_memory(hardware),
        "processes": count(),
        "trainable_parameters": sum(size for size, trained in sizes if trained),
        "parameters": sum(size for size, _ in sizes),
        "libraries": {name: version(name) for name in libraries},
        "history": meter.history,
    }


def _plan(
    trainer: Any, config: TrainingConfig, hardware: Hardware, point: Path | None, report: Report
) -> MemoryPlan:
    """How large passes may be; those of the resume point, if there is one."""
    most, processes = (hardware.tokens_per_pass, count()) if point is None else passes_of(point)
    trained = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    held_here = trained // (count() if spreads(config) else 1)
    plan = plan_memory(
        trainer.try_pass,
        row_lengths(trainer.train_dataset),
        most=most,
        most_rows=config.batch_size,
        device=hardware.torch_device,
        later=held_here * _ADAMW_BYTES,
    )
    trainer.model.zero_grad(set_to_none=True)
    if plan.tokens_per_pass < most:
        text = f"passes have at most {plan.tokens_per_pass:,} tokens instead of {most:,}, to fit the memory"
        report({"kind": "note", "text": text})
    if point is not None and (plan.tokens_per_pass, count()) != (most, processes):
        report({"kind": "note", "text": "the training goes on with other rounding than before"})
    return plan


def _put_together(spread: Any, make_again: Callable[[], Any]) -> Any:
    """In the first process a whole model with the weights of one that is spread; the others only give theirs."""
    model = make_again() if is_first() else spread
    into = changing(model)
    with torch.no_grad():
        for name, tensor in changing(spread).items():
            value = gathered(tensor)
            if is_first():
                into[name].copy_(value)
    return model


@contextmanager
def _checkpointed(model: Any, config: TrainingConfig) -> Iterator[None]:
    """Inside, the model keeps only what enters each layer, if the settings say so."""
    if not config.gradient_checkpointing:
        yield
        return
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise UserError(
            f"{type(model).__name__} cannot compute its layers again",
            where="training.gradient_checkpointing",
            do="leave it out; lower training.tokens_per_pass instead",
        )
    model.activation_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        model.activation_checkpointing_disable()


def _train(trainer: Any, point: Path | None, resuming: Resuming | None, report: Report) -> None:
    """Train, from the resume point if there is one."""
    if resuming is None:
        trainer.train()
        return
    if point is not None:
        resuming.resume(point)
        report({"kind": "note", "text": f"goes on from the resume point {point.name}"})
    try:
        trainer.train(resume_from_checkpoint=str(point) if point is not None else None)
    finally:
        resuming.release()


def _training_arguments(
    config: TrainingConfig, hardware: Hardware, steps: int, learning_rate: float, scratch: Path
) -> dict[str, Any]:
    return {
        "output_dir": str(scratch / "trainer"),
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "max_steps": steps,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule,
        "warmup_steps": math.ceil(config.warmup_fraction * steps),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_gradient_norm,
        "optim": _OPTIMIZER,
        "bf16": hardware.precision == "bf16",
        "use_cpu": not hardware.on_gpu,
        "seed": config.seed,
        "dataloader_pin_memory": hardware.on_gpu,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "logging_nan_inf_filter": False,
        "logging_strategy": "no",
        "eval_strategy": "no",  # a callback says when, so that the last step is always among them
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
