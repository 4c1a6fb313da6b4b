import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig, SplitsConfig
from ft_assets.data.examples import LABELED_SCHEMA, SPLIT_SCHEMA
from ft_assets.data.labels import label
from ft_assets.data.splits import SPLITS, split, split_of, uniform
from ft_assets_tests.data.helpers import labelled, planted_tickets

NAMES = LabelsConfig(names=["x", "y"])
DEFAULT = SplitsConfig()


def places(*examples, config=DEFAULT):
    """Text → split of rows taken through the whole layer."""
    parts = split(labelled(*examples, labels=NAMES).examples, config)
    return {text: name for name, part in parts.items() for text in part.examples["text"].to_pylist()}


def many(count, groups=None):
    return [(f"text {i}", "xy"[i % 2], f"g{i % groups}" if groups else None) for i in range(count)]


def test_tables_have_the_schema_of_the_stage_and_cover_all_rows():
    rows = labelled(*many(60), labels=NAMES).examples
    parts = split(rows, DEFAULT)
    assert {part.examples.schema for part in parts.values()} == {SPLIT_SCHEMA}
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


def test_shares_are_met_on_average():
    # 20,000 clusters: the standard deviation of a share of 0.15 is 0.0025; four of them are 0.01.
    names = [split_of(f"g:{index}", SplitsConfig(validation=0.15, test=0.15)) for index in range(20_000)]
    assert names.count("test") / 20_000 == pytest.approx(0.15, abs=0.01)
    assert names.count("validation") / 20_000 == pytest.approx(0.15, abs=0.01)


def test_the_number_of_a_cluster_stays_the_same_for_ever():
    # Written down once: another value here would draw the splits of every user's task anew.
    names = "".join(split_of(f"g:{index}", DEFAULT)[:2] for index in range(12))
    assert names == "trtrtetrtrtrtrtrtrtetrtr"


def test_another_salt_is_another_draw():
    keys = [f"g:{index}" for index in range(200)]
    draws = [[split_of(key, SplitsConfig(salt=salt)) for key in keys] for salt in ("a", "b")]
    assert draws[0] != draws[1]


def test_salt_and_key_do_not_run_into_one_another():
    assert uniform("bc", "a") != uniform("c", "ab")


def test_another_validation_share_leaves_test_as_it_is():
    keys = [f"g:{index}" for index in range(500)]
    small, large = (
        {k for k in keys if split_of(k, SplitsConfig(validation=v)) == "test"} for v in (0.1, 0.4)
    )
    assert small == large


examples = st.tuples(
    st.sampled_from([f"text {i}" for i in range(6)]), st.sampled_from("xy"), st.sampled_from([None, "a", "b"])
)


@given(st.lists(examples, max_size=10), st.lists(examples, max_size=10))
def test_no_row_moves_when_rows_are_added_unless_its_text_turns_up_under_a_smaller_group(first, more):
    before, after = places(*first), places(*first, *more)

    def smallest(rows, text):
        return min(group or "" for each, _, group in rows if each == text)

    for text in before.keys() & after.keys():
        if smallest([*first, *more], text) == smallest(first, text):
            assert before[text] == after[text]


@given(st.lists(examples, max_size=8), st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    moved = list(rows)
    random.shuffle(moved)
    assert places(*moved) == places(*rows)


@given(st.lists(examples, max_size=12))
def test_labels_do_not_matter(rows):
    assert places(*((text, "x", group) for text, _, group in rows)) == places(
        *((text, "y", group) for text, _, group in rows)
    )


def test_no_exact_duplicate_stands_in_two_splits_even_under_several_groups():
    rows = [(f"text {i % 50}", "x", f"g{i}") for i in range(200)]
    parts = split(labelled(*rows, labels=NAMES).examples, DEFAULT)
    texts = [text for part in parts.values() for text in part.examples["text"].to_pylist()]
    assert len(texts) == len(set(texts)) == 50


def test_the_summary_tells_the_imbalance_and_its_place():
    parts = split(labelled(*many(400), labels=NAMES).examples, DEFAULT)
    summary = parts["test"].summary
    assert summary["overall_label_shares"] == {"x": 0.5, "y": 0.5}
    assert sum(part.summary["kept"] for part in parts.values()) == summary["rows_of_all"] == 400
    place = summary["largest_deviation"]
    assert place["split"] == "test"
    assert place["deviation"] == pytest.approx(summary["label_shares"][place["label"]] - 0.5, abs=1e-6)


def test_the_planted_authors_stay_together():
    config = LabelsConfig.model_validate(
        {"map": {"pos": "a", "positive": "a", "+": "a", "neg": "b", "neu": "c"}}
    )
    rows = label(clean(planted_tickets().examples, CleaningConfig()).examples, config).examples
    parts = split(rows, DEFAULT)
    where = [set(parts[name].examples["cluster"].to_pylist()) for name in SPLITS]
    assert not (where[0] & where[1]) | (where[0] & where[2]) | (where[1] & where[2])
    assert all(key.startswith("g:author-") for keys in where for key in keys)
