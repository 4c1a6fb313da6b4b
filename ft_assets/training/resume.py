"""Resume points: the state of a training between two steps, so that it can go on exactly where it was.

A point is a folder with safetensors, JSON and, last of all, its own manifest; it appears under its name whole or not at
all. Nothing in it is pickled. What belongs to another training, or has changed since it was written, is not used.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState

from ft_assets.disk import folders, is_out_of_room, make_directory, sync, sync_tree, write_synced
from ft_assets.errors import UserError
from ft_assets.training.best import BestWeights, changing, wholes
from ft_assets.training.config import ResumeConfig
from ft_assets.training.guards import FiniteGuard
from ft_assets.training.processes import any_of, count, gathered, is_first, least, put
from ft_assets.training.progress import Meter, Report
from ft_assets.versions import file_sha256

__all__ = [
    "ResumePoints",
    "Resuming",
    "Stopped",
    "passes_of",
    "restore_optimizer",
    "restore_weights",
]

_FORMAT = 2
_MANIFEST = "manifest.json"
_WEIGHTS, _OPTIMIZER = "weights.safetensors", "optimizer.safetensors"
_STATE = "state.json"
_TRAINER_STATE = "trainer_state.json"
"""The name under which the Trainer looks for it."""


class Stopped(SystemExit):
    """The training was told to end, and its state has been kept. The exit code is that of a process ended by
    SIGTERM."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class ResumePoints:
    """The resume points of one training, in a folder of its own.

    Args:
        folder: is made when the first point is written.
        fingerprint: of all that decides what comes out: rows, base model, settings, code, libraries.
        config: how often a point is taken, and how many stay; older ones are removed once a new one is complete.
        report: receives notes.
    """

    def __init__(self, folder: Path, fingerprint: str, config: ResumeConfig, report: Report) -> None:
        self.config = config
        self._folder = folder
        self._fingerprint = fingerprint
        self._report = report

    def newest(self) -> Path | None:
        """The newest point that is whole; those that are not are removed, and said.

        Raises:
            UserError: the folder holds the points of another training.
        """
        for point in reversed(folders(self._folder)):
            fault = self._fault(point)
            if fault is None:
                return point
            self._note(f"the resume point {point.name} is not used: {fault}")
            shutil.rmtree(point, ignore_errors=True)
        return None

    def save(self, step: int, write: Callable[[Path], None]) -> bool:
        """Write a point; if the disk is full, the points before it stay and the training goes on without it.

        Args:
            step: steps done.
            write: writes the files into an empty folder.
        """
        draft = self._folder / f".{uuid.uuid4().hex}"
        try:
            make_directory(draft)
            write(draft)
            content = {
                "format": _FORMAT,
                "fingerprint": self._fingerprint,
                "step": step,
                "files": _files(draft),
            }
            sync_tree(draft)
            write_synced(draft / _MANIFEST, json.dumps(content, indent=2).encode())
            sync(draft)
            draft.rename(self._folder / f"step-{step:09d}")
            sync(self._folder)
        except Exception as error:  # safetensors has its own kind of error for a full disk
            shutil.rmtree(draft, ignore_errors=True)
            if not is_out_of_room(error):
                raise
            self._note(
                f"no room for a resume point at step {step}: the one before it stays. Make room on the disk."
            )
            return False
        self._clear()
        return True

    def _clear(self) -> None:
        for old in folders(self._folder)[: -self.config.keep]:
            shutil.rmtree(old, ignore_errors=True)
        # Drafts of a process that was killed while it wrote. Nobody else writes here.
        for draft in self._folder.glob(".*"):
            shutil.rmtree(draft, ignore_errors=True)

    def _fault(self, point: Path) -> str | None:
        """Why a point cannot be used; None: it can."""
        try:
            manifest = json.loads((point / _MANIFEST).read_bytes())
            if manifest["format"] != _FORMAT:
                return f"its format is {manifest['format']}, not {_FORMAT}"
            if manifest["fingerprint"] != self._fingerprint:
                raise UserError(
                    "the resume points are those of another training: its rows, base model, settings, code or "
                    "libraries were not these",
                    where=str(self._folder),
                    do="name another folder, or remove this one to begin anew",
                )
            if manifest["files"] != _files(point):
                return "it is damaged: its files are not those that its manifest names"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"it is not complete ({type(error).__name__})"
        return None

    def _note(self, text: str) -> None:
        self._report({"kind": "note", "text": text})


def _files(point: Path) -> dict[str, dict[str, Any]]:
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(point.iterdir())
        if path.name != _MANIFEST
    }


class Resuming(TrainerCallback):
    """Keeps a training's state between two steps, and puts it back.

    A point is taken just before a step: after the evaluation of the step before it, and with the batch already drawn.
    Of random numbers it holds nothing: batches and steps draw from seeds of their own (`ft_assets.training.draws`).

    Args:
        points: where they are kept.
        best, meter, guard: their state belongs to a point.
        tokens_per_pass: of the training. In other parts a batch would be added up with other rounding.
    """

    def __init__(
        self,
        points: ResumePoints,
        *,
        best: BestWeights,
        meter: Meter,
        guard: FiniteGuard,
        tokens_per_pass: int,
    ) -> None:
        self._points = points
        self._tokens_per_pass = tokens_per_pass
        self._best, self._meter, self._guard = best, meter, guard
        self._last = time.monotonic()
        self._told_to_stop = False
        self._resumed = False
        self._former: Any = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        def stop(*_: Any) -> None:
            self._told_to_stop = True

        # Only the main thread may say what a signal does; elsewhere the owner of the process decides.
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGTERM, stop)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.release()

    def release(self) -> None:
        """Let SIGTERM do what it did before."""
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)
            self._former = None

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take a point, if it is time; not the one that was gone on from."""
        if self._resumed:
            self._resumed = False
            return
        step, config = state.global_step, self._points.config
        due = config.every_steps is not None and step % config.every_steps == 0 and step > 0
        stop = any_of(self._told_to_stop)
        if any_of(due or stop or time.monotonic() - self._last >= 60 * config.every_minutes):
            self._guard.check()
            self._take(step, state, kwargs)
            self._last = time.monotonic()
        if stop:
            raise Stopped

    def _take(self, step: int, state: TrainerState, parts: Mapping[str, Any]) -> None:
        """Take a point: all processes give their parts of it, the first one writes it before any of them goes on."""
        weights = wholes(changing(parts["model"]))
        tensors, plain = _flat(parts["optimizer"].state_dict())
        content = {
            "optimizer": plain,
            "scheduler": parts["lr_scheduler"].state_dict(),
            "meter": self._meter.state(),
            "tokens_per_pass": self._tokens_per_pass,
            "processes": count(),
        }

        def write(folder: Path) -> None:
            save_file(weights, folder / _WEIGHTS)
            save_file(tensors, folder / _OPTIMIZER)
            best = self._best.keep(folder)
            (folder / _STATE).write_text(json.dumps(content | {"best": best}), encoding="utf-8")
            state.save_to_json(str(folder / _TRAINER_STATE))

        if is_first():
            self._points.save(step, write)
        least(0)

    def resume(self, point: Path) -> None:
        """Put the state of best weights and meter back."""
        self._resumed = True
        content = json.loads((point / _STATE).read_bytes())
        self._best.take(content["best"], point)
        self._meter.resume(content["meter"])


def passes_of(point: Path) -> tuple[int, int]:
    """Most tokens of a pass in the training that took the point, and its processes: with others, sums are rounded
    otherwise."""
    content = json.loads((point / _STATE).read_bytes())
    return int(content["tokens_per_pass"]), int(content["processes"])


def restore_weights(model: torch.nn.Module, point: Path) -> None:
    """Put the trained weights back into the model."""
    current = changing(model)
    with torch.no_grad():
        for name, value in load_file(point / _WEIGHTS).items():
            current[name].copy_(put(value, current[name]))


def restore_optimizer(optimizer: Any, scheduler: Any, point: Path) -> None:
    """Put the state of optimizer and learning rate back."""
    content = json.loads((point / _STATE).read_bytes())
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = _nested(content["optimizer"], load_file(point / _OPTIMIZER))
    for number, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor) and value.shape == weights[number].shape:
                entries[name] = put(value, weights[number])
    optimizer.load_state_dict(state)
    scheduler.load_state_dict(content["scheduler"])


def _flat(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by name, and the rest as JSON has it."""
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        plain[str(number)] = {}
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}/{name}"] = gathered(value)
            else:
                plain[str(number)][name] = value
    return tensors, {"state": plain, "param_groups": state["param_groups"]}


def _nested(plain: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    state = {int(number): dict(entries) for number, entries in plain["state"].items()}
    for name, tensor in tensors.items():
        number, _, entry = name.partition("/")
        state[int(number)][entry] = tensor
    return {"state": state, "param_groups": plain["param_groups"]}
