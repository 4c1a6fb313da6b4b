"""`torch.compile` for long trainings: a model's passes as one program that is made for them, before the first step.

Only the passes of the training are compiled. Evaluations are few, and what is saved is the model itself.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

from ft_assets.errors import UserError
from ft_assets.training.attention import PACKED, packed_attention

__all__ = ["compiled", "require_compiler"]


def require_compiler(device: torch.device) -> None:
    """Compile a sum, before anything is trained.

    Raises:
        UserError: that fails: there is no compiler, or it does not work.
    """
    numbers = torch.zeros(8, device=device)
    try:
        torch.compile(torch.add)(numbers, numbers)
    except RuntimeError as error:  # torch has one for each of its stages
        needed = "a C++ compiler (g++; another one is named by CXX)" if device.type == "cpu" else "Triton"
        raise UserError(
            f"torch.compile does not work on this machine: {_reason(error)}",
            where="training.compile",
            do=f"install {needed}, or leave the setting out: the training is the same without",
        ) from error


def compiled(model: Any) -> Any:
    """What is called in the model's place: the same weights and, up to rounding, the same outputs and gradients.

    Rows and lengths differ from pass to pass, so sizes are variables of the program. Where attention walks through
    packed rows it is left out: their number and lengths would be constants of the program, and each pass would be
    compiled anew.
    """
    AttentionInterface.register(PACKED, torch.compiler.disable(packed_attention))
    return torch.compile(model, dynamic=True)


def _reason(error: BaseException) -> str:
    """The first line of the first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
