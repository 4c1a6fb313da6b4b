"""From predictions to a verdict that can be trusted: metrics, intervals, baselines, the report.

Plain Python: labels, predictions and clusters in, numbers out. Nothing here knows Dagster, trains the model
or reads the store. What belongs to one task type lies in the module named after it (`text_classification`).
This package imports nothing heavy: scikit-learn and evaluate load when something is computed.
"""

import importlib
from types import ModuleType

from ft_assets.errors import UserError

__all__ = ["task_type_module"]


def task_type_module(task_type: str) -> ModuleType:
    """The module that evaluates `task_type` ("text-classification" → `text_classification`).

    It offers `evaluate_predictions` and `confident_mistakes`. Raises `UserError` for an unknown task type.
    """
    name = f"{__name__}.{task_type.replace('-', '_')}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UserError(
            f"task type '{task_type}' has no evaluation",
            where="task_type",
            do="use a supported task type: text-classification",
        ) from error
