"""From a work order to the function of the training layer that embeds texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.loading import load as load_modules
from ft_assets.worker.work_order import WorkOrder

__all__ = ["embed", "load"]


def load(kind: str) -> None:
    """Load what the kind of work ("embed") needs."""
    load_modules("transformers", "ft_assets.training.embeddings")


def embed(order: WorkOrder, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Embed the texts of `examples` by `base_model`; returns what `embed_texts` returns.

    Raises:
        UserError: what `embed_texts` raises.
    """
    from ft_assets.training.embeddings import embed_texts

    return embed_texts(
        model=order.path("base_model"),
        examples=order.path("examples"),
        config=order.training,
        output=Path(order.output),
        report=send,
    )
