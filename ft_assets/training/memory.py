"""Whether the passes of a training fit the memory, tried before the first step instead of found out in the third hour.

Two small passes are measured, the largest one is foretold from them, and run where it comes near to what is free. If it
does not fit, passes are made smaller; batches stay what they are, since a batch is computed in parts.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from ft_assets.errors import UserError, is_out_of_memory
from ft_assets.training.processes import count, least

__all__ = ["MemoryPlan", "foretold", "free_memory", "plan_memory", "rows_of_a_pass"]

_SHARE = 0.85
"""Of the free memory that may be planned for: the rest is for what allocators cannot use, and for others."""
_SURE = 0.5
"""Share of the free memory up to which what is foretold is believed without running it."""
_PROBES = (8, 4)
"""Parts of the largest pass that are measured."""
_SAMPLE_SECONDS = 0.001


@dataclass(frozen=True)
class MemoryPlan:
    """How large passes may be, and why."""

    tokens_per_pass: int
    needed_bytes: int
    """Of the largest pass, beside what model, gradients and optimizer hold."""
    free_bytes: int
    """What was free for it."""


def plan_memory(
    run: Callable[[np.ndarray], int],
    lengths: np.ndarray,
    *,
    most: int,
    most_rows: int,
    device: torch.device,
    later: int,
) -> MemoryPlan:
    """Choose the tokens of a pass.

    Args:
        run: computes a pass of the rows at these places, forward and backward; returns its tokens, padding counted.
        lengths: tokens of each row.
        most: tokens of a pass, if they fit.
        most_rows: rows of a batch, and so of a pass.
        device: where it is computed.
        later: bytes that the training will hold beside the passes, and does not yet: the optimizer's.

    Returns:
        `most`, or half of it, or half of that, but no less than the longest row.

    Raises:
        UserError: not even the longest row fits.
    """
    order = np.argsort(lengths, kind="stable")
    longest = int(lengths[order[-1]])
    run(order[:1])  # what is held from the first pass on, the gradients above all, is no part of a pass
    size = min(max(most, longest), longest * most_rows)
    measured = [
        _measured(run, rows_of_a_pass(order, lengths, size // part, most_rows), device) for part in _PROBES
    ]
    # Processes that train together compute the same passes, so they have to come to the same answer.
    free = least(free_memory(device) - later)
    while True:
        needed = foretold(measured, size)
        if _SURE * free < needed <= _SHARE * free:
            needed = _tried(run, rows_of_a_pass(order, lengths, size, most_rows), size, device)
        if needed <= _SHARE * free:
            return MemoryPlan(most if size >= min(most, longest * most_rows) else size, int(needed), free)
        if size <= longest:
            raise UserError(
                f"the longest row, {longest} tokens, needs about {needed / 1e9:.1f} GB beside the model; "
                f"{max(free, 0) / 1e9:.1f} GB are free",
                where="GPU" if device.type == "cuda" else "memory of this machine",
                do="set training.gradient_checkpointing: true, lower training.max_length, or take training.method: "
                "lora or a smaller base model",
            )
        size = max(longest, size // 2)


def rows_of_a_pass(order: np.ndarray, lengths: np.ndarray, tokens: int, most_rows: int) -> np.ndarray:
    """The longest rows of which one fits into so many tokens, and as many of them as fit; at least one row.

    Args:
        order: rows by length, shortest first.
        lengths: tokens of each row.
        tokens: of the pass, padding counted.
        most_rows: of the pass.
    """
    end = max(1, int(np.searchsorted(lengths[order], tokens, side="right")))
    count = min(most_rows, max(1, tokens // int(lengths[order[end - 1]])))
    return order[max(0, end - count) : end]


def foretold(measured: Sequence[tuple[int, int]], tokens: int) -> float:
    """Bytes of a pass from what smaller ones took: a t + b t², since attention may grow with the square.

    Args:
        measured: tokens and bytes of two passes. If their tokens are the same, the square alone is reckoned with.
        tokens: of the pass.
    """
    (few, little), (many, much) = measured
    if few == many:
        return max(little, much) * max(1.0, tokens / many) ** 2
    square = max(0.0, (much / many - little / few) / (many - few))
    line = max(0.0, much / many - square * many)
    return line * tokens + square * tokens**2


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take: of the GPU; else of the machine, or of its container, shared with the
    other processes of the training."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    _give_back()
    return min([int(psutil.virtual_memory().available), *_left_in_containers()]) // count()


def _left_in_containers() -> Iterator[int]:
    """What the control group of this process leaves (version 2); files that are only cached there can be let go."""
    group = Path("/sys/fs/cgroup")
    limit = group / "memory.max"
    if limit.is_file() and (most := limit.read_text().strip()).isdigit():
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text())
        yield int(most) - used + int(stat.get("inactive_file", 0))


def _tried(run: Callable[[np.ndarray], int], rows: np.ndarray, size: int, device: torch.device) -> float:
    """Bytes of a pass of `size` tokens, from running one that whole rows fill as far as they can; infinity if that did
    not fit."""
    try:
        tokens, needed = _measured(run, rows, device)
        return needed * max(1.0, size / tokens)
    except Exception as error:
        # Of several processes the others wait within the pass: what one lacks ends them all.
        if not is_out_of_memory(error) or count() > 1:
            raise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return float("inf")


def _measured(run: Callable[[np.ndarray], int], rows: np.ndarray, device: torch.device) -> tuple[int, int]:
    """Tokens of a pass, and how many bytes it took at its peak beside what was held before: where several processes
    train, in that of them which took the most."""
    tokens, taken = _alone(run, rows, device)
    return tokens, -least(-taken)


def _alone(run: Callable[[np.ndarray], int], rows: np.ndarray, device: torch.device) -> tuple[int, int]:
    """The same, in this process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        tokens = run(rows)
        return tokens, int(torch.cuda.max_memory_allocated(device)) - before
    _give_back()
    with _peak() as peak:
        before = peak.resident
        tokens = run(rows)
    return tokens, peak.resident - before


class _Peak:
    def __init__(self) -> None:
        self.process = psutil.Process()
        self.resident = int(self.process.memory_info().rss)


@contextmanager
def _peak() -> Iterator[_Peak]:
    """The most memory that this process held inside; seen by looking often, because the system's own mark cannot be
    put back without losing the peak of what was before."""
    peak, over = _Peak(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            peak.resident = max(peak.resident, int(peak.process.memory_info().rss))
            time.sleep(_SAMPLE_SECONDS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _give_back() -> None:
    """Give memory that the C library keeps for later back to the system, or a pass would seem to need less."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
