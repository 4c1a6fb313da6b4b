"""What this process computes on: device, precision, threads, and how much memory it took."""

from __future__ import annotations

import math
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from ft_assets.training.config import TrainingConfig
from ft_assets.training.processes import count

__all__ = ["Hardware", "available_cores", "choose_hardware", "peak_memory"]

_TOKENS_PER_PASS = {"cpu": 1024, "cuda": 65_536}


@dataclass(frozen=True)
class Hardware:
    """The choice made for one run; all of it is shown in the metadata."""

    device: str
    """cpu or cuda."""
    device_name: str
    precision: str
    """fp32 or bf16 (arithmetic under autocast; weights stay fp32)."""
    threads: int
    tokens_per_pass: int
    """Most tokens, padding counted, in one forward and backward pass."""

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def torch_device(self) -> torch.device:
        """The device that tensors are put on."""
        return torch.device(self.device)

    def autocast(self) -> torch.autocast:
        """Context in which a forward pass runs outside of a Trainer."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def available_cores() -> int:
    """Cores that this process may use: its affinity, and its container's quota if there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, _, period = quota.read_text().partition(" ")
        if limit.isdigit():
            cores = min(cores, max(1, math.ceil(int(limit) / int(period))))
    return cores


def choose_hardware(config: TrainingConfig) -> Hardware:
    """Take the GPU if there is one (and the settings allow it), bf16 if it has that, and set torch's
    threads."""
    on_gpu = config.device == "auto" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp32"
    threads = config.threads or max(1, available_cores() // count())
    torch.set_num_threads(threads)
    return Hardware(
        device=device,
        device_name=torch.cuda.get_device_name() if on_gpu else f"CPU, {threads} threads",
        precision=precision,
        threads=threads,
        tokens_per_pass=config.tokens_per_pass or _TOKENS_PER_PASS[device],
    )


def peak_memory(hardware: Hardware) -> int:
    """Most bytes held: on a GPU what torch allocated there, on a CPU the resident size of this process."""
    if hardware.on_gpu:
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB
