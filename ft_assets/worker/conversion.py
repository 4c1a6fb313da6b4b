"""From a work order to the function of the training layer that converts a base model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.errors import UserError
from ft_assets.loading import load as load_modules
from ft_assets.worker.work_order import WorkOrder

__all__ = ["convert", "load"]


def load(kind: str) -> None:
    """Load what the kind of work ("convert") needs."""
    load_modules("torch", "transformers", "accelerate", "gguf", "ft_assets.training.gguf")


def convert(order: WorkOrder, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Convert `base_model`, a GGUF file or a folder with one, into `output`; returns what `convert_gguf` returns.

    Raises:
        UserError: there is no such file, or what `convert_gguf` raises.
    """
    from ft_assets.sources.models import gguf_in
    from ft_assets.training.gguf import convert_gguf

    place = order.path("base_model")
    file = gguf_in(place)
    if file is None:
        raise UserError("here is no GGUF file, or more than one", where=str(place), do="name the file")
    return convert_gguf(file, Path(order.output), send)
