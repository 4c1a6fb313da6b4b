"""How much a training computes, and how much of its device's peak that is: model FLOP utilisation (MFU).

A formula says what the model must compute, whatever the program does beside (padding, recomputed activations). So
MFU compares across programs and machines; it is defined in the PaLM paper (Chowdhery et al. 2022, appendix B).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ft_assets.training.hardware import Hardware

__all__ = ["FORMULA", "Peak", "TrainingFlops", "peak_of", "training_flops", "utilisation"]

FORMULA = (
    "(6 x trained + 4 x frozen weights of the layers) x tokens + 12 x layers x heads x head size x sum of squared "
    "row lengths; padding not counted"
)
"""What `TrainingFlops` computes, for people.

Full tuning: the 6N and 12LHQT of the PaLM paper, which counts attention in full, causal or not. A frozen weight needs
no gradient of its own: 2 FLOPs for the forward pass and 2 for the gradient of its input. Embeddings are looked up, and
a classifier's head sees one position of a row: neither is counted. The head of a language model is counted for every
token, as the papers do, also where it is computed for the learnt ones alone. It is too low for models that use the
same layer several times (ALBERT), and rough for those with encoder and decoder.
"""

_PEAKS = (
    (r"\bB200", 2250e12),
    (r"H100 PCIe", 756e12),
    (r"H100 NVL", 835e12),
    (r"H100|H200|GH200", 989e12),
    (r"A100", 312e12),
    (r"L40S", 362e12),
    (r"L4$", 121e12),
)
"""Dense bf16 FLOP/s by the name of the device, from NVIDIA's data sheets (which often print twice that: with
sparsity)."""


_LONG_SECONDS = 1.0


@dataclass(frozen=True)
class TrainingFlops:
    """FLOPs of training steps: forward and backward pass of rows without padding."""

    per_token: float
    per_squared_length: float
    """Times the square of a row's length in tokens."""

    def of(self, tokens: int, squared_lengths: int) -> float:
        """FLOPs for rows with so many tokens in all, and such a sum of the squares of their lengths."""
        return self.per_token * tokens + self.per_squared_length * squared_lengths


@dataclass(frozen=True)
class Peak:
    """What a device could compute."""

    flops_per_second: float
    basis: str
    """Where the number comes from, for people."""


def training_flops(model: torch.nn.Module) -> TrainingFlops:
    """What a token and a row cost in training, by `FORMULA`.

    Args:
        model: as it is trained, adapters included; its `config` tells layers and heads.
    """
    per_token = 0.0
    for weight in _layer_weights(model):
        per_token += (6 if weight.requires_grad else 4) * weight.numel()
    config: Any = model.config
    heads = getattr(config, "num_attention_heads", 0)  # a model without attention has none
    head_size = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
    return TrainingFlops(per_token, 12.0 * config.num_hidden_layers * heads * head_size)


def utilisation(flops: TrainingFlops, totals: Mapping[str, Any], hardware: Hardware) -> dict[str, Any]:
    """Model FLOP utilisation of a training, evaluations left out, with what it is made of.

    Args:
        flops: what a token and a row cost.
        totals: what `Meter.totals` gave.
        hardware: what it ran on.
    """
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


def _layer_weights(model: torch.nn.Module) -> list[torch.Tensor]:
    """The matrices that each token is multiplied with: those in the stacked layers, and a language model's head.

    The layers of a transformer are a ModuleList in all of transformers' models. Matrices are those of linear
    layers (GPT-2 calls its own Conv1D); adapters are linear layers, too.
    """
    found: dict[int, torch.Tensor] = {}
    for part in model.modules():
        if isinstance(part, torch.nn.ModuleList):
            for module in part.modules():
                weight = getattr(module, "weight", None)
                if (
                    isinstance(weight, torch.Tensor)
                    and weight.dim() == 2
                    and not isinstance(module, torch.nn.Embedding)
                ):
                    found[id(weight)] = weight
    ask: Any = getattr(model, "get_output_embeddings", None)
    head = ask() if ask is not None else None
    if head is not None:
        found[id(head.weight)] = head.weight
    return list(found.values())


def peak_of(hardware: Hardware) -> Peak:
    """The device's peak: from its data sheet where we have that, else measured by a matrix product."""
    if hardware.on_gpu and hardware.precision == "bf16":
        for pattern, flops_per_second in _PEAKS:
            if re.search(pattern, hardware.device_name):
                return Peak(flops_per_second, "data sheet, dense bf16")
    size = 4096 if hardware.on_gpu else 1024
    return Peak(
        _measured(hardware, size),
        f"measured, product of {size:,} x {size:,} matrices in {hardware.precision}",
    )


def _measured(hardware: Hardware, size: int, rounds: int = 6) -> float:
    """FLOP/s of the fastest of some products of square matrices; the first one warms up, unless it takes long."""
    dtype = torch.bfloat16 if hardware.precision == "bf16" else torch.float32
    left, right = (torch.ones(size, size, dtype=dtype, device=hardware.torch_device) for _ in range(2))
    fastest = float("inf")
    with torch.inference_mode():
        for _ in range(rounds):
            started = time.perf_counter()
            torch.mm(left, right)
            if hardware.on_gpu:
                torch.cuda.synchronize()
            taken = time.perf_counter() - started
            fastest = min(fastest, taken)
            # A CPU without bf16 takes seconds for each: what warming up would bring is not seen in that.
            if taken > _LONG_SECONDS:
                break
    return 2 * size**3 / fastest
