"""ft_assets: fine-tuned language models as Dagster assets.

The component is exported lazily (PEP 562), so that the plain layers and the worker never import Dagster.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft_assets.components.fine_tuning_task import FineTuningTask

__all__ = ["FineTuningTask"]


def __getattr__(name: str) -> Any:
    if name == "FineTuningTask":
        from ft_assets.components.fine_tuning_task import FineTuningTask

        return FineTuningTask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
