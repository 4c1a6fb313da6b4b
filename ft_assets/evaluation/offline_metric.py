"""The base of all metrics: an `evaluate.Metric` without hub, network or home directory.

`add`, `add_batch`, `compute` and `evaluate.combine` work as for any metric of that library. Importing this
module imports `evaluate`, which takes seconds: that happens inside functions, when something is evaluated.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import datasets  # noqa: TID253 - see above: nothing imports this module when the code location loads


@contextmanager
def _without_transformers() -> Iterator[None]:
    """Hide transformers, if it is not loaded yet.

    `evaluate` imports its pipelines for evaluators that are not used here (and do not work with transformers 5):
    5 s and 250 MB, torch included. Its own guard takes over where transformers is not installed.
    """
    if "transformers" in sys.modules:
        yield
        return
    sys.modules["transformers"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["transformers"]


with _without_transformers():
    import evaluate

__all__ = ["OfflineMetric", "combine"]

combine = evaluate.combine


class OfflineMetric(evaluate.Metric):
    """A metric whose rows are held in memory."""

    description = ""
    """What it is; the docstring when empty."""
    inputs = ""
    """The arguments, for the library's help."""
    columns: tuple[dict[str, str], ...] = ()
    """The inputs as {name: type}, one dict for each sort that is taken."""

    def __init__(self, **settings: Any) -> None:
        # The library wants a directory even so, by default in the home directory.
        self._scratch = tempfile.TemporaryDirectory(prefix="ft_assets_metric_")
        settings = {"keep_in_memory": True, "cache_dir": self._scratch.name} | settings
        super().__init__(**settings)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.description or (self.__doc__ or ""),
            citation="",
            inputs_description=self.inputs,
            features=[
                datasets.Features({name: datasets.Value(kind) for name, kind in columns.items()})
                for columns in self.columns
            ],
        )
