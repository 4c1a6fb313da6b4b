"""Metrics of classification as `evaluate.Metric` subclasses over scikit-learn, without hub or network.

`add`, `add_batch`, `compute` and `evaluate.combine` work as for any metric of that library. Importing this
module imports `evaluate`, which takes seconds: that happens inside functions, when something is evaluated.
`intervals` computes the same numbers from counts.
"""

import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
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

__all__ = ["F1", "Accuracy", "LabelMetric", "Precision", "Recall", "combined"]

INPUTS = """
Args:
    predictions: predicted labels, names or indices.
    references: true labels, of the same sort.
"""


class LabelMetric(evaluate.Metric):
    """A metric of predicted labels against true ones, both as names or both as indices.

    Args:
        labels: the labels of the task, for a value by label. Without them there are none.
    """

    description = ""

    def __init__(self, labels: Sequence[str | int] | None = None, **settings: Any) -> None:
        self.labels = list(labels) if labels is not None else None
        # Rows are held in memory; the library still wants a directory, by default in the home directory.
        self._scratch = tempfile.TemporaryDirectory(prefix="ft_assets_metric_")
        settings = {"keep_in_memory": True, "cache_dir": self._scratch.name} | settings
        super().__init__(**settings)

    def _info(self) -> evaluate.MetricInfo:
        kinds = ("string", "int64")
        return evaluate.MetricInfo(
            description=self.description or (self.__doc__ or ""),
            citation="",
            inputs_description=INPUTS,
            features=[
                datasets.Features({"predictions": datasets.Value(kind), "references": datasets.Value(kind)})
                for kind in kinds
            ],
        )


class Accuracy(LabelMetric):
    """Share of rows whose label was predicted: {"accuracy"}."""

    def _compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        from sklearn.metrics import accuracy_score

        return {"accuracy": float(accuracy_score(references, predictions))}


class _ByLabel(LabelMetric):
    """A metric of each label and its plain mean over the labels that occur (macro)."""

    kind = ""

    def _score(self, references: Sequence[Any], predictions: Sequence[Any], **settings: Any) -> Any:
        raise NotImplementedError

    def _compute(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        scores = {
            f"{self.kind}_macro": float(
                self._score(references, predictions, average="macro", zero_division=0)
            )
        }
        if self.labels is None:
            return scores
        occurring = {*references, *predictions}
        by_label = self._score(references, predictions, labels=self.labels, average=None, zero_division=0)
        for label, score in zip(self.labels, by_label, strict=True):
            # scikit-learn would say 0; nothing was asked and nothing answered, so there is no value.
            scores[f"{self.kind}_{label}"] = float(score) if label in occurring else math.nan
        return scores


class Precision(_ByLabel):
    """Of the rows predicted as a label, the share that has it: {"precision_macro", "precision_<label>"}."""

    kind = "precision"

    def _score(self, references: Sequence[Any], predictions: Sequence[Any], **settings: Any) -> Any:
        from sklearn.metrics import precision_score

        return precision_score(references, predictions, **settings)


class Recall(_ByLabel):
    """Of the rows of a label, the share that was predicted as it: {"recall_macro", "recall_<label>"}."""

    kind = "recall"

    def _score(self, references: Sequence[Any], predictions: Sequence[Any], **settings: Any) -> Any:
        from sklearn.metrics import recall_score

        return recall_score(references, predictions, **settings)


class F1(_ByLabel):
    """Harmonic mean of precision and recall: {"f1_macro", "f1_<label>"}; macro is the mean over labels."""

    kind = "f1"

    def _score(self, references: Sequence[Any], predictions: Sequence[Any], **settings: Any) -> Any:
        from sklearn.metrics import f1_score

        return f1_score(references, predictions, **settings)


def combined(labels: Sequence[str | int] | None = None) -> evaluate.CombinedEvaluations:
    """All metrics of text classification as one, by `evaluate.combine`."""
    return evaluate.combine([metric(labels) for metric in (Accuracy, Precision, Recall, F1)])
