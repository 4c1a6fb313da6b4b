"""Which input fields a task type has: one module a task type, found by its name (`text-classification` →
`text_classification.py`). A new task type adds a module here; nothing in this file changes.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

from ft_assets.data.forms import Form
from ft_assets.errors import UserError

__all__ = ["Layout", "load_layout"]


@dataclass(frozen=True)
class Layout:
    """The columns of a task type's examples.

    Attributes:
        input_fields: What the model reads. These fields, and nothing else of a row, make its `example_id`.
        target_field: What the model learns; None where a task type has none.
        forms: The forms of conversations that a file may have; none where the task names its columns.
    """

    input_fields: tuple[str, ...]
    target_field: str | None
    forms: tuple[Form, ...] = ()


def load_layout(task_type: str) -> Layout:
    """The layout of a task type.

    Raises:
        UserError: There is no such task type.
    """
    known = sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))
    if task_type not in known:
        raise UserError(f"unknown task type '{task_type}'", do=f"use one of: {', '.join(known)}")
    module = importlib.import_module(f"{__name__}.{task_type.replace('-', '_')}")
    layout: Layout = module.LAYOUT
    return layout
