"""Semantic duplicates: each row with each, in blocks, and no text embedded twice."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.data import embeddings
from ft_assets.data.embeddings import nearest, said, semantic_duplicates, vectors_of
from ft_assets.data.remembered import Memory

SIZE = 64


def unit(rows, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, SIZE))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_bytes(file):
    """A vector that follows from a text alone."""
    return np.array(
        [unit(1, list(text.encode()))[0] for text in pq.read_table(file)["text"].to_pylist()], np.float32
    ).reshape(-1, SIZE)


def table(*texts):
    return pa.table({"context": pa.nulls(len(texts), pa.string()), "text": pa.array(texts, pa.string())})


@pytest.mark.parametrize(("rows", "others"), [(1, 1), (23, 40), (40, 23), (16, 16)])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_blocks_give_what_one_product_of_all_gives(monkeypatch, rows, others, kind):
    monkeypatch.setattr(embeddings, "_BLOCK", 8)
    vectors, among = unit(rows).astype(kind), unit(others, seed=1).astype(kind)
    exact = vectors.astype(np.float64) @ among.astype(np.float64).T
    exact /= np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None]
    exact /= np.linalg.norm(among.astype(np.float64), axis=1)
    found = nearest(vectors, among)
    np.testing.assert_allclose(found.cosine, exact.max(1), atol=1e-6)
    # Two may be as near up to rounding, so not the places are compared.
    np.testing.assert_allclose(exact[np.arange(rows), found.place], exact.max(1), atol=1e-6)


def test_of_equally_near_rows_the_first_counts(monkeypatch):
    monkeypatch.setattr(embeddings, "_BLOCK", 2)
    vectors = unit(3)
    assert nearest(vectors[2:], np.concatenate([vectors, vectors])).place.tolist() == [2]


@pytest.mark.parametrize(("rows", "others"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_is_near_where_there_is_nothing(rows, others):
    found = nearest(unit(rows), unit(others))
    assert found.cosine.tolist() == [-np.inf] * rows and found.place.tolist() == [-1] * rows


def test_a_vector_without_direction_is_near_to_nothing():
    found = nearest(np.zeros((1, SIZE), np.float32), unit(4))
    assert found.cosine.tolist() == [0]


def found_at(threshold, **vectors):
    """What is found in test, where vectors have two components; ids are the split and the place."""
    made = {
        split: np.array(vectors.get(split, np.empty((0, 2)))) for split in ("train", "validation", "test")
    }
    ids = {
        split: pl.Series([f"{split} {place}" for place in range(len(rows))], dtype=pl.String)
        for split, rows in made.items()
    }
    return semantic_duplicates("test", ids, made, threshold)


@pytest.mark.parametrize(("threshold", "rows"), [(0.59, 1), (0.6, 1), (0.6001, 0)])
def test_the_threshold_itself_counts(threshold, rows):
    found = found_at(threshold, train=[[1, 0]], test=[[0.6, 0.8]])
    assert found.pairs.height == rows and found.checked == 1
    assert found.nearest.tolist() == pytest.approx([0.6])


def test_equal_vectors_reach_a_threshold_of_one():
    vectors = unit(200).astype(np.float16)
    ids = {split: pl.Series(range(200)).cast(pl.String) for split in ("train", "validation")}
    both = {"train": vectors, "validation": vectors}
    assert semantic_duplicates("validation", ids, both, 1.0).pairs.height == 200


def test_train_is_looked_at_before_validation_and_the_nearest_pairs_come_first():
    found = found_at(
        0.7,
        train=[[0, 1], [0.8, 0.6]],
        validation=[[1, 0], [-1, 0]],
        test=[[1, 0], [-1, 0], [0.1, -0.995], [0, 1]],
    )
    assert found.pairs.rows() == [
        ("test 1", "validation 1", "validation", pytest.approx(1)),
        ("test 3", "train 0", "train", pytest.approx(1)),
        ("test 0", "train 1", "train", pytest.approx(0.8)),  # though its text stands in validation, too
    ]
    assert found.by_split == {"train": 2, "validation": 1}
    assert found.nearest.tolist() == pytest.approx([1, 1, 0.1, 1], abs=1e-3)


def test_empty_splits_have_no_duplicates():
    found = found_at(0.5, train=[[1, 0]])
    assert (found.checked, found.pairs.height, len(found.nearest)) == (0, 0, 0)
    found = found_at(0.5, test=[[1, 0]])
    assert (found.checked, found.pairs.height, len(found.nearest)) == (1, 0, 0)


def test_a_prompt_is_read_before_its_turns_and_no_system_message():
    turns = [("system", "be brief"), ("user", "first"), ("assistant", "second")]
    context = json.dumps([{"role": role, "content": content} for role, content in turns])
    frame = pl.DataFrame({"context": [None, context], "text": ["alone", "prompt"]})
    assert said(frame).to_list() == ["alone", "prompt\nsecond\nfirst"]


@pytest.fixture
def make(tmp_path, project_data):
    """Vectors of splits; and the texts that each call has embedded."""
    embedded = []

    def note(file):
        embedded.append(pq.read_table(file)["text"].to_pylist())
        return by_bytes(file)

    def make(splits, memory=None):
        scratch = tmp_path / f"scratch {len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        return vectors_of(splits, SIZE, note, memory or Memory(tmp_path / "memory", "model 1"), scratch)

    return make, embedded


def test_only_texts_that_are_new_to_the_model_are_embedded(make, tmp_path):
    make, embedded = make
    first = make({"train": table("a", "b"), "validation": table("c")})
    again = make({"train": table("d", "b", "a"), "validation": table("c")})
    make({"train": table("d", "b", "a"), "validation": table("c")})
    assert embedded == [["a", "b", "c"], ["d"]]
    # What is remembered and what is new are the same vectors, bit for bit.
    np.testing.assert_array_equal(again["train"][[2, 1]], first["train"])
    np.testing.assert_array_equal(again["validation"], first["validation"])
    unremembered = make({"train": table("d", "b", "a"), "validation": table("c")}, Memory())
    np.testing.assert_array_equal(unremembered["train"], again["train"])
    make({"train": table("a")}, Memory(tmp_path / "memory", "model 2"))
    assert embedded[2:] == [["d", "b", "a", "c"], ["a"]]


def test_each_row_has_the_vector_of_its_text_whatever_the_slices(make, monkeypatch):
    make, _ = make
    monkeypatch.setattr("ft_assets.spill.SLICE_ROWS", 3)
    monkeypatch.setattr(embeddings, "_AT_ONCE", 4)
    splits = {
        name: table(*(f"{name} {place % 7}" for place in range(rows)))
        for name, rows in (("train", 10), ("validation", 0), ("test", 5))
    }
    made = make(splits)
    for name, rows in splits.items():
        expected = [unit(1, list(text.encode()))[0].astype(np.float16) for text in rows["text"].to_pylist()]
        np.testing.assert_array_equal(made[name], np.array(expected).reshape(-1, SIZE))


def test_without_any_row_nothing_is_embedded(make):
    make, embedded = make
    made = make({"train": table(), "validation": table(), "test": table()})
    assert [rows.shape for rows in made.values()] == [(0, SIZE)] * 3 and embedded == []
