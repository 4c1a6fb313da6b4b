"""What is said while training runs: loss, rate, speed and time left, about once a second, and the points of
the curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Meter", "Report"]

Report = Callable[[dict[str, Any]], None]
"""Takes one message of the worker's protocol: a dict with a `kind`."""

_CURVE_POINTS = 200
"""Points of the training curve, at most about: enough for a picture, small in the metadata."""
_SECONDS_BETWEEN_MESSAGES = 1.0


@dataclass
class _Sums:
    """Sums since they were last read; those of tensors stay on the device."""

    steps: int = 0
    rows: int = 0
    seconds: float = 0.0
    tokens: float = 0.0
    squared_lengths: float = 0.0
    loss: float = 0.0

    def add(self, other: _Sums) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Meter:
    """Counts steps, rows and tokens (padding left out), and reports them.

    Time spent in evaluations counts for the time left, but not for the speed of training.
    """

    report: Report
    device: torch.device
    steps: int
    evaluations: int
    history: list[dict[str, Any]] = field(default_factory=list)
    """Points of the curves: {"kind": "train", "step", "epoch", "loss", "learning_rate", "grad_norm"} and
    {"kind": "evaluation", "step", "epoch", "loss", and further scores}."""

    def __post_init__(self) -> None:
        self._loss = torch.zeros((), dtype=torch.float32, device=self.device)
        self._tokens = torch.zeros((), dtype=torch.int64, device=self.device)
        self._squared_lengths = torch.zeros((), dtype=torch.int64, device=self.device)
        self._grad_norm: torch.Tensor | float = 0.0
        self._fresh = _Sums()  # since the last reading of the device
        self._message = _Sums()
        self._point = _Sums()
        self._total = _Sums()
        self._evaluation_seconds: list[float] = []
        self._compile_seconds: list[float] = []
        self._started = self._last_read = time.perf_counter()
        self._paused = 0.0
        self._curve_every = max(1, round(self.steps / _CURVE_POINTS))

    def add_batch(self, loss: torch.Tensor, mask: torch.Tensor) -> None:
        """Count one batch: its loss and its attention mask of shape (rows, length)."""
        self._loss += loss.detach()
        lengths = mask.sum(-1)
        self._tokens += lengths.sum()
        self._squared_lengths += lengths.square().sum()
        self._fresh.rows += len(mask)
        self._fresh.steps += 1

    def see_gradient(self, norm: torch.Tensor | float) -> None:
        """Keep the gradient norm of the step that is under way."""
        self._grad_norm = norm

    def is_due(self, step: int) -> bool:
        """Whether `end_step` has something to say at this step."""
        message_due = time.perf_counter() - self._last_read - self._paused >= _SECONDS_BETWEEN_MESSAGES
        return message_due or step % self._curve_every == 0 or step in (1, self.steps)

    def end_step(self, step: int, epoch: float, learning_rate: float) -> None:
        """Read the device; add a point to the curve and send a message where one is due."""
        self._read()
        facts = {"step": step, "epoch": round(epoch, 4), "learning_rate": learning_rate}
        facts["grad_norm"] = float(self._grad_norm)
        if step % self._curve_every == 0 or step in (1, self.steps):
            self.history.append({"kind": "train", **facts, "loss": self._point.loss / self._point.steps})
            self._point = _Sums()
        if self._message.seconds >= _SECONDS_BETWEEN_MESSAGES or step in (1, self.steps):
            recent = self._message
            self.report(
                {
                    "kind": "progress",
                    **facts,
                    "steps": self.steps,
                    "loss": recent.loss / recent.steps,
                    "examples_per_second": recent.rows / max(recent.seconds, 1e-9),
                    "tokens_per_second": recent.tokens / max(recent.seconds, 1e-9),
                    "seconds_left": self._seconds_left(step),
                }
            )
            self._message = _Sums()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time an evaluation, and keep its time out of the speed of training."""
        with self._apart(self._evaluation_seconds):
            yield

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Time what is done once, before the first step, and keep its time out of the speed of training."""
        with self._apart(self._compile_seconds):
            yield

    @contextmanager
    def _apart(self, times: list[float]) -> Iterator[None]:
        started = time.perf_counter()
        yield
        taken = time.perf_counter() - started
        self._paused += taken
        times.append(taken)

    def add_evaluation(self, step: int, epoch: float, scores: dict[str, float]) -> None:
        """Report the scores of an evaluation and add them to the curves."""
        self.history.append({"kind": "evaluation", "step": step, "epoch": round(epoch, 4), **scores})
        self.report({"kind": "evaluation", "step": step, **scores})

    def totals(self) -> dict[str, Any]:
        """Speed over the whole training. `seconds` has all, `train_seconds` leaves evaluations and compiling out."""
        self._read()
        seconds = max(self._total.seconds, 1e-9)
        return {
            "seconds": time.perf_counter() - self._started,
            "train_seconds": self._total.seconds,
            "evaluation_seconds": sum(self._evaluation_seconds),
            "compile_seconds": sum(self._compile_seconds),
            "examples_per_second": self._total.rows / seconds,
            "tokens_per_second": self._total.tokens / seconds,
            "examples_seen": self._total.rows,
            "tokens_seen": int(self._total.tokens),
            "squared_lengths_seen": int(self._total.squared_lengths),
        }

    def state(self) -> dict[str, Any]:
        """All that has been counted so far, as plain JSON."""
        self._read()
        sums = {name: vars(getattr(self, name)) for name in ("_message", "_point", "_total")}
        elapsed = time.perf_counter() - self._started
        return {
            "sums": sums,
            "history": self.history,
            "evaluation_seconds": self._evaluation_seconds,
            "compile_seconds": self._compile_seconds,
            "elapsed": elapsed,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on counting from what `state` gave; the time in between does not count."""
        for name, sums in state["sums"].items():
            setattr(self, name, _Sums(**sums))
        self.history = list(state["history"])
        self._evaluation_seconds = list(state["evaluation_seconds"])
        self._compile_seconds = list(state["compile_seconds"])
        self._last_read = time.perf_counter()
        self._started = self._last_read - state["elapsed"]

    def _read(self) -> None:
        now = time.perf_counter()
        fresh = self._fresh
        fresh.loss, fresh.tokens = self._loss.item(), float(self._tokens.item())
        fresh.squared_lengths = float(self._squared_lengths.item())
        fresh.seconds = now - self._last_read - self._paused
        self._loss.zero_()
        self._tokens.zero_()
        self._squared_lengths.zero_()
        for sums in (self._message, self._point, self._total):
            sums.add(fresh)
        self._fresh, self._last_read, self._paused = _Sums(), now, 0.0

    def _seconds_left(self, step: int) -> float:
        per_step = self._total.seconds / max(self._total.steps, 1)
        left = per_step * (self.steps - step)
        if self._evaluation_seconds:
            per_evaluation = sum(self._evaluation_seconds) / len(self._evaluation_seconds)
            left += per_evaluation * max(0, self.evaluations - len(self._evaluation_seconds))
        return round(left, 1)
