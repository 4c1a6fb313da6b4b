"""The Trainer of transformers with our batches, loss, checks and progress. What it is trained on is decided
elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, TrainerCallback, TrainerControl, TrainerState

from ft_assets.training.batches import (
    LengthGroupedSampler,
    NumberedBatches,
    batches_by_tokens,
    rows_per_pass,
)
from ft_assets.training.compiling import compiled
from ft_assets.training.draws import drawing_apart, seed_generators
from ft_assets.training.guards import FiniteGuard, total_norm
from ft_assets.training.processes import add_up, count, own_share, rank, whole
from ft_assets.training.progress import Meter
from ft_assets.training.resume import restore_optimizer, restore_weights

__all__ = ["ClassifierTrainer", "MeasuredTraining", "evaluation_scores", "evaluation_steps", "row_lengths"]


def evaluation_steps(steps: int, evaluations: int) -> set[int]:
    """Steps (counted from 1) after which to evaluate: evenly spaced, the last one always among them."""
    return {max(1, round(steps * i / evaluations)) for i in range(1, evaluations + 1)}


def evaluation_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1 of logits (rows, classes); as scikit-learn has them, a class without rows counts
    as 0."""
    classes = logits.shape[1]
    confusion = np.bincount(labels * classes + logits.argmax(-1), minlength=classes**2).reshape(
        classes, classes
    )
    hits = confusion.diagonal()
    f1 = 2 * hits / np.maximum(confusion.sum(0) + confusion.sum(1), 1)
    return {"accuracy": float(hits.sum() / max(confusion.sum(), 1)), "f1_macro": float(f1.mean())}


class MeasuredTraining:
    """What our trainers share, as a mixin before `transformers.Trainer` or a subclass of it.

    batches: rows of like length, in an order that depends on seed and epoch alone.
    processes: each computes its share of every batch.
    checks: loss and gradient norm, and the trained weights, are finite at every step.
    progress: to a Meter instead of log files.

    Args:
        group_by_length: batches of rows of like length.
        compiles: whether passes are compiled.
        evaluate_at: steps after which to evaluate.
        meter, guard: where progress and numbers go.
        **kwargs: as for the Trainer.
    """

    def __init__(
        self,
        *,
        group_by_length: bool,
        compiles: bool,
        evaluate_at: set[int],
        meter: Meter,
        guard: FiniteGuard,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._group_by_length = group_by_length
        self._compiles = compiles
        self.tokens_per_pass = 0
        """Most tokens in one pass, padding counted; a batch is computed in parts of that size whose gradients add up to
        that of the whole. To be set before the training."""
        self._wrapped: Any = None
        self._meter = meter
        self._guard = guard
        # The loss is ours, so nothing needs to be counted ahead of a batch.
        self.model_accepts_loss_kwargs = False
        trainer: Any = self
        self._batches = NumberedBatches(trainer.data_collator, trainer.args.seed)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_StepCallback(meter, guard, evaluate_at, self._batches))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Timed apart from the training; reports the scores. Not by the parent's loop, which would keep all logits."""
        trainer: Any = self
        self._guard.check()
        trainer.model.eval()
        # Not inference_mode: what FSDP gathers in it could not be used in training.
        with self._meter.evaluating(), torch.no_grad(), trainer.compute_loss_context_manager():
            scores = self._scores(trainer.model)
        trainer.model.train()
        state: TrainerState = trainer.state
        self._meter.add_evaluation(state.global_step, state.epoch or 0.0, scores)
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        trainer.control = trainer.callback_handler.on_evaluate(
            trainer.args, trainer.state, trainer.control, metrics
        )
        return metrics

    def _scores(self, model: Any, most: int | None = None) -> dict[str, float]:
        """Scores of the model, `loss` among them, on the validation rows; or only on the first `most` passes, which
        hold the longest of them."""
        raise NotImplementedError

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward of this process's share of a batch, in passes; returns the loss of the batch, detached.

        Other processes may have more passes, or this one none: all make equally many, and what fills up counts nothing.
        """
        trainer: Any = self
        model.train()
        batch = trainer._prepare_inputs(inputs)
        scale = self._scale(batch)
        shares = [
            list(self._passes({name: tensor[i :: count()] for name, tensor in batch.items()}))
            for i in range(count())
        ]
        own, most = shares[rank()], max(map(len, shares))
        filler = shares[0][0]  # the first process has the first row of every batch
        called = self._called(model)
        loss = torch.zeros((), device=trainer.args.device)
        for i in range(most):
            each, weight = (own[i], 1.0) if i < len(own) else (filler, 0.0)
            with self._adds_up_later(called, i < most - 1):
                with trainer.compute_loss_context_manager():
                    part = self._summed_loss(called, each) / scale * weight
                # Gradients are averaged over the processes.
                trainer.accelerator.backward(part * count())
            loss += part.detach()
        self._see_batch(add_up(loss), batch["attention_mask"])
        return loss

    def _called(self, model: Any) -> Any:
        """What a step calls: the model, or what is compiled of it, or what adds up its gradients over the processes."""
        if self._wrapped is None:
            called = compiled(model) if self._compiles else model
            if count() > 1 and not any(isinstance(weight, DTensor) for weight in model.parameters()):
                # What is left out of a pass (a pooler, a head) would be waited for.
                called = DistributedDataParallel(called, find_unused_parameters=True)
            self._wrapped = called
            if self._compiles:
                with self._meter.compiling():
                    self._warm_up(model, called)
        return self._wrapped

    def _warm_up(self, model: Any, called: Any) -> None:
        """Compute the first rows of the file, forward and backward, and leave nothing behind but the compiled program.

        It is made for the sizes that it sees first. Those of a training that goes on must be those that it began
        with, or its sums would have another order.
        """
        trainer: Any = self
        places = range(min(trainer.args.train_batch_size, len(trainer.train_dataset)))
        with drawing_apart(trainer.args.seed), torch.random.fork_rng():
            rows = [trainer.train_dataset[place] for place in places]
            batch = trainer._prepare_inputs(trainer.data_collator(rows))
            each = next(iter(self._passes(batch)))
            with trainer.compute_loss_context_manager():
                loss = self._summed_loss(called, each)
            trainer.accelerator.backward(loss)
        model.zero_grad(set_to_none=True)

    @staticmethod
    def _adds_up_later(called: Any, later: bool) -> Any:
        """Inside, gradients of a pass are only kept, if a later pass of the step sends them along."""
        return called.no_sync() if later and isinstance(called, DistributedDataParallel) else nullcontext()

    def _passes(self, batch: dict[str, torch.Tensor]) -> Iterable[Any]:
        """A batch of shape (rows, length), which may have no rows, in passes of at most `tokens_per_pass`."""
        raise NotImplementedError

    def _summed_loss(self, model: Any, each: Any) -> torch.Tensor:
        """The loss of a pass, summed, as a 0-d tensor."""
        raise NotImplementedError

    def _scale(self, batch: dict[str, torch.Tensor]) -> Any:
        """What the summed loss of a batch is divided by."""
        raise NotImplementedError

    def try_pass(self, places: np.ndarray) -> int:
        """Compute these training rows in one pass, forward and backward, as the training would at worst.

        Gradients are left behind; the generators stay as they were.

        Returns:
            Its tokens, padding counted where there is any.
        """
        trainer: Any = self
        trainer.model.train()
        rows = [trainer.train_dataset[int(place)] for place in places]
        batch = trainer._prepare_inputs(trainer.data_collator(rows))
        self.tokens_per_pass = int(batch["input_ids"].numel())
        (each,) = self._passes(self._at_worst(batch))
        with torch.random.fork_rng():
            with trainer.compute_loss_context_manager():
                loss = self._summed_loss(trainer.model, each)
            loss.backward()
        return self.tokens_per_pass

    def _at_worst(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch as it needs the most memory."""
        return batch

    def try_evaluation(self) -> None:
        """Compute the pass with the longest validation rows, as an evaluation would."""
        trainer: Any = self
        trainer.model.eval()
        with torch.no_grad(), trainer.compute_loss_context_manager():
            self._scores(trainer.model, most=1)

    # Resume points are ours: the parent would unpickle its own files. Nothing is kept of the generators, as each step
    # seeds them.
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        trainer: Any = self
        restore_weights(trainer.model if model is None else model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            trainer: Any = self
            restore_optimizer(trainer.optimizer, trainer.lr_scheduler, Path(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing: see above."""

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted here: the parent walks through all parameters for it at every step."""
        return 0

    def _see_batch(self, loss: torch.Tensor, mask: torch.Tensor) -> None:
        """Look at the loss of a batch, and count it; the mask has shape (rows, length)."""
        self._guard.look("the loss", loss, **self._moment())
        self._meter.add_batch(loss, mask)

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = whole(super()._clip_grad_norm(model))  # type: ignore[misc]
        self._guard.look("the gradient norm", norm, **self._moment())
        self._meter.see_gradient(norm)
        return norm

    def _moment(self) -> dict[str, Any]:
        trainer: Any = self
        return {"step": trainer.state.global_step + 1, "learning_rate": trainer._get_learning_rate()}

    def get_train_dataloader(self) -> Any:
        """As the parent's; each batch is made by its number (`NumberedBatches`), those of evaluations are not."""
        trainer: Any = self
        plain, trainer.data_collator = trainer.data_collator, self._batches
        try:
            return super().get_train_dataloader()  # type: ignore[misc]
        finally:
            trainer.data_collator = plain

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        trainer: Any = self
        dataset = trainer.train_dataset if train_dataset is None else train_dataset
        if not self._group_by_length:
            return super()._get_train_sampler(dataset)  # type: ignore[misc]
        return LengthGroupedSampler(row_lengths(dataset), trainer.args.train_batch_size, trainer.args.seed)


class ClassifierTrainer(MeasuredTraining, Trainer):
    """Trainer of sequence classifiers: cross-entropy with class weights and label smoothing in training; plain in
    evaluations, so that validation losses compare across settings.

    Args:
        validation: rows, each with input_ids and labels; None: there are no evaluations.
        class_weights: weight of each class in the training loss, shape (classes,), or None.
        label_smoothing: share of the target that is given to all classes alike.
        **kwargs: as for `MeasuredTraining` and `transformers.Trainer`.
    """

    def __init__(
        self,
        *,
        validation: Any,
        class_weights: torch.Tensor | None,
        label_smoothing: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._validation = validation
        self._class_weights = class_weights.to(self.args.device) if class_weights is not None else None
        self._label_smoothing = label_smoothing

    def _passes(self, batch: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
        rows, length = batch["input_ids"].shape
        size = rows_per_pass(rows, length, self.tokens_per_pass)
        for start in range(0, rows, size):
            yield {name: tensor[start : start + size] for name, tensor in batch.items()}

    def _summed_loss(self, model: Any, each: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: tensor for name, tensor in each.items() if name != "labels"}
        return cross_entropy(
            model(**inputs).logits.float(),
            each["labels"],
            weight=self._class_weights,
            label_smoothing=self._label_smoothing,
            reduction="sum",
        )

    def _scale(self, batch: dict[str, torch.Tensor]) -> Any:
        # The mean over the batch, as `cross_entropy` takes it: by the weights of the rows.
        labels = batch["labels"]
        return self._class_weights[labels].sum() if self._class_weights is not None else len(labels)

    def _scores(self, model: Any, most: int | None = None) -> dict[str, float]:
        """Plain mean cross-entropy, accuracy and macro-F1."""
        labels = torch.tensor(self._validation["labels"])
        logits = torch.zeros((len(labels), model.config.num_labels))
        batches = batches_by_tokens(row_lengths(self._validation), self.tokens_per_pass)
        for places, counts in own_share(list(islice(batches, most))):
            rows = self._validation[places]
            batch = self.data_collator([{"input_ids": ids} for ids in rows["input_ids"]])
            found = model(**self._prepare_inputs(batch)).logits.float().cpu()
            if counts:
                logits[places] = found
        loss = float(cross_entropy(add_up(logits), labels))
        return {"loss": loss, **evaluation_scores(logits.numpy(), labels.numpy())}


def row_lengths(dataset: Any) -> np.ndarray:
    """Tokens of each row, int64."""
    return np.fromiter(map(len, dataset["input_ids"]), dtype=np.int64, count=len(dataset))


class _StepCallback(TrainerCallback):
    """What is done before and after each optimizer step."""

    def __init__(
        self, meter: Meter, guard: FiniteGuard, evaluate_at: set[int], batches: NumberedBatches
    ) -> None:
        self._batches = batches
        self._meter = meter
        self._guard = guard
        self._evaluate_at = evaluate_at
        self._trained: list[torch.Tensor] = []

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._trained = [weight for weight in kwargs["model"].parameters() if weight.requires_grad]
        self._batches.number = state.global_step

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        seed_generators(args.seed, state.global_step, rank())

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        rate = kwargs["lr_scheduler"].get_last_lr()[0]
        step = state.global_step
        norm = whole(total_norm(self._trained))
        self._guard.look("the norm of the weights", norm, step=step, learning_rate=rate)
        if self._meter.is_due(step):
            self._guard.check()
            self._meter.end_step(step, state.epoch or 0.0, rate)
        control.should_evaluate = step in self._evaluate_at
