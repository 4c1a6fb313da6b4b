"""What becomes of near duplicates; how they are found is in `test_duplicates`."""

import random
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ft_assets.data.answers import answer
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig, NearDuplicatesConfig
from ft_assets.data.examples import LABELED_SCHEMA, MERGED_SCHEMA, PAIRS_SCHEMA
from ft_assets.data.labels import cluster_key
from ft_assets.data.near_duplicates import settled
from ft_assets.data.texts import text_keys
from ft_assets_tests.data.helpers import conversation_table, labelled, rows, unlike

NAMES = LabelsConfig(names=["neg", "pos"])
RADIO = "The radio looks great and feels solid"


def settle(*examples, **settings):
    """Raw rows of (text, label[, group]) taken through cleaning, labelling and what is tested here."""
    return settled(labelled(*examples, labels=NAMES), NearDuplicatesConfig(**settings))


def settle_conversations(*examples, **settings):
    cleaned = clean(conversation_table(*examples), CleaningConfig(), conversations=True)
    return settled(answer(cleaned.examples), NearDuplicatesConfig(**settings))


def clusters(made):
    return dict(rows(made, "example_id", "cluster"))


def merged(made):
    return {row["example_id"]: (row["merged_into"], row["rule"]) for row in made.merged.to_pylist()}


# --- Clusters


def test_near_duplicates_stay_and_share_a_cluster():
    made = settle((RADIO, "pos"), (f"{RADIO}!", "pos"), (unlike(1), "neg"))
    found = clusters(made)
    assert found["e000"] == found["e001"] != found["e002"]
    assert made.near_duplicates.to_pylist() == [
        # 34 shingles of four characters and one more.
        {"example_id_a": "e000", "example_id_b": "e001", "similarity": pytest.approx(34 / 35)}
    ]


def test_a_cluster_goes_by_the_smallest_key_of_its_parts():
    made = settle(
        (RADIO, "pos", "b"), (f"{RADIO}!", "pos", "c"), (f"{RADIO}!!", "pos"), (unlike(1), "neg", "c")
    )
    assert set(clusters(made).values()) == {"g:b"}


def test_what_has_no_near_duplicate_keeps_the_cluster_that_it_had():
    before = labelled((RADIO, "pos"), (unlike(1), "neg", "a"), labels=NAMES)
    made = settled(before, NearDuplicatesConfig())
    assert made.examples.equals(before.examples)
    assert clusters(made)["e001"] == "g:a"


def test_clusters_are_connected_through_others():
    chain = ["abcdefghijklmnopqrst", "abcdefghijklmnopqrstuvwx", "efghijklmnopqrstuvwx"]
    made = settle(*((text, "pos") for text in chain))
    pairs = {(row["example_id_a"], row["example_id_b"]) for row in made.near_duplicates.to_pylist()}
    assert pairs == {("e000", "e001"), ("e001", "e002")}  # the first and the last one have 13 of 21 in common
    assert len(set(clusters(made).values())) == 1


def test_of_a_conversation_the_prompt_counts_and_what_stood_before():
    before = [{"role": "user", "content": "Tell me about the radio in the kitchen."}]
    made = settle_conversations(
        {"text": RADIO, "label": "yes"},
        {"text": f"{RADIO}?", "label": "no, never"},
        {"text": RADIO, "label": "yes", "context": before},
        {"text": unlike(1), "label": "yes"},
    )
    found = clusters(made)
    assert found["e000"] == found["e001"]
    assert len({found["e000"], found["e002"], found["e003"]}) == 3


def test_several_answers_to_one_prompt_go_with_its_near_duplicates():
    made = settle_conversations(
        {"text": RADIO, "label": "yes"},
        {"text": RADIO, "label": "no"},
        {"text": f"{RADIO}?", "label": "perhaps"},
    )
    assert len(set(clusters(made).values())) == 1
    assert made.near_duplicates.num_rows == 1  # texts are compared, not rows


# --- Merging


def test_merging_keeps_the_row_with_the_smallest_group_and_id():
    made = settle((RADIO, "pos", "b"), (f"{RADIO}!", "pos", "a"), (unlike(1), "neg"), action="merge")
    assert merged(made) == {"e000": ("e001", "near_duplicate")}
    assert rows(made, "example_id") == [("e001",), ("e002",)]
    assert made.summary["by_rule"] == {"near_duplicate": 1}
    assert made.summary["labels"] == {"neg": 1, "pos": 1}


def test_merging_keeps_the_row_that_a_person_has_corrected():
    made = labelled((RADIO, "pos", "a"), (f"{RADIO}!", "pos", "b"), (unlike(1), "neg"), labels=NAMES)
    days = pa.array([None, "2026-01-31", None], pa.string())
    place = LABELED_SCHEMA.get_field_index("corrected")
    made = replace(made, examples=made.examples.set_column(place, LABELED_SCHEMA.field(place), days))
    made = settled(made, NearDuplicatesConfig(action="merge"))
    assert merged(made) == {"e000": ("e001", "near_duplicate")}
    assert rows(made, "example_id", "corrected") == [("e001", "2026-01-31"), ("e002", None)]


def test_a_row_of_a_source_for_test_is_merged_into_none_for_train():
    made = settle(
        (RADIO, "pos", None, None, "train"), (f"{RADIO}!", "pos", None, None, "test"), action="merge"
    )
    assert merged(made) == {"e000": ("e001", "near_duplicate")}


def test_rows_with_other_labels_are_not_merged_and_share_a_cluster():
    made = settle((RADIO, "pos"), (f"{RADIO}!", "neg"), action="merge")
    assert merged(made) == {}
    assert len(set(clusters(made).values())) == 1
    assert made.summary["near_duplicates"]["other_labels"] == 1


def test_only_what_was_compared_with_the_row_kept_is_merged_into_it():
    chain = ["abcdefghijklmnopqrst", "abcdefghijklmnopqrstuvwx", "efghijklmnopqrstuvwx"]
    made = settle(*((text, "pos") for text in chain), action="merge")
    assert merged(made) == {"e001": ("e000", "near_duplicate")}
    # The last one was only near to what is gone: nothing that is left holds it to the first one.
    assert len(set(clusters(made).values())) == 2


def test_prompts_are_merged_where_their_answers_are_equal():
    made = settle_conversations(
        {"text": RADIO, "label": "yes"},
        {"text": f"{RADIO}?", "label": "yes"},
        {"text": f"{RADIO}?", "label": "no"},
        action="merge",
    )
    assert merged(made) == {"e001": ("e000", "near_duplicate")}
    assert len(set(clusters(made).values())) == 1
    assert made.summary["answer_lengths"]["after"]["max"] == 3


def test_plain_texts_are_merged_too():
    made = settle_conversations({"text": RADIO}, {"text": f"{RADIO}?"}, action="merge")
    assert list(merged(made)) == ["e001"]
    assert made.summary["without_answer"] == 1


def test_ignored_means_not_looked_for():
    before = labelled((RADIO, "pos"), (f"{RADIO}!", "pos"), labels=NAMES)
    assert settled(before, NearDuplicatesConfig(action="ignore")) is before


# --- What is told


def test_the_summary_counts_pairs_by_similarity_and_names_the_largest_clusters_by_an_id():
    made = settle(
        (RADIO, "pos", "jane"),
        (f"{RADIO}!", "neg", "joe"),
        (f"{RADIO} and loud", "pos"),
        (unlike(1), "neg", "joe"),
    )
    told = made.summary["near_duplicates"]
    assert (told["pairs"], told["rows"], told["other_labels"], told["clusters"]) == (3, 3, 2, 1)
    assert told["by_similarity"] == {"0.8 to 0.9": 2, "0.9 to 1.0": 1}
    assert told["largest"] == [{"example_id": "e000", "rows": 4}]
    assert "jane" not in str(told) and RADIO.lower() not in str(told).lower()


def test_no_rows_are_no_error():
    made = settle(("x", "?"))
    assert made.examples.schema == LABELED_SCHEMA
    assert made.near_duplicates.schema == PAIRS_SCHEMA
    assert made.summary["near_duplicates"]["pairs"] == 0


def test_a_threshold_that_most_pairs_are_missed_at_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal"):
        NearDuplicatesConfig(threshold=0.3)


near = st.sampled_from(
    [RADIO, f"{RADIO}!", f"{RADIO} and loud", "abcdefgh", "abcdefghi", "日本語のテキスト", "ok"]
)


@given(
    st.lists(
        st.tuples(near, st.sampled_from(["neg", "pos"]), st.sampled_from([None, "g", "h"])), max_size=10
    ),
    st.sampled_from(["cluster", "merge"]),
    st.randoms(use_true_random=False),
)
def test_every_row_is_accounted_for_whatever_their_order(examples, action, shuffle):
    before = labelled(*examples, labels=NAMES)
    config = NearDuplicatesConfig(action=action)
    made = settled(before, config)
    assert made.merged.schema == MERGED_SCHEMA
    kept, gone = made.examples["example_id"].to_pylist(), made.merged["example_id"].to_pylist()
    were = before.examples["example_id"].to_pylist() + before.merged["example_id"].to_pylist()
    assert sorted([*kept, *gone]) == sorted(were)
    near = [into for into, rule in merged(made).values() if rule == "near_duplicate"]
    assert set(near) <= set(kept)
    order = pa.array(shuffle.sample(range(before.examples.num_rows), before.examples.num_rows), pa.int64())
    moved = settled(
        type(before)(before.examples.take(order), before.quarantine, before.merged, before.summary), config
    )
    assert moved.examples.sort_by("example_id").equals(made.examples.sort_by("example_id"))
    assert moved.merged.equals(made.merged)
    assert moved.near_duplicates.equals(made.near_duplicates)


def test_a_text_without_group_has_the_key_of_its_text():
    made = settle((unlike(1), "pos"))
    [key] = text_keys(pl.Series([unlike(1)]))
    assert clusters(made) == {"e000": cluster_key(None, key)}


def test_a_hundred_rows_of_one_form_are_one_cluster():
    draw = random.Random(1)
    made = settle(*((f"{RADIO}, said number {draw.randrange(10**6)}", "pos") for _ in range(100)))
    assert len(set(clusters(made).values())) == 1
