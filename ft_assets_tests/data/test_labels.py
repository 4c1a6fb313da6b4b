import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig
from ft_assets.data.examples import CLEANED_SCHEMA, LABELED_SCHEMA, QUARANTINE_SCHEMA
from ft_assets.data.labels import label
from ft_assets_tests.data.helpers import labelled, raw_table, rows

NAMES = LabelsConfig(names=["neg", "pos"])
RATING = LabelsConfig(
    thresholds=[{"label": "pos", "above": 0.5}, {"label": "neg", "below": -0.5}, {"label": "neutral"}]
)


def rules(tables):
    return {row["example_id"]: row["rule"] for row in tables.quarantine.to_pylist()}


def test_tables_have_the_schema_of_the_stage():
    tables = labelled(("a", "pos"), ("b", "?"), labels=NAMES)
    assert tables.examples.schema == LABELED_SCHEMA
    assert tables.quarantine.schema == QUARANTINE_SCHEMA


def test_no_rows_are_no_error():
    assert label(CLEANED_SCHEMA.empty_table(), RATING).summary["labels"] == {"pos": 0, "neg": 0, "neutral": 0}


def test_names_are_taken_as_they_are_but_for_white_space_around_them():
    tables = labelled(("a", " pos "), ("b", "POS"), ("c", "neg"), labels=NAMES)
    assert rows(tables, "text", "label") == [("a", "pos"), ("c", "neg")]
    assert rules(tables) == {"e001": "unknown_label"}


def test_a_map_gives_several_spellings_one_label():
    tables = labelled(
        ("a", "5"), ("b", "4"), ("c", "1"), labels=LabelsConfig(map={5: "good", 4: "good", 1: "bad"})
    )
    assert rows(tables, "label") == [("good",), ("good",), ("bad",)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.5", "neutral"),
        ("0.51", "pos"),
        ("-0.5", "neutral"),
        ("-3", "neg"),
        (" 1e0 ", "pos"),
        ("0", "neutral"),
    ],
)
def test_thresholds_are_exclusive_and_the_first_match_wins(value, expected):
    assert rows(labelled(("a", value), labels=RATING), "label") == [(expected,)]


@pytest.mark.parametrize("value", ["two", "0,5", "nan", "inf", "1_0"])
def test_what_is_no_finite_number_is_refused(value):
    assert rules(labelled(("a", value), labels=RATING)) == {"e000": "not_a_number"}


def test_a_number_that_no_threshold_takes_is_refused():
    bounds = LabelsConfig(thresholds=[{"label": "hi", "above": 1}, {"label": "lo", "below": 0}])
    assert rules(labelled(("a", "0.5"), labels=bounds)) == {"e000": "unknown_label"}


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("config", [NAMES, RATING])
def test_a_missing_label_is_refused(value, config):
    assert rules(labelled(("a", value), labels=config)) == {"e000": "missing_label"}


def test_all_rows_of_a_text_with_two_labels_are_refused():
    tables = labelled(("same", "pos"), ("Same ", "neg"), ("other", "pos"), labels=NAMES)
    assert rules(tables) == {"e000": "conflicting_labels", "e001": "conflicting_labels"}
    assert rows(tables, "text") == [("other",)]


def test_a_refused_label_makes_no_conflict():
    assert rows(labelled(("same", "pos"), ("same", "?"), labels=NAMES), "example_id") == [("e000",)]


def test_rows_equal_once_mapped_are_merged_whatever_their_groups():
    spellings = LabelsConfig(map={"p": "pos", "+": "pos", "n": "neg"})
    tables = labelled(("same", "p", "g2"), ("same", "+", "g1"), labels=spellings)
    assert rows(tables, "example_id", "group") == [("e001", "g1")]
    assert tables.merged.to_pylist() == [
        {"example_id": "e000", "merged_into": "e001", "rule": "exact_duplicate"}
    ]


def test_a_cluster_is_the_users_group_or_else_the_text():
    tables = labelled(("a", "pos", "author"), ("b", "neg", None), labels=NAMES)
    # sha256 of "b", 128 bits: splits hang on it
    assert rows(tables, "cluster") == [("g:author",), ("t:3e23e8160039594a33894f6564e1b134",)]


def test_the_summary_counts_labels_in_the_tasks_order_and_clusters():
    summary = labelled(("a", "2", "g"), ("b", "3", "g"), ("c", "-2", "h"), labels=RATING).summary
    assert list(summary["labels"].items()) == [("pos", 2), ("neg", 1), ("neutral", 0)]
    assert summary["clusters"] == 2


def test_unknown_values_are_listed_by_count_masked_and_cut():
    mail, long = "jane.doe@example.org", "x" * 100
    tables = labelled(("a", mail), ("b", mail), ("c", long), ("d", "pos"), labels=NAMES)
    first, second = tables.summary["unknown_values"]
    assert first == {"value": "<EMAIL>", "rows": 2}
    assert second["rows"] == 1
    assert len(second["value"]) == 40


def test_texts_under_several_groups_are_counted():
    tables = labelled(("a", "pos", "1"), ("a", "neg", "2"), labels=NAMES)
    assert tables.summary["texts_in_several_groups"] == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abAB"),
            st.sampled_from(["p", "+", "n", "?", ""]),
            st.sampled_from([None, "g", "h"]),
        ),
        max_size=12,
    )
)
def test_every_row_is_kept_merged_or_refused_and_no_text_is_left_twice(examples):
    spellings = LabelsConfig(map={"p": "pos", "+": "pos", "n": "neg"})
    cleaned = clean(raw_table(*examples), CleaningConfig()).examples
    tables = label(cleaned, spellings)
    parts = (tables.examples, tables.merged, tables.quarantine)
    ids = [each for part in parts for each in part["example_id"].to_pylist()]
    assert sorted(ids) == cleaned["example_id"].to_pylist()
    keys = tables.examples["text_key"].to_pylist()
    assert len(set(keys)) == len(keys)
