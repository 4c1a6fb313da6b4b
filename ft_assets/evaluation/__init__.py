"""From predictions to a verdict that can be trusted: metrics, intervals, baselines, the report.

Plain Python: labels or texts, predictions and clusters in, numbers out. Nothing here knows Dagster, runs a
language model or reads the store. What belongs to one sort of task lies in a module named after it
(`text_classification`, `text_generation`). This package imports nothing heavy: scikit-learn and evaluate load
when something is computed.
"""

import importlib
from types import ModuleType

from ft_assets.errors import UserError
from ft_assets.task_types import GENERATION

__all__ = ["task_type_module"]

MODULES = {"text-classification": "text_classification", **dict.fromkeys(GENERATION, "text_generation")}


def task_type_module(task_type: str) -> ModuleType:
    """The module that evaluates `task_type` ("translation" → `text_generation`).

    It offers `evaluate_predictions(examples, predictions, baselines, config, *, task_type, labels)`, and
    `shown_rows(examples, predictions, baselines)`: the rows that the page shows, by the name of their section.

    Raises:
        UserError: the task type is unknown.
    """
    if task_type not in MODULES:
        raise UserError(
            f"task type '{task_type}' has no evaluation",
            where="task_type",
            do=f"use a supported task type: {', '.join(MODULES)}",
        )
    return importlib.import_module(f"{__name__}.{MODULES[task_type]}")
