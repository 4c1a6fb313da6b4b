"""Early stopping: keep the weights of the best evaluation, stop when no better one comes, restore the
best."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState

from ft_assets.training.processes import gathered, put

__all__ = ["BestWeights", "changing", "wholes"]

_STATE = ("best_step", "best_score", "stopped_early", "_without_gain", "_latest_step")
"""What `BestWeights` remembers beside the weights."""


class BestWeights(TrainerCallback):
    """Keeps what training changed (trained weights and buffers) of the best evaluation in a safetensors file.

    The Trainer's own way writes whole resume points, optimizer included, in pickled files.

    Args:
        folder: where the file goes; it is removed by `restore`.
        metric: name of the score among the evaluation's metrics, such as eval_loss.
        greater_is_better: False for a loss.
        patience: evaluations without a better score before training stops; None: never.
    """

    def __init__(self, folder: Path, *, metric: str, greater_is_better: bool, patience: int | None) -> None:
        self._file = folder / "best.safetensors"
        self._metric = metric
        self._sign = 1.0 if greater_is_better else -1.0
        self._patience = patience
        self._without_gain = 0
        self._latest_step = 0
        self.best_step: int | None = None
        self.best_score: float | None = None
        self.stopped_early = False

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Compare the score with the best one."""
        score: float = kwargs["metrics"][self._metric]
        last = state.global_step >= state.max_steps
        self._latest_step = state.global_step
        if self.best_score is None or self._sign * score > self._sign * self.best_score:
            self.best_score, self.best_step, self._without_gain = score, state.global_step, 0
            if not last:  # after the last step the best weights are the ones in the model
                save_file(wholes(changing(kwargs["model"])), self._file)
            return
        self._without_gain += 1
        if self._patience is not None and self._without_gain >= self._patience and not last:
            self.stopped_early = True
            control.should_training_stop = True

    def restore(self, model: torch.nn.Module) -> None:
        """Put the best weights back into the model, if they are not the ones it has, and remove the file."""
        if self.best_step is not None and self.best_step != self._latest_step:
            current = changing(model)
            with torch.no_grad():
                for name, value in load_file(self._file).items():
                    current[name].copy_(put(value, current[name]))
        self._file.unlink(missing_ok=True)

    def keep(self, folder: Path) -> dict[str, Any]:
        """Copy the best weights into a folder, if they are not those of the model; returns the rest of the state as
        plain JSON."""
        if self._file.exists():
            shutil.copyfile(self._file, folder / self._file.name)
        return {name: getattr(self, name) for name in _STATE}

    def take(self, state: Mapping[str, Any], folder: Path) -> None:
        """Put back what `keep` has kept."""
        for name in _STATE:
            setattr(self, name, state[name])
        if (folder / self._file.name).exists():
            shutil.copyfile(folder / self._file.name, self._file)


def changing(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that training changes, by name (not copies)."""
    tensors = {name: weight.data for name, weight in model.named_parameters() if weight.requires_grad}
    kept = model.state_dict().keys()
    return tensors | {name: buffer for name, buffer in model.named_buffers() if name in kept}


def wholes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as a file can hold them: whole, and in one piece."""
    return {name: gathered(tensor) for name, tensor in tensors.items()}
