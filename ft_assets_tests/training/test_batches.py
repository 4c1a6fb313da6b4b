"""Order, padding and parts of batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.training.batches import (
    LengthGroupedSampler,
    PadBatch,
    batches_by_tokens,
    rows_per_pass,
)

_lengths = st.lists(st.integers(1, 300), max_size=200).map(lambda values: np.array(values, dtype=np.int64))


@settings(deadline=None)  # the first example pays for imports
@given(lengths=_lengths, size=st.integers(1, 17), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_grouped_order_has_every_row_once(lengths, size, seed, epoch):
    sampler = LengthGroupedSampler(lengths, size, seed)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths)))


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(5, 100, size=1003)


def _padding(order, lengths, size):
    batches = [lengths[order[start : start + size]] for start in range(0, len(order), size)]
    return sum(batch.max() * len(batch) - batch.sum() for batch in batches) / lengths.sum()


def test_grouping_leaves_little_padding(lengths):
    grouped = np.array(list(LengthGroupedSampler(lengths, 16, seed=0)))
    plain = np.random.default_rng(1).permutation(len(lengths))
    # Sorted in pools of 800 rows, neighbours differ by a token or two; only the last, random batch is padded.
    assert _padding(grouped, lengths, 16) < 0.05 < 0.5 < _padding(plain, lengths, 16)


def test_the_same_seed_and_epoch_give_the_same_order_and_another_epoch_another(lengths):
    first, second = (LengthGroupedSampler(lengths, 16, seed=0) for _ in range(2))
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)


def test_batches_are_not_sorted_by_length(lengths):
    order = list(LengthGroupedSampler(lengths, 16, seed=0))
    means = [lengths[order[start : start + 16]].mean() for start in range(0, 992, 16)]
    rising = np.mean(np.diff(means) > 0)
    assert 0.25 < rising < 0.75  # 62 shuffled batches: one half, give or take four standard errors


def test_padding_is_masked_on_either_side():
    features = [{"input_ids": [5, 6, 7], "labels": 1}, {"input_ids": [8], "labels": 0}]
    right, left = PadBatch(0)(features), PadBatch(0, left=True)(features)
    assert right["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert right["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert left["input_ids"].tolist() == [[5, 6, 7], [0, 0, 8]]
    assert left["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert right["labels"].tolist() == [1, 0]


@given(rows=st.integers(1, 200), length=st.integers(1, 600), budget=st.integers(1, 5000))
def test_a_part_keeps_within_the_budget_unless_one_row_exceeds_it(rows, length, budget):
    size = rows_per_pass(rows, length, budget)
    assert 1 <= size <= rows
    assert size * length <= budget + length  # equal parts are rounded up by less than a row
    if length > budget:
        assert size == 1


@given(lengths=_lengths, budget=st.integers(1, 1000))
def test_prediction_batches_have_every_row_once_and_keep_within_the_budget(lengths, budget):
    batches = list(batches_by_tokens(lengths, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or lengths[batch].max() * len(batch) <= budget for batch in batches)
