import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig
from ft_assets.data.corrections import Correction
from ft_assets.data.examples import CLEANED_SCHEMA, LABELED_SCHEMA, QUARANTINE_SCHEMA
from ft_assets.data.labels import label
from ft_assets.data.ratings import as_label
from ft_assets.data.rulings import rulings
from ft_assets_tests.data.helpers import corrected, labelled, rated, raw_table, rows

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
    assert tables.merged.select(["example_id", "merged_into", "rule", "group"]).to_pylist() == [
        {"example_id": "e000", "merged_into": "e001", "rule": "exact_duplicate", "group": "g2"}
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


def test_the_label_that_most_raters_are_for_is_that_of_the_text_with_the_share_of_the_others():
    tables = rated(("a", ["pos", "pos", "neg"]), ("b", ["neg"]), labels=NAMES)
    assert rows(tables, "text", "label", "disagreement") == [("a", "pos", 1 / 3), ("b", "neg", 0.0)]
    assert tables.summary["ratings"] == {
        "ratings": 4,
        "unusable": 0,
        "contested": 1,
        "mean_disagreement": 0.166667,
    }


def test_a_text_whose_raters_are_undecided_is_refused():
    tables = rated(("a", ["pos", "neg"]), ("b", ["neg"]), labels=NAMES)
    assert rules(tables) == {"e000": "tied_ratings"}


def test_ratings_of_rows_with_one_text_are_counted_together():
    tables = rated(("Same", ["pos"]), ("same", ["neg"]), ("same ", ["neg", "neg"]), labels=NAMES)
    assert rows(tables, "example_id", "label", "disagreement") == [("e000", "neg", 0.25)]
    assert tables.merged["merged_into"].to_pylist() == ["e000", "e000"]


def test_a_rating_that_is_no_label_does_not_count_and_is_listed():
    tables = rated(("a", ["pos", "?", "?"]), ("b", ["?"]), ("c", None), labels=NAMES)
    assert rows(tables, "text", "label", "disagreement") == [("a", "pos", 0.0)]
    assert rules(tables) == {"e001": "unknown_label", "e002": "missing_label"}
    assert tables.summary["unknown_values"] == [{"value": "?", "rows": 3}]
    assert tables.summary["ratings"]["unusable"] == 3


def test_ratings_of_rows_that_are_equal_are_counted_once_in_all():
    tables = rated(("a", ["pos"]), ("a", ["pos"]), ("a", ["neg"]), ("b", ["?"]), ("b", ["?"]), labels=NAMES)
    assert rows(tables, "text", "label", "disagreement") == [("a", "pos", 1 / 3)]
    assert (tables.summary["ratings"]["ratings"], tables.summary["ratings"]["unusable"]) == (3, 2)


def test_personal_data_in_a_rating_is_replaced_and_the_others_count():
    tables = rated(("a", ["pos\nanna@example.com", "pos", "neg", "pos"]), labels=NAMES)
    assert rows(tables, "label", "disagreement") == [("pos", 1 / 3)]
    assert tables.summary["unknown_values"] == [{"value": "pos <EMAIL>", "rows": 1}]


def test_numbers_are_averaged_before_the_thresholds():
    tables = rated(("a", ["2", "2", "-3"]), ("b", ["-1", "-1", "1"]), labels=RATING)
    # Means 0.33 and -0.33: neutral, though most ratings of each are for another label.
    assert rows(tables, "label", "disagreement") == [("neutral", 1.0), ("neutral", 1.0)]


def test_numbers_may_vote_as_labels_do():
    config = RATING.model_copy(update={"ratings": "majority"})
    tables = rated(("a", ["2", "2", "-3"]), labels=config)
    assert rows(tables, "label", "disagreement") == [("pos", 1 / 3)]


def test_a_correction_has_the_last_word():
    tables = corrected(("a", "pos"), ("b", "neg"), labels=NAMES, by=[("e000", "neg")])
    assert rows(tables, "text", "label", "corrected") == [("a", "neg", "2026-01-31"), ("b", "neg", None)]
    assert tables.summary["corrections"] == {
        "lines": 1,
        "texts": 1,
        "unused": 0,
        "unused_ids": [],
        "relabelled": 1,
    }


@pytest.mark.parametrize("raw", ["?", None])
def test_a_correction_labels_what_had_no_label(raw):
    assert rows(corrected(("a", raw), labels=NAMES, by=[("e000", "pos")]), "label") == [("pos",)]


def test_a_correction_settles_a_conflict():
    tables = corrected(("same", "pos"), ("same", "neg"), labels=NAMES, by=[("e001", "neg")])
    assert rows(tables, "example_id", "label") == [("e000", "neg")]
    assert tables.merged["example_id"].to_pylist() == ["e001"]
    assert tables.quarantine.num_rows == 0


def test_a_correction_settles_a_tie_and_the_disagreement_is_with_its_label():
    cleaned = clean(
        raw_table(("a", as_label([(None, "pos"), (None, "neg"), (None, "neg")]))),
        CleaningConfig(),
        rated=True,
    )
    lines = [Correction("e000", "pos", "Ann", "2026-01-31T00:00:00.000000+00:00", line=1)]
    tables = label(
        cleaned.examples, NAMES, rated=True, rulings=rulings(lines, cleaned.examples, cleaned.merged)
    )
    assert rows(tables, "label", "disagreement") == [("pos", 2 / 3)]


def test_a_rejected_row_is_out_with_the_line_that_says_so():
    tables = corrected(("a", "pos"), ("b", "neg"), labels=NAMES, by=[("e000", "reject")])
    assert rules(tables) == {"e000": "rejected"}
    assert tables.quarantine["reason"].to_pylist() == [
        "a correction takes it out (line 1 of the corrections)"
    ]
    assert rows(tables, "text") == [("b",)]


def test_where_a_label_is_called_reject_it_is_that_label():
    tables = corrected(("a", "ok"), labels=LabelsConfig(names=["ok", "reject"]), by=[("e000", "reject")])
    assert rows(tables, "label") == [("reject",)]


def test_nothing_of_corrections_is_told_where_there_are_none():
    assert "corrections" not in labelled(("a", "pos"), labels=NAMES).summary


@given(
    st.lists(
        st.tuples(st.sampled_from("abA"), st.lists(st.sampled_from(["pos", "neg", "?"]), max_size=3)),
        max_size=8,
    ),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["pos", "neg", "reject"])), max_size=4),
)
def test_with_ratings_and_corrections_every_row_is_kept_merged_or_refused(examples, changes):
    table = raw_table(*((text, as_label((None, each) for each in said)) for text, said in examples))
    cleaned = clean(table, CleaningConfig(), rated=True)
    lines = [
        Correction(f"e{row:03d}", to, "Ann", f"2026-01-31T00:00:00.00000{place}+00:00", line=place)
        for place, (row, to) in enumerate(changes)
    ]
    held = rulings(lines, cleaned.examples, cleaned.merged)
    tables = label(cleaned.examples, NAMES, rated=True, rulings=held)
    parts = (tables.examples, tables.merged, tables.quarantine)
    ids = [each for part in parts for each in part["example_id"].to_pylist()]
    assert sorted(ids) == cleaned.examples["example_id"].to_pylist()
    said = dict(held.texts.select("text_key", "ruling").iter_rows())
    for row in tables.examples.to_pylist():
        assert row["label"] == said.get(row["text_key"], row["label"])


# --- sources that are for one split -------------------------------------------------------------------------------


def test_a_row_of_a_source_for_test_has_the_last_word_over_another_label_elsewhere():
    tables = labelled(("a", "pos", None, None, "test"), ("a", "neg", None, None, "train"), labels=NAMES)
    assert rows(tables, "example_id", "label", "split") == [("e000", "pos", "test")]
    assert rules(tables) == {"e001": "conflicting_labels"}


def test_rows_of_a_source_for_test_that_disagree_go_with_all_others_of_their_text():
    labels = LabelsConfig(names=["neg", "pos", "neutral"])
    tables = labelled(
        ("a", "pos", None, None, "test"), ("a", "neg", None, None, "test"), ("a", "neutral"), labels=labels
    )
    assert tables.examples.num_rows == 0
    assert rules(tables) == dict.fromkeys(["e000", "e001", "e002"], "conflicting_labels")


def test_a_row_of_a_source_for_train_has_no_last_word():
    """A row that was drawn for test would be lost to it."""
    tables = labelled(("a", "pos", None, None, "train"), ("a", "neg"), labels=NAMES)
    assert rules(tables) == dict.fromkeys(["e000", "e001"], "conflicting_labels")


def rated_by_sources(*rows):
    """Label rows of (text, ratings, split) by their raters."""
    table = raw_table(
        *((text, as_label(said) if said else None, None, None, split) for text, said, split in rows)
    )
    return label(clean(table, CleaningConfig(), rated=True).examples, NAMES, rated=True)


@pytest.mark.parametrize("raters", [["b"], ["b", "c"]])
@pytest.mark.parametrize(
    ("split", "other"), [("test", "validation"), ("validation", "train"), ("test", None)]
)
def test_ratings_of_other_sources_do_not_outvote_those_for_test_then_validation(raters, split, other):
    tables = rated_by_sources(
        ("a", [("x", "pos")], split), *(("a", [(rater, "neg")], other) for rater in raters)
    )
    assert rows(tables, "example_id", "label", "disagreement") == [("e000", "pos", 0.0)]
    assert tables.merged.num_rows == len(raters) and tables.quarantine.num_rows == 0
    assert tables.summary["ratings"]["ratings"] == 1


def test_ratings_of_sources_for_train_and_for_no_split_count_the_same():
    tables = rated_by_sources(
        ("a", [("x", "pos")], "train"), ("a", [("y", "neg")], None), ("a", [("z", "neg")], None)
    )
    assert rows(tables, "label") == [("neg",)]


def test_where_a_row_for_test_has_no_rating_those_of_the_others_are_for_the_others():
    tables = rated_by_sources(("a", None, "test"), ("a", [("y", "neg")], None))
    assert rules(tables) == {"e000": "missing_label"}
    assert rows(tables, "example_id", "label") == [("e001", "neg")]
