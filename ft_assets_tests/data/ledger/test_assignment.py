"""Which split a row is in, given what is recorded: for good, and without a leak."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.ledger.assignment import Assignment, imported
from ft_assets.data.ledger.entries import SIDES, Entries
from ft_assets.data.ledger.periods import Boundaries
from ft_assets.data.ledger.reasons import REASONS
from ft_assets_tests.data.ledger.helpers import (
    Row,
    assigned,
    components,
    entries,
    frame,
    placed,
    places,
    recorded,
)

TEST, VALIDATION, TRAIN = SIDES


# --- what arrives over time --------------------------------------------------------------------------------------


@st.composite
def histories(
    draw: st.DrawFn, *, timed: bool = False, told: bool = False
) -> tuple[list[list[Row]], list[tuple[int, int]]]:
    """Batches of rows as they arrive, and which of them are near duplicates.

    Args:
        draw: hypothesis's.
        timed: whether rows have times, from the three periods.
        told: whether some are of sources that are for one split.
    """
    number = draw(st.integers(1, 24))
    rows = [
        Row(
            example,
            draw(st.integers(0, 30)),
            draw(st.none() | st.integers(0, 5)),
            draw(st.integers(0, 2)),
            draw(st.integers(0, 299)) if timed else None,
            draw(st.none() | st.sampled_from(SIDES)) if told else None,
        )
        for example in range(number)
    ]
    texts = st.sampled_from(sorted({row.text for row in rows}))
    near = draw(st.sets(st.tuples(texts, texts).filter(lambda pair: pair[0] < pair[1]), max_size=8))
    # Near duplicates by their texts: rows with one text have the same ones.
    pairs = [(a.example, b.example) for a in rows for b in rows if (a.text, b.text) in near]
    cuts = sorted(draw(st.lists(st.integers(1, number), max_size=4)))
    bounds = [0, *cuts, number]
    return [rows[a:b] for a, b in pairwise(bounds)], pairs


def among(rows: list[Row], pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    here = {row.example for row in rows}
    return [pair for pair in pairs if here.issuperset(pair)]


class Arrival(NamedTuple):
    """All rows after a batch has come, with their near duplicates, what was recorded before it, and what is made."""

    rows: list[Row]
    near: list[tuple[int, int]]
    known: Entries
    made: Assignment


def arrivals(history, **settings: object) -> Iterator[Arrival]:
    """Batch after batch, each assigned by what the ones before have recorded."""
    batches, pairs = history
    rows: list[Row] = []
    known = Entries.none()
    for batch in batches:
        rows = rows + batch
        near = among(rows, pairs)
        made = assigned(rows, known, near, **settings)
        yield Arrival(rows, near, known, made)
        known = recorded(known, made)


@given(histories())
def test_no_row_ever_changes_its_split_in_whatever_batches_rows_arrive(history) -> None:
    before: dict[int, str] = {}
    for rows, _, _, made in arrivals(history):
        now = places(rows, made)
        moved = {example: (split, now[example]) for example, split in before.items() if now[example] != split}
        assert moved == {}
        before = {example: split for example, split in now.items() if split in SIDES}


@given(histories())
def test_nothing_that_belongs_together_is_in_two_splits(history) -> None:
    _, pairs = history
    for rows, _, _, made in arrivals(history):
        now = {example: split for example, split in places(rows, made).items() if split in SIDES}
        kept = [row for row in rows if row.example in now]
        cluster = components(kept, among(kept, pairs))
        splits: dict[int, set[str]] = {}
        for example, split in now.items():
            splits.setdefault(cluster[example], set()).add(split)
        assert all(len(found) == 1 for found in splits.values())


@given(histories())
def test_a_run_after_the_recording_gives_the_same_as_the_run_that_was_killed(history) -> None:
    for rows, near, known, made in arrivals(history):
        again = assigned(rows, recorded(known, made), near)
        assert again.entries.height == 0
        assert places(rows, again) == places(rows, made)
        assert again.rows["part"].equals(made.rows["part"])


@given(histories(), st.randoms())
def test_the_order_of_rows_and_pairs_does_not_matter(history, draw: random.Random) -> None:
    for rows, near, known, made in arrivals(history):
        moved, turned = rows[:], [pair[::-1] for pair in near]
        draw.shuffle(moved)
        draw.shuffle(turned)
        other = assigned(moved, known, turned)
        assert places(moved, other) == places(rows, made)
        assert other.entries.equals(made.entries)


# --- new rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SIDES)
@pytest.mark.parametrize("link", ["text", "group", "near duplicate"])
def test_a_new_row_goes_to_the_side_of_what_it_belongs_to(split: str, link: str) -> None:
    old = Row(1, 10, group=7)
    new = {"text": Row(2, 10), "group": Row(2, 20, group=7), "near duplicate": Row(2, 20)}[link]
    pairs = [(1, 2)] if link == "near duplicate" else []
    assert placed([old, new], entries({(1, 10): split}, {7: split}), pairs)[2] == split


def test_a_group_is_remembered_when_all_its_rows_have_gone() -> None:
    assert placed([Row(2, 20, group=7)], entries({}, {7: TEST}))[2] == TEST


def test_a_row_is_remembered_when_it_was_gone_for_a_while() -> None:
    assert placed([Row(1, 10)], entries({(1, 10): VALIDATION}))[1] == VALIDATION


def test_a_row_stays_where_it_is_when_cleaning_gives_it_another_text() -> None:
    known = entries({(1, 10): TEST})
    made = assigned([Row(1, 11)], known)
    assert places([Row(1, 11)], made) == {1: TEST}
    # The new text is recorded, too: the row may be merged into another one with this text later.
    assert made.entries.select("key", "rule").rows() == [(11, "same_row")]


def test_a_new_row_that_bridges_two_splits_is_quarantined_and_not_recorded() -> None:
    rows = [Row(1, 10), Row(2, 20), Row(3, 30)]
    known = entries({(1, 10): TEST, (2, 20): TRAIN})
    made = assigned(rows, known, [(1, 3), (2, 3)])
    assert places(rows, made) == {1: TEST, 2: TRAIN, 3: "bridges_splits"}
    assert made.entries.height == 0
    assert made.rows["sides"].to_list()[2] == 0b101  # test and train, by their places


def test_the_rows_that_a_bridge_connects_stay_with_all_of_their_groups() -> None:
    """An author with many rows in train does not lose them because one new row of theirs is also in test."""
    authored = [Row(number, number, group=7) for number in range(100, 200)]
    bridge, other = Row(2, 20, group=7), Row(1, 10)
    known = entries({(row.example, row.text): TRAIN for row in authored} | {(1, 10): TEST}, {7: TRAIN})
    found = placed([*authored, bridge, other], known, [(1, 2)])
    assert found.pop(2) == "bridges_splits" and found.pop(1) == TEST
    assert set(found.values()) == {TRAIN}


def test_new_rows_between_two_sides_do_not_carry_one_side_to_the_other() -> None:
    rows = [Row(1, 10), Row(2, 20), Row(3, 30), Row(4, 40)]
    chain = [(1, 3), (3, 4), (4, 2)]  # test - new - new - train
    found = placed(rows, entries({(1, 10): TEST, (2, 20): TRAIN}), chain)
    assert found == {1: TEST, 2: TRAIN, 3: TEST, 4: "bridges_splits"}


def test_what_only_a_bridge_connects_to_the_rest_is_a_cluster_of_its_own() -> None:
    """One bridging row does not take its whole new group into the quarantine."""
    fresh = [Row(number, number, group=7) for number in range(100, 110)]
    rows = [Row(1, 10), Row(2, 20), *fresh]
    pairs = [(1, 100), (2, 100)]
    found = placed(rows, entries({(1, 10): TEST, (2, 20): TRAIN}), pairs)
    assert found[100] == "bridges_splits"
    assert len({found[row.example] for row in fresh[1:]} & set(SIDES)) == 1


# --- recorded rows that turn out to belong together --------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [(TEST, TRAIN, TEST), (VALIDATION, TRAIN, VALIDATION), (VALIDATION, TEST, TEST)],
)
def test_recorded_near_duplicates_stay_in_test_else_validation(first: str, second: str, stays: str) -> None:
    found = placed([Row(1, 10), Row(2, 20)], entries({(1, 10): first, (2, 20): second}), [(1, 2)])
    assert sorted(found.values()) == sorted([stays, "near_duplicate_across_splits"])


def test_only_direct_near_duplicates_are_taken_out() -> None:
    rows = [Row(1, 10), Row(2, 20), Row(3, 30)]
    known = entries({(1, 10): TEST, (2, 20): TRAIN, (3, 30): TRAIN})
    found = placed(rows, known, [(1, 2), (2, 3)])
    assert found == {1: TEST, 2: "near_duplicate_across_splits", 3: TRAIN}


def test_a_row_whose_text_is_recorded_on_another_side_is_quarantined() -> None:
    """Cleaning has changed, and a row of train now reads as one of test."""
    known = entries({(1, 10): TRAIN, (2, 20): TEST})
    assert placed([Row(1, 20)], known) == {1: "text_across_splits"}


def test_rows_with_one_text_are_quarantined_together() -> None:
    """Several answers to one prompt: what one of them bridges, all of them do."""
    known = entries({(1, 10): TRAIN, (2, 20): TEST})
    found = placed([Row(1, 10), Row(2, 20), Row(3, 30), Row(4, 30)], known, [(1, 3), (2, 4)])
    assert found == {1: TRAIN, 2: TEST, 3: "bridges_splits", 4: "bridges_splits"}


def test_recorded_rows_that_now_share_a_text_stay_in_test_alone() -> None:
    known = entries({(1, 10): TRAIN, (2, 20): TEST})
    assert placed([Row(1, 30), Row(2, 30)], known) == {1: "text_across_splits", 2: TEST}


def test_a_row_whose_group_is_on_another_side_is_quarantined_and_the_group_stays() -> None:
    """One row that was given the wrong author does not empty the author's split."""
    rows = [Row(1, 10, group=7), *(Row(number, number, group=7) for number in range(100, 110))]
    known = entries({(1, 10): TEST} | {(row.example, row.text): TRAIN for row in rows[1:]}, {7: TRAIN})
    found = placed(rows, known)
    assert found.pop(1) == "group_across_splits"
    assert set(found.values()) == {TRAIN}


def test_a_cluster_that_falls_apart_has_a_part_for_each_side() -> None:
    rows = [Row(1, 10), Row(2, 20), Row(3, 30), Row(9, 90)]
    known = entries({(1, 10): TEST, (2, 20): TRAIN})
    part = assigned(rows, known, [(1, 3), (2, 3)]).rows["part"].to_list()
    assert part[0] != part[1] and None not in part[:2]
    assert part[2:] == [None, None]  # quarantined; a cluster that is whole


# --- new clusters ------------------------------------------------------------------------------------------------


def test_new_clusters_meet_the_shares_of_rows_and_labels() -> None:
    rows = [Row(number, number, label=number % 2) for number in range(2_000)]
    found = placed(rows)
    for label in (0, 1):
        splits = [found[row.example] for row in rows if row.label == label]
        # 1,000 rows of each label: the shares come out exactly.
        assert [splits.count(side) for side in SIDES] == [150, 150, 700]


def test_new_clusters_make_up_for_what_is_recorded_unevenly() -> None:
    """Label 1 came in later, and the shares were different then."""
    old = [Row(number, number) for number in range(1_000)]
    known = entries({(row.example, row.text): TRAIN for row in old})
    rows = [*old, *(Row(number, number, label=number % 2) for number in range(1_000, 2_000))]
    found = placed(rows, known)
    splits = [found[row.example] for row in rows]
    # 15 % of 2,000, of which each label can have its share among the 1,000 new rows: label 0 has 500 of them.
    assert [splits.count(side) for side in SIDES] == [300, 300, 1_400]


def test_another_salt_is_another_draw_of_what_is_new_alone() -> None:
    old = [Row(number, number) for number in range(100)]
    known = entries({(row.example, row.text): SIDES[row.example % 3] for row in old})
    rows = [*old, *(Row(number, number) for number in range(100, 300))]
    one, other = placed(rows, known, salt="a"), placed(rows, known, salt="b")
    assert {row.example: one[row.example] for row in old} == {row.example: other[row.example] for row in old}
    assert one != other


def test_a_closed_test_split_takes_what_belongs_to_it_and_nothing_else() -> None:
    rows = [Row(1, 10, group=7), Row(2, 20, group=7), *(Row(n, n) for n in range(100, 200))]
    found = placed(rows, entries({(1, 10): TEST}, {7: TEST}), new_in_test=False)
    assert [example for example, split in found.items() if split == TEST] == [1, 2]
    # 17.6 % of what is left: validation's share of validation and train.
    assert list(found.values()).count(VALIDATION) == 18


def test_each_row_and_group_is_recorded_once_with_its_reason() -> None:
    rows = [Row(1, 10, group=7), Row(2, 20, group=7), Row(3, 30), Row(4, 40, group=8)]
    made = assigned(rows, entries({(1, 10): TEST}, {7: TEST}))
    assert made.entries.select("kind", "key", "example", "rule").rows() == [
        ("row", 20, 2, "joined"),
        ("row", 30, 3, "stratified"),
        ("row", 40, 4, "stratified"),
        ("group", 8, None, "stratified"),
    ]


def test_the_cluster_that_a_row_was_recorded_with_is_its_smallest_text() -> None:
    rows = [Row(1, 10, group=7), Row(2, 20, group=7), Row(3, 30)]
    made = assigned(rows)
    own = made.entries.filter(pl.col("kind") == "row")
    assert own.select("key", "cluster").rows() == [(10, None), (20, 10), (30, None)]


def test_no_rows_are_no_error() -> None:
    made = assigned([])
    assert made.rows.height == made.entries.height == 0


# --- by time -----------------------------------------------------------------------------------------------------

PERIODS = Boundaries(validation_from=100, test_from=200)


def dealt(rows: list[Row], *more: object, **settings: object) -> dict[int, str]:
    return placed(rows, *more, periods=PERIODS, **settings)


def test_new_rows_go_to_the_split_of_their_time() -> None:
    rows = [Row(n, n, time=time) for n, time in enumerate([0, 99, 100, 199, 200, 1_000])]
    assert list(dealt(rows).values()) == [TRAIN, TRAIN, VALIDATION, VALIDATION, TEST, TEST]


def test_a_cluster_goes_where_its_newest_row_does() -> None:
    rows = [
        Row(1, 10, group=7, time=0),
        Row(2, 20, group=7, time=200),
        Row(3, 30, time=0),
        Row(4, 40, time=100),
    ]
    assert dealt(rows, None, [(3, 4)]) == {1: TEST, 2: TEST, 3: VALIDATION, 4: VALIDATION}


def test_what_is_recorded_stays_whatever_its_time() -> None:
    known = entries({(1, 10): TRAIN, (2, 20): TEST})
    assert dealt([Row(1, 10, time=500), Row(2, 20, time=0)], known) == {1: TRAIN, 2: TEST}


def test_an_old_row_may_join_test_and_a_new_one_may_not_join_train() -> None:
    known = entries({(1, 10): TRAIN, (2, 20): TEST})
    rows = [Row(1, 10), Row(2, 20), Row(3, 30, time=0), Row(4, 40, time=200), Row(5, 50, time=99)]
    made = assigned(rows, known, [(2, 3), (1, 4), (1, 5)], periods=PERIODS)
    assert places(rows, made) == {1: TRAIN, 2: TEST, 3: TEST, 4: "newer_than_its_split", 5: TRAIN}
    assert made.rows["sides"].to_list()[3] == 0b001  # from the time of test
    assert made.entries.select("example", "rule").rows() == [(3, "joined"), (5, "joined")]


def test_a_new_row_that_is_kept_from_train_takes_no_other_one_with_it() -> None:
    """What only it connects to train is a cluster of its own, and goes by its time."""
    rows = [Row(1, 10), Row(2, 20, time=300), Row(3, 30, time=300)]
    found = dealt(rows, entries({(1, 10): TRAIN}), [(1, 2), (2, 3)])
    assert found == {1: TRAIN, 2: "newer_than_its_split", 3: TEST}


def test_a_new_row_without_a_time_is_quarantined_and_a_recorded_one_stays() -> None:
    rows = [Row(1, 10), Row(2, 20), Row(3, 30, time=0)]
    found = dealt(rows, entries({(1, 10): VALIDATION}))
    assert found == {1: VALIDATION, 2: "without_time", 3: TRAIN}


def test_rows_of_the_time_of_a_locked_test_set_are_quarantined_until_it_is_released() -> None:
    rows = [Row(1, 10, time=250), Row(2, 20, time=300), Row(3, 30, time=0)]
    known = entries({(1, 10): TEST})
    made = assigned(rows, known, periods=PERIODS, new_in_test=False)
    assert places(rows, made) == {1: TEST, 2: "test_is_locked", 3: TRAIN}
    assert dealt(rows, recorded(known, made)) == {1: TEST, 2: TEST, 3: TRAIN}


@given(histories(timed=True))
def test_in_whatever_batches_rows_arrive_nothing_of_a_later_time_is_learnt(history) -> None:
    before: dict[int, str] = {}
    for rows, _, _, made in arrivals(history, periods=PERIODS):
        now = places(rows, made)
        time = {row.example: row.time for row in rows}
        assert all(time[example] < 100 for example, split in now.items() if split == TRAIN)
        assert all(time[example] < 200 for example, split in now.items() if split == VALIDATION)
        assert {example: now[example] for example in before} == before
        before = {example: split for example, split in now.items() if split in SIDES}


# --- sources that are for one split --------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SIDES)
def test_rows_of_a_source_for_a_split_go_there_and_others_join_them(split: str) -> None:
    rows = [*(Row(n, n, meant=split) for n in range(20)), Row(50, 50)]
    made = assigned(rows, None, [(1, 50)])
    assert set(places(rows, made).values()) == {split}
    assert made.entries["rule"].to_list() == ["meant"] * 20 + ["joined"]


def test_the_shares_are_of_the_rows_that_are_drawn() -> None:
    told = [Row(n, n, meant=TRAIN) for n in range(1_000)]
    drawn = [Row(n, n) for n in range(1_000, 2_000)]
    splits = [placed([*told, *drawn])[row.example] for row in drawn]
    assert [splits.count(side) for side in SIDES] == [150, 150, 700]


@pytest.mark.parametrize(("link", "rule"), [
    ("text", "text_across_splits"),
    ("group", "group_across_splits"),
    ("near duplicate", "near_duplicate_across_splits"),
])  # fmt: skip
def test_what_sources_for_two_splits_share_stays_in_test(link: str, rule: str) -> None:
    held = {"text": 10, "group": 20, "near duplicate": 20}[link]
    group = 7 if link == "group" else None
    rows = [Row(1, 10, group, meant=TEST), Row(2, held, group, meant=TRAIN), Row(3, 30, meant=TRAIN)]
    found = placed(rows, None, [(1, 2)] if link == "near duplicate" else [])
    assert found == {1: TEST, 2: rule, 3: TRAIN}


@pytest.mark.parametrize("link", ["group", "near duplicate"])
def test_recorded_rows_of_train_that_belong_to_a_new_source_for_test_leave_training(link: str) -> None:
    group = 7 if link == "group" else None
    known = entries({(1, 10): TRAIN}, {7: TRAIN} if group else {})
    pairs = [(1, 2)] if group is None else []
    found = placed([Row(1, 10, group), Row(2, 20, group, meant=TEST)], known, pairs)
    assert found.pop(2) == TEST
    assert found[1] in REASONS


def test_a_row_whose_source_is_for_another_split_than_is_recorded_is_quarantined() -> None:
    """By its id, or by its text: a model may have learnt it."""
    known = entries({(1, 10): TRAIN})
    made = assigned([Row(1, 10, meant=TEST), Row(2, 10, meant=TEST)], known)
    assert places([Row(1, 10), Row(2, 10)], made) == dict.fromkeys([1, 2], "source_for_other_split")
    assert made.rows["side"].to_list() == [SIDES.index(TRAIN)] * 2


def test_a_split_of_share_0_has_the_rows_of_its_sources_alone() -> None:
    rows = [
        Row(1, 10, 7, meant=TEST),
        Row(2, 20),
        Row(3, 30),
        Row(4, 40, 7),
        *(Row(n, n) for n in range(50, 90)),
    ]
    for known in (None, recorded(Entries.none(), assigned(rows[:1]))):
        found = placed(rows, known, [(1, 2), (2, 3)], shares=(0, 0.25, 0.75))
        assert [example for example, split in found.items() if split == TEST] == [1]
        assert found[2] == found[4] == "split_is_closed"
        assert found[3] in (VALIDATION, TRAIN)  # no near duplicate of a test row itself


def test_an_answer_to_a_prompt_of_a_source_for_test_joins_it_unless_its_group_is_elsewhere() -> None:
    rows = [Row(1, 10, meant=TEST), Row(2, 10), Row(3, 10, group=7)]
    assert placed(rows[:2]) == {1: TEST, 2: TEST}
    assert placed(rows, entries({}, {7: TRAIN}))[3] == "bridges_splits"


def test_a_locked_test_set_takes_no_new_row_of_its_source() -> None:
    rows = [Row(1, 10, meant=TEST), Row(2, 20, meant=TEST), Row(3, 30, meant=TRAIN)]
    found = placed(rows, entries({(1, 10): TEST}), new_in_test=False)
    assert found == {1: TEST, 2: "test_is_locked", 3: TRAIN}


@given(histories(told=True))
def test_nothing_that_belongs_together_is_in_two_splits_whatever_sources_are_for(history) -> None:
    before: dict[int, str] = {}
    for rows, near, _, made in arrivals(history):
        now = {example: split for example, split in places(rows, made).items() if split in SIDES}
        kept = [row for row in rows if row.example in now]
        cluster = components(kept, among(kept, near))
        splits: dict[int, set[str]] = {}
        for example, split in now.items():
            splits.setdefault(cluster[example], set()).add(split)
        assert all(len(found) == 1 for found in splits.values())
        assert {example: split for example, split in now.items() if before.get(example, split) != split} == {}
        assert all(row.meant in (None, now[row.example]) for row in kept)
        before |= now


# --- splits that were made before ---------------------------------------------------------------------------------


def test_rows_of_earlier_splits_are_taken_over_with_their_groups() -> None:
    rows = [Row(1, 10, group=7), Row(2, 20, group=7), Row(3, 30)]
    old = frame(rows).with_columns(side=pl.Series([0, 0, 2], dtype=pl.UInt8))
    known = recorded(Entries.none(), imported(old, Entries.none()))
    assert placed([*rows, Row(4, 40, group=7)], known) == {1: TEST, 2: TEST, 3: TRAIN, 4: TEST}


def test_what_the_ledger_knows_is_not_taken_over() -> None:
    known = entries({(1, 10): TEST})
    old = frame([Row(1, 10), Row(2, 20)]).with_columns(side=pl.Series([2, 2], dtype=pl.UInt8))
    assert imported(old, known).select("example", "rule").rows() == [(2, "imported")]


def test_every_rule_of_the_quarantine_has_a_reason() -> None:
    assert all(reason.format("test", "train") for reason in REASONS.values())
