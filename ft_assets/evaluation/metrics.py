"""Metrics of classification as `evaluate.Metric` subclasses over scikit-learn, without hub or network.

`intervals` computes the same numbers from counts. Importing this module takes seconds (see `offline_metric`).
"""

import math
from collections.abc import Sequence
from typing import Any

from ft_assets.evaluation.offline_metric import OfflineMetric, combine

__all__ = ["F1", "Accuracy", "LabelMetric", "Precision", "Recall", "combined"]


class LabelMetric(OfflineMetric):
    """A metric of predicted labels against true ones, both as names or both as indices.

    Args:
        labels: the labels of the task, for a value by label. Without them there are none.
    """

    inputs = """
Args:
    predictions: predicted labels, names or indices.
    references: true labels, of the same sort.
"""
    columns = tuple({"predictions": kind, "references": kind} for kind in ("string", "int64"))

    def __init__(self, labels: Sequence[str | int] | None = None, **settings: Any) -> None:
        self.labels = list(labels) if labels is not None else None
        super().__init__(**settings)


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


def combined(labels: Sequence[str | int] | None = None) -> Any:
    """All metrics of text classification as one, by `evaluate.combine`."""
    return combine([metric(labels) for metric in (Accuracy, Precision, Recall, F1)])
