import hashlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data import splits
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig, NearDuplicatesConfig, SplitsConfig
from ft_assets.data.examples import LABELED_SCHEMA, QUARANTINE_SCHEMA, SPLIT_SCHEMA
from ft_assets.data.labels import label
from ft_assets.data.ledger.assignment import imported
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.ledger.periods import Boundaries
from ft_assets.data.near_duplicates import settled
from ft_assets.data.splits import SPLITS
from ft_assets.data.times import microseconds
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import (
    answers,
    conversation_table,
    labelled,
    planted_tickets,
    raw_table,
    split,
    unlike,
)

NAMES = LabelsConfig(names=["x", "y"])
DEFAULT = SplitsConfig()
LEDGER = "ab" * 16
NEAR = NearDuplicatesConfig()


def places(*examples, config=DEFAULT):
    """Text → split of rows taken through the whole layer."""
    return placed(split(labelled(*examples, labels=NAMES).examples, config))


def placed(parts):
    return {text: name for name, part in parts.items() for text in part.examples["text"].to_pylist()}


def many(count, groups=None):
    return [(f"text {i}", "xy"[i % 2], f"g{i % groups}" if groups else None) for i in range(count)]


def with_entries(table, known, config=DEFAULT, **more):
    """Text → split, and the entries with those that are new."""
    made = splits.split(table, config, entries=known, ledger_id=LEDGER, **more)
    return made, known.with_entries(made.entries)


def near(*examples):
    """Rows taken through the whole layer, near duplicates in one cluster."""
    return settled(labelled(*examples, labels=NAMES), NEAR).examples


def test_tables_have_the_schema_of_the_stage_and_cover_all_rows():
    rows = labelled(*many(60), labels=NAMES).examples
    parts = split(rows, DEFAULT)
    assert {part.examples.schema for part in parts.values()} == {SPLIT_SCHEMA}
    assert {part.quarantine.schema for part in parts.values()} == {QUARANTINE_SCHEMA}
    ids = [each for part in parts.values() for each in part.examples["example_id"].to_pylist()]
    assert sorted(ids) == rows["example_id"].to_pylist()


def test_no_rows_are_no_error():
    assert [part.summary["kept"] for part in split(LABELED_SCHEMA.empty_table(), DEFAULT).values()] == [
        0,
        0,
        0,
    ]


def test_a_cluster_is_never_split_apart():
    parts = split(labelled(*many(300, groups=40), labels=NAMES).examples, DEFAULT)
    clusters = [set(part.examples["cluster"].to_pylist()) for part in parts.values()]
    assert sum(map(len, clusters)) == len(set.union(*clusters)) == 40


def test_shares_are_met_in_rows_and_labels():
    parts = split(labelled(*many(400), labels=NAMES).examples, DEFAULT)
    assert {name: part.summary["labels"] for name, part in parts.items()} == {
        "train": {"x": 140, "y": 140}, "validation": {"x": 30, "y": 30}, "test": {"x": 30, "y": 30}
    }  # fmt: skip


def test_long_and_short_answers_are_spread_evenly_where_a_model_writes():
    from ft_assets.data.answers import answer

    examples = [{"text": f"prompt {n}", "label": "word " * (1 if n % 2 else 64)} for n in range(200)]
    table = answer(
        clean(conversation_table(*examples), CleaningConfig(), conversations=True).examples
    ).examples
    parts = split(table, DEFAULT, classes=False)
    long = {
        name: sum(len(each) > 99 for each in part.examples["label"].to_pylist())
        for name, part in parts.items()
    }
    assert long == {"train": 70, "validation": 15, "test": 15}


def test_another_salt_is_another_draw():
    draws = [places(*many(200), config=SplitsConfig(salt=salt)) for salt in ("a", "b")]
    assert draws[0] != draws[1]


def test_a_draw_stays_the_same_for_ever():
    # Written down once: another value here would draw the splits of every new ledger anew.
    drawn = places(*many(24))
    assert "".join(drawn[f"text {n}"][:2] for n in range(24)) == (
        "trtrtrtetetrtrtrtevavavatrtetrtrtrtrtrtrvatrtrtr"
    )


examples = st.tuples(
    st.sampled_from([f"text {i}" for i in range(6)]), st.sampled_from("xy"), st.sampled_from([None, "a", "b"])
)


@given(st.lists(examples, max_size=10), st.lists(examples, max_size=10))
def test_no_row_moves_when_rows_are_added_whatever_their_groups(first, more):
    """Through cleaning and labelling: a text may turn up again, with another label or under another group."""
    before, known = with_entries(labelled(*first, labels=NAMES).examples, Entries.none())
    after, _ = with_entries(labelled(*first, *more, labels=NAMES).examples, known)
    was, now = placed(before.tables), placed(after.tables)
    assert {text: now[text] for text in was if text in now} == {
        text: was[text] for text in was if text in now
    }


@given(st.lists(examples, max_size=8), st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    moved = list(rows)
    random.shuffle(moved)
    assert places(*moved) == places(*rows)


def test_no_exact_duplicate_stands_in_two_splits_even_under_several_groups():
    rows = [(f"text {i % 50}", "x", f"g{i}") for i in range(200)]
    parts = split(labelled(*rows, labels=NAMES).examples, DEFAULT)
    texts = [text for part in parts.values() for text in part.examples["text"].to_pylist()]
    assert len(texts) == len(set(texts)) == 50


def test_the_summary_tells_the_imbalance_and_its_place():
    rows = [(f"text {i}", "xy"[i % 3 == 0], f"g{i // 40}") for i in range(400)]  # ten clusters
    parts = split(labelled(*rows, labels=NAMES).examples, DEFAULT)
    summary = parts["test"].summary
    assert sum(part.summary["kept"] for part in parts.values()) == summary["rows_of_all"] == 400
    place = summary["largest_deviation"]
    assert place["split"] == "test"
    overall = summary["overall_label_shares"][place["label"]]
    assert place["deviation"] == pytest.approx(summary["label_shares"][place["label"]] - overall, abs=1e-6)


def test_the_planted_authors_stay_together():
    config = LabelsConfig(map=answers()["label_map"])
    rows = label(clean(planted_tickets().examples, CleaningConfig()).examples, config).examples
    parts = split(rows, DEFAULT)
    where = [set(parts[name].examples["cluster"].to_pylist()) for name in SPLITS]
    assert not (where[0] & where[1]) | (where[0] & where[2]) | (where[1] & where[2])
    assert all(key.startswith("g:author-") for keys in where for key in keys)


# --- rows that cannot be where they belong ----------------------------------------------------------------------


def long(number, *changed):
    """A text of sixteen words that is no near duplicate of another number's; of its own with few words changed."""
    words = [hashlib.sha256(f"{place}/{number}".encode()).hexdigest()[:6] for place in range(16)]
    for place in changed:
        words[place] = f"other{place}"
    return " ".join(words)


def bridged():
    """Two rows of different splits that are no near duplicates, and a new one that is one of both."""
    rows = [(long(n), "xy"[n % 2]) for n in range(38)]
    # Similar to the one between them at 0.72 and 0.80, to one another at 0.61; the threshold is 0.7.
    ends = [(long(99, 0, 1, 2), "x"), (long(99, 14, 15), "x")]
    for salt in range(100):
        made = splits.split(
            near(*rows, *ends), SplitsConfig(salt=str(salt)), entries=Entries.none(), ledger_id=LEDGER
        )
        where = placed(made.tables)
        if {where[text] for text, _ in ends} == {"test", "train"}:
            break
    table = near(*rows, *ends, (long(99), "x"))
    after, _ = with_entries(table, Entries.none().with_entries(made.entries), near=NEAR)
    return where, after


def test_a_row_that_bridges_two_splits_is_quarantined_with_a_reason_that_names_them():
    before, made = bridged()
    assert placed(made.tables) == before
    (row,) = made.tables["test"].quarantine.to_pylist()
    assert (row["rule"], row["stage"], row["text"]) == ("bridges_splits", "test_split", long(99))
    assert row["reason"] == "it belongs together with rows that are in test and train"
    assert made.entries.height == 0


def test_every_row_is_in_one_split_or_quarantined():
    _, made = bridged()
    for part in made.tables.values():
        assert part.summary["rows_in"] == part.summary["kept"] + part.summary["quarantined"]
    assert sum(part.summary["rows_in"] for part in made.tables.values()) == 41


def test_a_cluster_that_falls_apart_has_another_name_in_each_split():
    """Each part by its smallest id: what happens elsewhere does not change it."""
    _, made = bridged()
    keys = {
        cluster: name
        for name, part in made.tables.items()
        for cluster in part.examples["cluster"].to_pylist()
        if "/" in cluster
    }
    assert sorted(keys.values()) == ["test", "train"]
    for cluster, name in keys.items():
        rows = made.tables[name].examples.to_pylist()
        assert cluster.partition("/")[2] == min(
            row["example_id"] for row in rows if row["cluster"] == cluster
        )


# --- by time ----------------------------------------------------------------------------------------------------

BY_TIME = SplitsConfig(by="time")


def days(count, first=1):
    return [(f"text {n}", "xy"[n % 2], None, f"2026-01-{n:02d}") for n in range(first, first + count)]


def test_the_newest_rows_judge_and_the_boundaries_are_told():
    made, _ = with_entries(labelled(*days(20), labels=NAMES).examples, Entries.none(), config=BY_TIME)
    assert [placed(made.tables)[f"text {n}"] for n in range(1, 21)] == (
        ["train"] * 14 + ["validation"] * 3 + ["test"] * 3
    )
    assert made.periods.as_dict() == {
        "validation_from": "2026-01-15T00:00:00+00:00",
        "test_from": "2026-01-18T00:00:00+00:00",
    }


def test_boundaries_that_are_recorded_hold_for_what_comes_later():
    first, known = with_entries(labelled(*days(20), labels=NAMES).examples, Entries.none(), config=BY_TIME)
    late = [("late", "x", None, "2026-02-01"), ("old", "x", None, "2025-12-31")]
    more = labelled(*days(20), *late, labels=NAMES).examples
    made, _ = with_entries(more, known, config=BY_TIME, periods=first.periods)
    assert placed(made.tables) == placed(first.tables) | {"late": "test", "old": "train"}


def test_other_boundaries_than_those_recorded_are_an_error_that_says_what_to_do():
    other = SplitsConfig(by="time", validation_from="2026-01-05", test_from="2026-01-10")
    table = labelled(*days(20), labels=NAMES).examples
    made, known = with_entries(table, Entries.none(), config=other)
    assert [part.examples.num_rows for part in made.tables.values()] == [4, 5, 11]
    with_entries(table, known, config=other, periods=made.periods)
    with pytest.raises(UserError, match="dealt by other boundaries") as raised:
        with_entries(table, known, config=other, periods=Boundaries(1, 2))
    assert "ledger reset" in raised.value.do


def test_a_row_without_a_time_is_quarantined_with_a_reason():
    table = labelled(*days(20), ("timeless", "x"), labels=NAMES).examples
    made, _ = with_entries(table, Entries.none(), config=BY_TIME)
    (row,) = made.tables["test"].quarantine.to_pylist()
    assert (row["rule"], row["text"]) == ("without_time", "timeless")
    assert row["reason"] == "splits go by time, and the row has none"


def test_rows_that_are_newer_than_their_split_are_told_apart_by_whether_they_were_there():
    table = labelled(*days(4), ("told", "x", None, "2026-01-09", "train"), labels=NAMES).examples
    ids = dict(zip(table["text"].to_pylist(), table["example_id"].to_pylist(), strict=True))
    begins = microseconds("2026-01-03")
    recorded = table.filter(pc.equal(table["text"], "text 3"))
    known = splits.earlier_rows(
        {"train": recorded.select(["example_id", "context", "text", "cluster"])}, LEDGER, with_groups=False
    )
    entries = Entries.none().with_entries(imported(known, Entries.none()))
    found = splits.newer_than(table, table, begins, entries)
    assert found == ([ids["text 4"]], sorted([ids["text 3"], ids["told"]]))


# --- sources that are for one split -------------------------------------------------------------------------------


def test_the_files_of_a_data_set_that_comes_split_stay_apart():
    rows = [
        (f"{name} {n}", "xy"[n % 2], None, None, name)
        for name in ("train", "validation", "test")
        for n in range(5)
    ]
    shared = [("test 0", "x", None, None, "train"), ("validation 0", "x", None, None, "train")]
    parts = split(labelled(*rows, *shared, labels=NAMES).examples, DEFAULT)
    assert {text: name for text, name in placed(parts).items() if not text.startswith(name)} == {}
    assert {name: part.summary["kept"] for name, part in parts.items()} == dict.fromkeys(SPLITS, 5)


def test_a_near_duplicate_of_a_test_row_is_quarantined_from_train_with_a_reason():
    table = near((long(1), "x", None, None, "test"), (long(1, 15), "x", None, None, "train"), (long(2), "x"))
    made, _ = with_entries(table, Entries.none(), near=NEAR)
    (row,) = made.tables["train"].quarantine.to_pylist()
    assert (row["rule"], row["text"]) == ("near_duplicate_across_splits", long(1, 15))
    assert (
        row["reason"]
        == "the row belongs to train, and a near duplicate, or another part of its conversation, to test"
    )


def test_a_golden_test_set_is_the_whole_test_split():
    golden = [(long(n), "xy"[n % 2], None, None, "test") for n in range(20)]
    drawn = [(long(n), "xy"[n % 2]) for n in range(20, 60)]
    table = near(*golden, *drawn, (long(3, 15), "x"))
    made, _ = with_entries(table, Entries.none(), near=NEAR, config=SplitsConfig(test=0, validation=0.25))
    test, validation = made.tables["test"], made.tables["validation"]
    assert sorted(test.examples["text"].to_pylist()) == sorted(text for text, *_ in golden)
    assert validation.examples.num_rows == 10
    (row,) = test.quarantine.to_pylist()
    assert (row["rule"], row["text"]) == ("split_is_closed", long(3, 15))


# --- splits of before -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [None, 10])
def test_published_splits_are_taken_over_row_by_row(groups):
    rows = labelled(*many(60, groups), labels=NAMES).examples
    other = split(rows, SplitsConfig(salt="of before"))
    tables = {name: part.examples for name, part in other.items()}
    known = Entries.none().with_entries(
        imported(splits.earlier_rows(tables, LEDGER, with_groups=True), Entries.none())
    )
    made, _ = with_entries(rows, known)
    assert placed(made.tables) == placed(other)
    assert known.groups.height == (groups or 0)


def test_near_duplicates_in_several_splits_of_before_stay_in_test():
    """They were not looked for then."""
    rows = [(long(n), "xy"[n % 2]) for n in range(38)]
    ends = [(long(99), "x"), (long(99, 15), "x")]
    for salt in range(100):
        table = labelled(*rows, *ends, labels=NAMES).examples
        made = splits.split(table, SplitsConfig(salt=str(salt)), entries=Entries.none(), ledger_id=LEDGER)
        before = placed(made.tables)
        if {before[text] for text, _ in ends} == {"test", "train"}:
            break
    after, _ = with_entries(near(*rows, *ends), Entries.none().with_entries(made.entries), near=NEAR)
    (gone,) = (text for text, _ in ends if before[text] == "train")
    assert placed(after.tables) == {text: split for text, split in before.items() if text != gone}
    (row,) = after.tables["train"].quarantine.to_pylist()
    assert (row["rule"], row["text"]) == ("near_duplicate_across_splits", gone)
    assert (
        row["reason"]
        == "the row belongs to train, and a near duplicate, or another part of its conversation, to test"
    )


# --- Near duplicates that are merged

ALIKE = 40
FIRST = [(" ".join(unlike(9 * i + n) for n in range(9)), "xy"[i % 2]) for i in range(ALIKE)]
SECOND = [(f"{text} indeed", name) for text, name in FIRST]


def sides_of_merged(known, *examples, config=DEFAULT):
    """The split of each pair of `FIRST` and `SECOND`, of which one is kept; and the entries then."""
    rows = labelled(*examples, labels=NAMES)
    # In the order of the rows, of which the first is kept; and no two texts have had one id.
    ids = pc.binary_join_element_wise(rows.examples["example_id"], rows.examples["text"], " ")
    rows = replace(rows, examples=rows.examples.set_column(0, "example_id", ids))
    made = settled(rows, NearDuplicatesConfig(action="merge"))
    assert made.examples.num_rows == ALIKE
    parts, known = with_entries(made.examples, known, config, merged=[rows.merged, made.merged])
    found = placed(parts.tables)
    return [found.get(a) or found.get(b) for (a, _), (b, _) in zip(FIRST, SECOND, strict=True)], known


def test_a_near_duplicate_that_is_kept_instead_of_a_recorded_row_is_in_its_split():
    before, known = sides_of_merged(Entries.none(), *FIRST)
    after, _ = sides_of_merged(known, *SECOND, *FIRST)
    assert after == before and set(before) == set(SPLITS)


def test_a_row_that_was_merged_is_in_the_split_of_the_kept_one_when_it_stands_alone():
    before, known = sides_of_merged(Entries.none(), *FIRST, *SECOND)
    after, _ = sides_of_merged(known, *SECOND)
    assert after == before


def test_a_newer_near_duplicate_that_is_kept_instead_of_a_row_of_before_is_no_newer_than_that():
    """Splits by time would refuse it else, and with it what the model has learnt from."""

    def at(examples, month):
        return [
            (text, name, None, f"2026-{month:02d}-{1 + n % 28:02d}")
            for n, (text, name) in enumerate(examples)
        ]

    before, known = sides_of_merged(Entries.none(), *at(FIRST, 1), config=BY_TIME)
    after, _ = sides_of_merged(known, *at(SECOND, 9)[: ALIKE // 2], *at(FIRST, 1), config=BY_TIME)
    assert after == before and set(before) == set(SPLITS)


def test_merged_rows_are_recorded_once():
    _, known = sides_of_merged(Entries.none(), *FIRST, *SECOND)
    assert known.rows.height == 2 * ALIKE
    assert sides_of_merged(known, *FIRST, *SECOND)[1].rows.height == 2 * ALIKE


# --- Rows that are equal, of which one was there before

SOME = 40


def through(examples, known, config=DEFAULT, cleaning=None, action="cluster"):
    """Raw rows, by their ids, taken through the whole layer; and the entries then."""
    table = raw_table(*examples.values()).set_column(0, "example_id", pa.array([*examples], pa.string()))
    cleaned = clean(table, cleaning or CleaningConfig())
    near = NearDuplicatesConfig(action=action)
    made = settled(label(cleaned.examples, NAMES), near)
    found, known = with_entries(made.examples, known, config, merged=[cleaned.merged, made.merged], near=near)
    left = sum(part.summary["rows_in"] for part in found.tables.values())
    assert {part.summary["rows_of_all"] for part in found.tables.values()} == {left}
    return found.tables, known


def sides(tables):
    """Id → split."""
    return {row: name for name, part in tables.items() for row in part.examples["example_id"].to_pylist()}


def refused(tables):
    """Id → rule, of the quarantined rows."""
    return {row["example_id"]: row["rule"] for part in tables.values() for row in part.quarantine.to_pylist()}


def some(beginning, *, group=None, split=None):
    """Rows of their own, `beginning` of whose ids is given, and each a group of its own if one is."""
    return {
        f"{beginning}{n:02d}": (
            " ".join(unlike(9 * n + k) for k in range(9)),
            "xy"[n % 2],
            group and f"{group}{n:02d}",
            None,
            split,
        )
        for n in range(SOME)
    }


def test_copies_in_a_source_for_train_do_not_take_the_test_set_away():
    before, known = through(some("m"), Entries.none())
    copies = {name: row for name, row in some("a", split="train").items()}
    after, _ = through(some("m") | copies, known)
    assert sides(after) == sides(before) and set(sides(before).values()) == set(SPLITS)
    judging = [row for row, name in sides(before).items() if name != "train"]
    assert refused(after) == {f"a{row[1:]}": "source_for_other_split" for row in judging}
    merged = {row for part in after.values() for row in part.merged["example_id"].to_pylist()}
    assert merged == {f"a{row[1:]}" for row in sides(before)} - set(refused(after))


def test_a_copy_of_another_group_does_not_take_a_row_out_of_test():
    before, known = through(some("m", group="m"), Entries.none())
    at = {name: next(row for row, side in sides(before).items() if side == name) for name in SPLITS}
    copies = {"a00": (*some("m")[at["test"]][:2], f"m{at['train'][1:]}")}
    after, _ = through(copies | some("m", group="m"), known)
    assert sides(after) == sides(before)
    assert refused(after) == {"a00": "group_across_splits"}


def test_a_copy_that_sorts_before_a_row_does_not_take_its_place():
    before, known = through(some("m"), Entries.none())
    first, known = through(some("a") | some("m"), known)
    again, last = through(some("a") | some("m"), known)
    assert sides(again) == sides(first) == sides(before)
    assert again["test"].examples.equals(before["test"].examples)
    assert first["test"].merged.num_rows == before["test"].examples.num_rows
    assert last.rows.height == known.rows.height == 2 * SOME


def with_secrets():
    """Two rows of each text, which differ in what cleaning takes out."""
    return {
        f"{who}{n:02d}": (
            f"{unlike(n)} https://{who}{unlike(99)}:xkcd{who}9@example.org/{unlike(n)}",
            "xy"[n % 2],
        )
        for n in range(SOME)
        for who in "am"
    }


APART = {"cleaning": CleaningConfig(personal_data=[]), "action": "ignore"}


def test_what_cleaning_makes_equal_stays_in_test_and_what_it_tells_apart_again_where_it_was():
    before, known = through(with_secrets(), Entries.none(), **APART)
    where = sides(before)
    equal, known = through(with_secrets(), known)
    first = {}
    for row, side in where.items():
        text = row[1:]
        first[text] = min(first.get(text, side), side, key=("test", "validation", "train").index)
    assert {row[1:]: side for row, side in sides(equal).items()} == first
    assert all(where[row] == side for row, side in sides(equal).items())
    assert set(refused(equal).values()) == {"text_across_splits"}
    again, _ = through(with_secrets(), known, **APART)
    assert sides(again) == where


def test_rows_that_were_merged_when_they_came_in_stay_together_when_they_are_told_apart():
    before, known = through(with_secrets(), Entries.none())
    where = sides(before)
    apart, _ = through(with_secrets(), known, **APART)
    assert len(where) == SOME and refused(apart) == {}
    assert sides(apart) == {f"{who}{row[1:]}": side for row, side in where.items() for who in "am"}
