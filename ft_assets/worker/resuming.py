"""What of a work order outlives its training: resume points, with what they must agree with, and tokenised rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.training.resume import ResumePoints
from ft_assets.training.token_cache import TokenCache
from ft_assets.versions import code_version, file_sha256, files_version, hash_json, library_versions
from ft_assets.worker.work_order import WorkOrder

__all__ = ["fingerprint", "resume_points", "token_cache"]

_LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "tokenizers", "numpy")
_ELSEWHERE = ("output", "resume", "tokens", "card", "base_model", "train", "validation")
"""Keys of an order that don't decide what comes out, or whose files do."""


def resume_points(order: WorkOrder, send: Callable[[dict[str, Any]], None]) -> ResumePoints | None:
    """Where the training keeps its state; None if the order asks for none."""
    if order.resume is None:
        return None
    return ResumePoints(Path(order.resume.folder), fingerprint(order), order.resume, send)


def token_cache(order: WorkOrder) -> TokenCache | None:
    """Where tokenised rows are kept; None if the order asks for none."""
    return TokenCache(Path(order.tokens)) if order.tokens is not None else None


def fingerprint(order: WorkOrder) -> str:
    """A hash of all that decides, bit for bit, what comes out of a training: settings, contents of rows and base model,
    code, libraries."""
    rows = [path for path in (order.train, order.validation) if path is not None]
    return hash_json(
        {
            "order": order.model_dump(mode="json", exclude=set(_ELSEWHERE)),
            "rows": [file_sha256(Path(path)) for path in rows],
            "base_model": files_version(order.path("base_model")),
            "code": code_version("ft_assets.training", "ft_assets.worker"),
            "libraries": library_versions(_LIBRARIES),
        }
    )
