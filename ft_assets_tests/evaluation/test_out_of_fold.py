import numpy as np
import pyarrow as pa
import pytest

from ft_assets.evaluation import out_of_fold as module
from ft_assets.evaluation.out_of_fold import out_of_fold

WORDS = {0: "awful broken late", 1: "lovely quick friendly"}


def rows(count: int) -> tuple[pa.ChunkedArray, np.ndarray]:
    labels = np.arange(count) % 2
    return pa.chunked_array([[f"{WORDS[label]} item {place}" for place, label in enumerate(labels)]]), labels


def test_each_row_is_judged_by_what_was_learnt_from_the_other_folds() -> None:
    texts, labels = rows(40)
    found = out_of_fold(texts, labels, np.arange(40) // 2 % 4, classes=2)
    assert found.sum(axis=1) == pytest.approx(np.ones(40))
    assert (found.argmax(axis=1) == labels).all()


def test_a_rows_own_label_does_not_change_what_is_thought_of_it() -> None:
    texts, labels = rows(40)
    fold = np.arange(40) // 2 % 4
    other = labels.copy()
    other[fold == 0] = 1 - other[fold == 0]
    assert out_of_fold(texts, labels, fold, 2)[fold == 0] == pytest.approx(
        out_of_fold(texts, other, fold, 2)[fold == 0]
    )


def test_a_class_without_rows_has_no_probability() -> None:
    texts, labels = rows(40)
    found = out_of_fold(texts, labels * 2, np.arange(40) // 2 % 4, classes=3)
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == labels * 2).all()


def test_where_the_other_folds_have_one_label_that_is_what_is_expected() -> None:
    texts, labels = rows(4)
    found = out_of_fold(texts, labels, np.array([0, 1, 0, 1]), classes=2)
    assert found.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]


def test_more_rows_than_are_learnt_from_are_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEARNT_ROWS", 24)
    monkeypatch.setattr(module, "_SLICE", 7)
    texts, labels = rows(100)
    found = out_of_fold(texts, labels, np.arange(100) // 2 % 4, classes=2)
    assert (found.argmax(axis=1) == labels).all()


def test_the_same_rows_give_the_same_numbers() -> None:
    texts, labels = rows(40)
    fold = np.arange(40) // 2 % 4
    assert out_of_fold(texts, labels, fold, 2).tobytes() == out_of_fold(texts, labels, fold, 2).tobytes()
