"""The metrics are scikit-learn's, through the interface of `evaluate`, without a network."""

import math
import socket

import evaluate
import pytest
from sklearn import metrics as sk

from ft_assets.evaluation.metrics import F1, Accuracy, Precision, Recall, combined
from ft_assets_tests.evaluation.helpers import LABELS, noisy


@pytest.mark.parametrize(
    ("metric", "score"), [(Precision, sk.precision_score), (Recall, sk.recall_score), (F1, sk.f1_score)]
)
@pytest.mark.parametrize("seed", range(3))
def test_macro_and_label_values_are_those_of_scikit_learn(metric, score, seed):
    actual, guess = noisy(200, seed, 0.6)
    values = metric(LABELS).compute(predictions=guess, references=actual)
    kind = metric.kind
    assert values[f"{kind}_macro"] == score(actual, guess, average="macro")
    assert [values[f"{kind}_{label}"] for label in LABELS] == list(
        score(actual, guess, labels=LABELS, average=None)
    )


def test_accuracy_is_that_of_scikit_learn():
    actual, guess = noisy(101, 5, 0.6)
    assert Accuracy().compute(predictions=guess, references=actual) == {
        "accuracy": sk.accuracy_score(actual, guess)
    }


def test_known_answer():
    values = combined(["a", "b"]).compute(predictions=["a", "a", "b", "b"], references=["a", "b", "b", "b"])
    assert values["accuracy"] == 0.75
    assert (values["precision_a"], values["recall_a"]) == (0.5, 1.0)
    assert values["f1_a"] == pytest.approx(2 / 3, abs=1e-15)
    assert values["f1_b"] == pytest.approx(0.8, abs=1e-15)
    assert values["f1_macro"] == pytest.approx((2 / 3 + 0.8) / 2, abs=1e-15)


def test_rows_can_be_added_one_by_one_and_in_batches():
    actual, guess = noisy(60, 1, 0.7)
    metric = F1(LABELS)
    for row in range(10):
        metric.add(prediction=guess[row], reference=actual[row])
    metric.add_batch(predictions=guess[10:], references=actual[10:])
    assert metric.compute() == F1(LABELS).compute(predictions=guess, references=actual)


def test_metrics_combine():
    actual, guess = noisy(60, 2, 0.7)
    both = evaluate.combine([Accuracy(), F1()]).compute(predictions=guess, references=actual)
    assert set(both) == {"accuracy", "f1_macro"}


def test_indices_do_as_well_as_names():
    values = F1([0, 1, 2]).compute(predictions=[0, 1, 1], references=[0, 1, 2])
    assert values["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-15)
    assert values["f1_0"] == 1.0


def test_a_label_that_never_occurs_has_no_value_and_no_part_in_the_mean():
    values = F1(["a", "b", "absent"]).compute(predictions=["a", "b"], references=["a", "b"])
    assert math.isnan(values["f1_absent"])
    assert values["f1_macro"] == 1.0


def test_no_connection_is_opened(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert combined(["a"]).compute(predictions=["a"], references=["a"])["accuracy"] == 1.0
