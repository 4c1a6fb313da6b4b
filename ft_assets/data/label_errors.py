"""Labels that are probably wrong, by confident learning: Northcutt, Jiang & Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels", JAIR 70 (2021).

Given are the labels and what a model, which has not learnt from a row, thinks of that row. A row counts as one of
class j if its probability of j is at least what rows labelled j have on average. So many rows with label i that count
as j are in error, and those are picked for which j leads i by most.

What is picked is ranked by the calibrated probability of the given label. The paper ranks by the probabilities as they
are, or by the margin between two of them: both mistake a class that the model is wary of for a class with many errors.
Numpy over n rows and k classes, in linear time. Not here: the model (`ft_assets.evaluation.out_of_fold`), rows
and texts (`relabelling`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LabelErrors", "calibrated", "confident_joint", "find_label_errors"]

# A model that is sure of nothing has no logarithm of its own.
_LEAST = 1e-6

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What is probably wrong.

    Attributes:
        suspects: Places of the rows that are probably wrong, the most suspicious first.
        suggested: Of all rows: the class that the model is for, the row's own label set aside.
        own: Of all rows: the probability of its own label.
        joint: k x k: share of rows with label i (row) whose true class is estimated to be j (column). Sums to 1.
    """

    suspects: Labels
    suggested: Labels
    own: Probabilities
    joint: Probabilities

    @property
    def share(self) -> float:
        """Estimated share of labels that are wrong: what is off the joint's diagonal."""
        return float(self.joint.sum() - np.trace(self.joint))


def calibrated(labels: Labels, probabilities: Probabilities) -> Probabilities:
    """Probabilities that are met by the labels as often as they say: matrix scaling (Kull et al., "Beyond temperature
    scaling", NeurIPS 2019), a logistic regression of the labels on the logarithms.

    If labels are changed at random, and to any other class with the same chance, then whether one was is told by the
    calibrated probability of that label alone: nothing ranks better. Of 5 % labels flipped in the sample, the first 200
    rows hold 59 on average; ranked by the margin 56, by probabilities as they are 57 (`benchmarks/data.py --only
    label_errors`).

    Args:
        labels: Class of each row, 0 to k - 1; at least two different ones.
        probabilities: n x k, of rows that the model has not learnt from.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    logarithms = np.log(np.clip(probabilities, _LEAST, 1.0))
    # One thread: the sums come out alike on every machine.
    with threadpool_limits(limits=1):
        model = LogisticRegression(max_iter=1_000).fit(logarithms, labels)
    found = np.zeros_like(probabilities)
    found[:, model.classes_] = model.predict_proba(logarithms)
    return found


def confident_joint(labels: Labels, probabilities: Probabilities) -> Probabilities:
    """The joint distribution of given and true labels, k x k (equations 1 to 3 of the paper).

    Args:
        labels: Class of each row, 0 to k - 1.
        probabilities: n x k, of rows that the model has not learnt from.
    """
    k = probabilities.shape[1]
    rows = np.bincount(labels, minlength=k)
    own = probabilities[np.arange(len(labels)), labels]
    # A class without rows has no threshold: nothing counts as one of it.
    thresholds = np.where(rows > 0, np.bincount(labels, own, k) / np.maximum(rows, 1), np.inf)
    above = np.where(probabilities >= thresholds, probabilities, -1.0)
    counted = above.max(axis=1) >= 0
    counts = np.zeros((k, k))
    np.add.at(counts, (labels[counted], above.argmax(axis=1)[counted]), 1.0)
    # Where no row of a class counts as anything, its labels are taken as they are.
    empty = counts.sum(axis=1) == 0
    counts[empty, empty] = 1.0
    by_label = counts / counts.sum(axis=1, keepdims=True) * rows[:, None]
    return by_label / max(int(rows.sum()), 1)


def find_label_errors(labels: Labels, probabilities: Probabilities) -> LabelErrors:
    """Rows whose label is probably wrong.

    Pruned by noise rate (section 3.2, "PBNR"): as many rows with label i as the joint says are j in truth, those with
    the smallest margin between i and j. Of all these, the one whose own label is least probable comes first; equally
    probable ones keep their order.

    Args:
        labels: Class of each row, 0 to k - 1.
        probabilities: n x k, of rows that the model has not learnt from; k at least 2.
    """
    n, k = probabilities.shape
    everyone = np.arange(n)
    own = probabilities[everyone, labels]
    others = probabilities.copy()
    others[everyone, labels] = -1.0
    suggested = others.argmax(axis=1)
    joint = confident_joint(labels, probabilities)
    picked = np.zeros(n, dtype=bool)
    for i in range(k):
        mine = np.flatnonzero(labels == i)
        for j in range(k):
            number = int(np.rint(joint[i, j] * n)) if i != j else 0
            lead = probabilities[mine, i] - probabilities[mine, j]
            # No more than those for which j leads: an estimate of many errors makes none of a row that looks right.
            number = min(number, int((lead < 0).sum()))
            picked[mine[np.argsort(lead, kind="stable")[:number]]] = True
    suspects = np.flatnonzero(picked)
    order = np.argsort(own[suspects], kind="stable")
    return LabelErrors(suspects[order], suggested, own, joint)
