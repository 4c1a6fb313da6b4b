"""Checks that numbers stay finite: loss, gradients and weights, at each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NoReturn

import torch

from ft_assets.errors import UserError

__all__ = ["FiniteGuard", "require_finite_weights", "total_norm"]


def total_norm(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Euclidean norm of all tensors together, as a 0-d tensor: NaN or infinite as soon as one entry is."""
    present = [tensor.detach() for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present)))


def require_finite_weights(model: torch.nn.Module, *, where: str) -> None:
    """Refuse a model that has NaN or infinite weights before anything is done with it.

    Raises:
        UserError: names the first weight that is not finite.
    """
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise UserError(
                f"the model's weight {name} has values that are NaN or infinite",
                where=where,
                do="get the model files anew, or choose another base model",
            )


class FiniteGuard:
    """Stops training at the step at which a number stops being finite.

    On a CPU each number is looked at at once. On a GPU a look would make the host wait for the device at
    every step, so the step of the first fault is kept on the device and read by `check` (once a second, and
    before weights are used).
    """

    def __init__(
        self, device: torch.device, *, peak_rate: float, steps: int, at_once: bool | None = None
    ) -> None:
        self._at_once = device.type == "cpu" if at_once is None else at_once
        self._device = device
        self._peak = peak_rate
        self._steps = steps
        self._rates: dict[int, float] = {}
        self._first: dict[str, torch.Tensor] = {}

    def look(self, what: str, value: torch.Tensor, *, step: int, learning_rate: float) -> None:
        """Look at a 0-d tensor of step `step` (counted from 1).

        Raises:
            UserError: the value is NaN or infinite; on a GPU the error comes from `check`.
        """
        if self._at_once:
            number = value.item()
            if not math.isfinite(number):
                self._stop(what, step, learning_rate)
            return
        self._rates[step] = learning_rate
        first = self._first.setdefault(what, torch.zeros((), dtype=torch.int64, device=self._device))
        bad = ~torch.isfinite(value.detach()) & (first == 0)
        first.add_(bad * step)

    def check(self) -> None:
        """Read what `look` has kept on the device.

        Raises:
            UserError: some value was NaN or infinite; names the first step at which one was.
        """
        faults = [(int(first), what) for what, first in self._first.items()]
        faults = [fault for fault in faults if fault[0]]
        if faults:
            step, what = min(faults, key=lambda fault: fault[0])
            self._stop(what, step, self._rates.get(step, self._peak))
        self._rates.clear()

    def _stop(self, what: str, step: int, learning_rate: float) -> NoReturn:
        raise UserError(
            f"training diverged: {what} is NaN or infinite at step {step} of {self._steps}, "
            f"where the learning rate was {learning_rate:.3g}",
            where="training.learning_rate",
            do=f"lower training.learning_rate (now {self._peak:.3g}; try a third) or raise "
            "training.warmup_fraction; if it happens at the first step whatever the rate, set "
            "training.precision: fp32",
        )
