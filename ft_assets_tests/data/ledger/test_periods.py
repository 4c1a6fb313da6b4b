import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.ledger.periods import Boundaries, by_shares
from ft_assets.errors import UserError

SHARES = {"test": 0.15, "validation": 0.15}


def boundaries(clusters, times, shares=None):
    return by_shares(np.array(clusters, np.uint32), np.array(times, np.int64), shares or SHARES)


def test_the_newest_rows_are_for_test_and_those_before_for_validation():
    assert boundaries(range(100), range(100)) == Boundaries(validation_from=70, test_from=85)


def test_rows_of_one_moment_stay_on_one_side_of_a_boundary():
    # Ten days of ten rows: 15 and 30 of 100 rows lie between the days.
    assert boundaries(range(100), [row // 10 for row in range(100)]) == Boundaries(7, 8)


def test_a_cluster_counts_with_its_newest_row():
    clusters, times = [*range(80), *([80] * 20)], [*range(80), *range(0, 40, 2)]
    # Twenty rows are of the moment 38, by the newest of them; none is as new as those from 65 on.
    assert boundaries(clusters, times) == Boundaries(50, 65)


def test_a_split_of_share_0_has_no_period():
    assert boundaries(range(100), range(100), {"test": 0, "validation": 0.2}) == Boundaries(80, None)
    assert boundaries(range(100), range(100), {"test": 0.2, "validation": 0}) == Boundaries(None, 80)


def test_no_rows_have_no_boundaries():
    assert not boundaries([], [])


def test_too_few_times_are_an_error_that_says_what_to_do():
    with pytest.raises(UserError, match="2 different times, and 3 splits") as raised:
        boundaries(range(10), [0] * 5 + [1] * 5)
    assert "by: random" in raised.value.do


@given(st.lists(st.integers(-(10**12), 10**12), min_size=3, max_size=60, unique=True))
def test_no_period_is_empty_and_no_other_boundary_is_nearer_to_the_share(times):
    found = boundaries(range(len(times)), times)
    assert found.test_from is not None and found.validation_from is not None
    sizes = [
        sum(time >= found.test_from for time in times),
        sum(time >= found.validation_from for time in times),
    ]
    assert 0 < sizes[0] < sizes[1] < len(times)
    # Half a row, or the one row that each period has at least.
    assert sizes[0] - 0.15 * len(times) <= max(0.5, 1 - 0.15 * len(times))


@given(st.integers(-(10**15), 10**15), st.none() | st.integers(-(10**15), 10**15))
def test_boundaries_survive_being_written_down(test_from, validation_from):
    made = Boundaries(validation_from, test_from)
    assert Boundaries.from_dict(made.as_dict()) == made
