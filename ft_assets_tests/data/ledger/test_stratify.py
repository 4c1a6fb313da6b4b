"""New clusters are dealt out so that every split has its share of rows and of each label."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.ledger.stratify import _least, mixed, stratify

SHARES = (0.15, 0.15, 0.7)


def dealt(cluster, stratum, shares=SHARES, recorded=None, seed=0):
    """The split of each row."""
    cluster, stratum = np.asarray(cluster), np.asarray(stratum)
    rank = mixed(np.arange(cluster.max() + 1, dtype=np.uint64) + np.uint64(seed * 1_000_003))
    known = np.zeros((len(shares), stratum.max() + 1), np.int64) if recorded is None else np.array(recorded)
    return stratify(cluster, stratum, rank, known, shares)[cluster]


def rows_of(splits, split):
    return int((splits == split).sum())


def clusters(rows, number, strata, seed=0):
    draw = np.random.default_rng(seed)
    cluster = np.unique(np.sort(draw.integers(0, number, rows)), return_inverse=True)[1]
    return cluster, draw.choice(strata, rows)


def test_no_clusters_are_no_error():
    assert (
        len(
            stratify(
                np.array([], int), np.array([], int), np.array([], np.uint64), np.zeros((3, 1), int), SHARES
            )
        )
        == 0
    )


def test_single_rows_meet_the_share_of_every_label():
    stratum = np.repeat([0, 1, 2], [1_000, 200, 40])
    splits = dealt(np.arange(1_240), stratum)
    found = [[rows_of(splits[stratum == label], split) for split in range(3)] for label in range(3)]
    assert found == [[150, 150, 700], [30, 30, 140], [6, 6, 28]]


def test_clusters_of_many_rows_are_spread_evenly():
    """300 clusters of about a dozen rows, as in the sample. A salted hash puts a label of a split off by up to 0.15."""
    for seed in range(5):
        cluster, stratum = clusters(3_700, 300, 3, seed)
        splits = dealt(cluster, stratum, seed=seed)
        for split, share in enumerate(SHARES):
            here = stratum[splits == split]
            # A cluster is a fiftieth of a split of 555 rows; half of one is the least that can be hoped for.
            assert abs(len(here) / len(cluster) - share) < 0.01
            for label in range(3):
                assert abs((here == label).mean() - (stratum == label).mean()) < 0.02


def test_rare_labels_do_not_leave_a_split_without_its_share():
    """A thousand labels of two rows: each by itself would go to train."""
    splits = dealt(np.arange(2_000), np.repeat(np.arange(1_000), 2))
    assert [rows_of(splits, split) for split in range(3)] == [300, 300, 1_400]


def test_what_is_recorded_counts():
    # 1,000 rows are in train already; of 1,000 new ones test and validation get 300 each, 15 % of all.
    splits = dealt(np.arange(1_000), np.zeros(1_000, int), recorded=[[0], [0], [1_000]])
    assert [rows_of(splits, split) for split in range(3)] == [300, 300, 400]


def test_a_split_that_has_too_much_gets_nothing():
    splits = dealt(np.arange(100), np.zeros(100, int), recorded=[[900], [0], [0]])
    assert rows_of(splits, 0) == 0


def test_a_split_without_a_share_gets_nothing():
    splits = dealt(np.arange(850), np.zeros(850, int), shares=(0, 0.15, 0.7), recorded=[[150], [0], [0]])
    assert [rows_of(splits, split) for split in range(3)] == [0, 150, 700]


def test_one_cluster_goes_to_train_and_the_third_elsewhere():
    assert list(dealt([0], [0])) == [2]
    assert sorted(dealt([0, 1, 2], [0, 0, 0])) == [0, 2, 2]


@pytest.mark.parametrize("sizes", ["equal", "different"])
def test_another_seed_is_another_draw(sizes):
    cluster = np.repeat(np.arange(60), 8 if sizes == "equal" else np.arange(60) + 1)
    stratum = np.zeros(len(cluster), int)
    assert not np.array_equal(dealt(cluster, stratum, seed=1), dealt(cluster, stratum, seed=2))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=30), st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    numbers = {key: place for place, key in enumerate(dict.fromkeys(cluster for cluster, _ in rows))}
    rows = [(numbers[cluster], stratum) for cluster, stratum in rows]
    moved = rows[:]
    random.shuffle(moved)
    strata = [[0] * 3 for _ in range(3)]
    one, other = (
        dict(
            zip(
                (cluster for cluster, _ in each),
                dealt(*zip(*each, strict=True), recorded=strata),
                strict=True,
            )
        )
        for each in (rows, moved)
    )
    assert one == other


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(-10, 10)), min_size=3, max_size=3), st.integers(1, 9))
def test_clusters_of_one_composition_are_dealt_as_trying_everything_would(terms, times):
    a, b = [term[0] for term in terms], [term[1] for term in terms]

    def cost(numbers):
        return sum(a[s] * m * m - 2 * b[s] * m for s, m in enumerate(numbers))

    found = _least(a, b, times, range(3))
    best = min(cost(m) for m in product(range(times + 1), repeat=3) if sum(m) == times)
    assert sum(found) == times and min(found) >= 0
    assert cost(found) == pytest.approx(best, abs=1e-9)
