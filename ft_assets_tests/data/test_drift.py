"""Drift is told where rows are other ones, and not where more of the same came in."""

import random

import pyarrow as pa
import pytest

from ft_assets.data.config import DriftConfig
from ft_assets.data.drift import compare
from ft_assets.data.examples import LABELED_SCHEMA

SUBJECTS = [
    "parcel",
    "invoice",
    "courier",
    "refund",
    "screen",
    "battery",
    "charger",
    "manual",
    "price",
    "button",
]
VERBS = [
    "arrived",
    "broke",
    "failed",
    "works",
    "came",
    "stopped",
    "helped",
    "vanished",
    "returned",
    "started",
]
MORE = [
    "today",
    "again",
    "late",
    "yesterday",
    "slowly",
    "at once",
    "twice",
    "for nothing",
    "as told",
    "in rain",
]
OTHER = [
    "Rechnung",
    "Paket",
    "nicht",
    "heute",
    "wieder",
    "kaputt",
    "zu",
    "spät",
    "und",
    "danke",
    "bitte",
    "gut",
]
CONFIG = DriftConfig()


def rows(
    first, count, *, words=(SUBJECTS, VERBS, MORE), labels=("x", "y"), weights=(1, 1), seed=0, per_cluster=3
):
    """Labelled rows with ids from a number on; texts of words drawn from the lists, some clauses long."""
    draw = random.Random(seed)
    texts = [
        ", ".join(" ".join(draw.choice(each) for each in words) for _ in range(draw.randint(1, 4)))
        for _ in range(count)
    ]
    ids = [f"{(first + place) * 2654435761 % 2**32:016x}" for place in range(count)]
    columns = {
        "example_id": ids,
        "context": [None] * count,
        "text": texts,
        "text_key": texts,
        "label": draw.choices(labels, weights, k=count),
        "group": [None] * count,
        "time": [None] * count,
        "split": [None] * count,
        "disagreement": [None] * count,
        "corrected": [None] * count,
        "cluster": [f"t:{first}-{place // per_cluster}" for place in range(count)],
    }
    return pa.table({name: columns[name] for name in LABELED_SCHEMA.names}, schema=LABELED_SCHEMA)


LAST = rows(0, 600)


def drifted(now, last=LAST, config=CONFIG, **options):
    return {(each.measure, each.of) for each in compare(last, now, config, **options).drifted}


def both(new):
    return pa.concat_tables([LAST, new])


@pytest.mark.parametrize("seed", range(3))
def test_more_of_the_same_is_no_drift(seed):
    found = compare(LAST, both(rows(1_000, 200, seed=seed + 1)), CONFIG)
    assert (found.new, found.gone) == (200, 0)
    assert {each.of for each in found.measures} == {"all rows", "new rows"}
    assert "classifier" in {each.measure for each in found.measures}
    assert found.drifted == []


def test_the_same_version_is_no_drift_and_has_no_new_rows():
    found = compare(LAST, LAST, CONFIG)
    assert (found.new, found.gone, found.drifted) == (0, 0, [])
    assert {each.of for each in found.measures} == {"all rows"}


def test_other_labels_of_new_rows_are_drift_although_the_whole_has_hardly_changed():
    now = both(rows(1_000, 120, seed=1, weights=(1, 0)))
    assert drifted(now) == {("labels", "new rows")}


def test_corrected_labels_are_drift_of_all_rows():
    place = LAST.schema.get_field_index("label")
    corrected = LAST.set_column(place, "label", pa.array(["x"] * 600))
    assert drifted(corrected) == {("labels", "all rows")}


def test_a_label_that_is_new_is_drift():
    now = both(rows(1_000, 200, seed=1, labels=("x", "y", "z"), weights=(1, 1, 1)))
    assert ("labels", "new rows") in drifted(now)


def test_shorter_texts_are_drift():
    place = LAST.schema.get_field_index("text")
    new = rows(1_000, 200, seed=1)
    short = new.set_column(place, "text", pa.array([text[:8] for text in new["text"].to_pylist()]))
    assert ("lengths", "new rows") in drifted(both(short))


def test_another_language_is_drift_of_words_and_told_by_a_classifier():
    now = both(rows(1_000, 200, seed=1, words=(OTHER, OTHER, OTHER)))
    found = drifted(now)
    assert {("vocabulary", "new rows"), ("new words", "new rows"), ("classifier", "new rows")} <= found


def test_rows_that_are_gone_are_drift_where_they_were_of_one_label():
    keep = pa.array([label == "x" for label in LAST["label"].to_pylist()])
    found = compare(LAST, LAST.filter(keep), CONFIG)
    assert found.gone > 200 and ("labels", "all rows") in {(each.measure, each.of) for each in found.drifted}


def test_of_few_rows_nothing_is_said():
    few = compare(LAST, both(rows(1_000, 99, seed=1, weights=(1, 0))), CONFIG)
    assert {each.of for each in few.measures} == {"all rows"}
    assert compare(rows(0, 50), rows(1_000, 50), CONFIG).measures == []


def test_new_rows_of_one_author_are_not_judged_by_a_classifier():
    one = rows(1_000, 200, seed=1, per_cluster=200)
    assert "classifier" not in {each.measure for each in compare(LAST, both(one), CONFIG).measures}


def test_answers_are_read_and_not_counted_as_classes():
    place = LAST.schema.get_field_index("label")
    new = rows(1_000, 200, seed=1)
    told = new.set_column(place, "label", pa.array([" ".join(OTHER)] * 200))
    found = compare(LAST, both(told), CONFIG, classes=False)
    assert "labels" not in {each.measure for each in found.measures}
    assert ("vocabulary", "new rows") in {(each.measure, each.of) for each in found.drifted}


def test_the_same_rows_in_another_order_give_the_same_numbers():
    now = both(rows(1_000, 200, seed=1))
    order = list(range(now.num_rows))
    random.Random(1).shuffle(order)
    assert compare(LAST, now.take(order), CONFIG).as_dict() == compare(LAST, now, CONFIG).as_dict()


def test_it_holds_numbers_and_no_text():
    told = str(compare(LAST, both(rows(1_000, 200, seed=1)), CONFIG).as_dict())
    assert not [word for word in (*SUBJECTS, *VERBS) if word in told]


def test_limits_are_the_tasks():
    now = both(rows(1_000, 120, seed=1, weights=(1, 0)))
    assert drifted(now, config=DriftConfig(labels=9)) == set()
