import numpy as np
import pyarrow as pa
import pytest

from ft_assets.data.relabelling import QUEUE_SCHEMA, codes_of, drawn, folds, queue

LABELS = ["neg", "pos"]


def table(*rows: tuple[str, float | None, str | None], clusters: list[str] | None = None) -> pa.Table:
    """Labelled rows e0, e1, … of (label, disagreement, corrected)."""
    count = range(len(rows))
    return pa.table(
        {
            "example_id": [f"e{place}" for place in count],
            "text": [f"text {place}" for place in count],
            "label": [label for label, _, _ in rows],
            "cluster": clusters or [f"t:{place}" for place in count],
            "disagreement": pa.array([each for _, each, _ in rows], pa.float64()),
            "corrected": pa.array([each for _, _, each in rows], pa.string()),
        }
    )


def suspicious(wrong: dict[int, float], rows: list[str]) -> np.ndarray:
    """A model that is for the label of each row, but for the other one of these, with these probabilities."""
    found = np.array([[0.9, 0.1] if label == "neg" else [0.1, 0.9] for label in rows])
    for place, p in wrong.items():
        found[place] = [1 - p, p] if rows[place] == "neg" else [p, 1 - p]
    return found


GIVEN = ["neg", "pos"] * 10


def test_the_queue_has_the_suspects_in_their_order_with_what_is_suggested() -> None:
    rows = table(*((label, 0.25 if place == 4 else None, None) for place, label in enumerate(GIVEN)))
    made, summary = queue(rows, suspicious({4: 0.95, 7: 0.99}, GIVEN), LABELS, most=10)
    assert made.schema == QUEUE_SCHEMA
    assert made.to_pylist() == [
        {
            "rank": 1,
            "example_id": "e7",
            "text": "text 7",
            "label": "pos",
            "suggested": "neg",
            "score": 0.01,
            "confidence": 0.99,
            "disagreement": None,
        },
        {
            "rank": 2,
            "example_id": "e4",
            "text": "text 4",
            "label": "neg",
            "suggested": "pos",
            "score": 0.05,
            "confidence": 0.95,
            "disagreement": 0.25,
        },
    ]
    assert summary == {
        "judged": 20,
        "suspects": 2,
        "kept": 2,
        "wrong_share": 0.1,
        "agreement": 0.9,
        "pairs": [
            {"label": "neg", "suggested": "pos", "rows": 1},
            {"label": "pos", "suggested": "neg", "rows": 1},
        ],
    }


def test_it_is_no_longer_than_wanted() -> None:
    made, summary = queue(
        table(*((label, None, None) for label in GIVEN)),
        suspicious({4: 0.95, 7: 0.99}, GIVEN),
        LABELS,
        most=1,
    )
    assert made["example_id"].to_pylist() == ["e7"]
    assert (summary["suspects"], summary["kept"]) == (2, 1)


def test_what_somebody_has_corrected_is_not_asked_again() -> None:
    rows = table(*((label, None, "2026-01-31" if place == 7 else None) for place, label in enumerate(GIVEN)))
    made, summary = queue(rows, suspicious({4: 0.95, 7: 0.99}, GIVEN), LABELS, most=10)
    assert made["example_id"].to_pylist() == ["e4"]
    assert (summary["judged"], summary["suspects"]) == (20, 1)


def test_no_suspects_are_no_error() -> None:
    made, summary = queue(
        table(*((label, None, None) for label in GIVEN)), suspicious({}, GIVEN), LABELS, most=10
    )
    assert made.num_rows == summary["suspects"] == 0
    assert made.schema == QUEUE_SCHEMA


def test_a_draw_takes_whole_clusters_and_the_same_ones_whatever_the_order() -> None:
    clusters = [f"g:{place // 3}" for place in range(60)]
    rows = table(*[("neg", None, None)] * 60, clusters=clusters)
    taken = drawn(rows, 30)
    assert 27 < taken.num_rows <= 30  # a cluster has three rows
    assert all(clusters.count(each) == 3 for each in taken["cluster"].to_pylist())
    mixed = drawn(rows.take(pa.array(np.random.default_rng(0).permutation(60))), 30)
    assert set(mixed["example_id"].to_pylist()) == set(taken["example_id"].to_pylist())
    assert drawn(rows, 60) is rows


@pytest.mark.parametrize("large", [f"g:large {number}" for number in range(10)])
def test_a_cluster_that_is_too_large_keeps_no_other_one_out(large: str) -> None:
    # Whether it comes first in the order of the hashes or last: of ten keys some come early.
    clusters = [large] * 31 + [f"t:{place}" for place in range(40)]
    taken = drawn(table(*[("neg", None, None)] * 71, clusters=clusters), 30)
    assert taken.num_rows == 30 and large not in taken["cluster"].to_pylist()


def test_folds_keep_clusters_together_and_are_nearly_equal() -> None:
    clusters = [f"g:{place // 4}" for place in range(200)]
    found = folds(pa.chunked_array([clusters]), 5)
    assert all(len(set(found[start : start + 4])) == 1 for start in range(0, 200, 4))
    # Each cluster of four goes where fewest rows are.
    assert np.bincount(found).tolist() == [40] * 5


@pytest.mark.parametrize("number", [1, 2])
def test_fewer_clusters_than_folds_leave_folds_empty(number: int) -> None:
    clusters = [f"g:{place % number}" for place in range(10)]
    assert len(set(folds(pa.chunked_array([clusters]), 5).tolist())) == number


def test_labels_are_their_places_among_the_tasks() -> None:
    assert codes_of(pa.chunked_array([["pos"], ["neg", "pos"]]), LABELS).tolist() == [1, 0, 1]
