"""The baselines: what they predict, what they may see, and how good they are on the sample."""

import hashlib

import pyarrow as pa
import pytest
from sklearn.metrics import f1_score

from ft_assets.errors import UserError
from ft_assets.evaluation import baselines
from ft_assets.evaluation.baselines import run
from ft_assets_tests.evaluation.helpers import LABELS

GOOD, BAD = "a splendid, lovely thing", "an awful, broken thing"


def split(rows: int, start: int = 0) -> pa.Table:
    texts = [f"{GOOD if i % 3 else BAD} number {i}" for i in range(start, start + rows)]
    return pa.table(
        {
            "example_id": [f"{i:04}" for i in range(start, start + rows)],
            "text": texts,
            "label": ["positive" if GOOD in text else "negative" for text in texts],
        }
    )


TRAIN, VALIDATION, TEST = split(60), split(20, 100), split(20, 200)


def test_majority_predicts_the_most_frequent_label_of_the_train_split():
    result = run(["majority"], TRAIN, VALIDATION, TEST, LABELS)["majority"]
    assert result.predictions["prediction"].to_pylist() == ["positive"] * 20
    assert result.settings == {"label": "positive", "share_of_train": 40 / 60}


def test_majority_takes_the_first_label_of_equals():
    even = TRAIN.set_column(2, "label", pa.array(["positive", "negative"] * 30))
    assert run(["majority"], even, VALIDATION, TEST, LABELS)["majority"].settings["label"] == "negative"


def test_tfidf_learns_what_words_tell():
    result = run(["tfidf"], TRAIN, VALIDATION, TEST, LABELS)["tfidf"]
    assert result.predictions["example_id"].to_pylist() == TEST["example_id"].to_pylist()
    assert result.predictions["prediction"].to_pylist() == TEST["label"].to_pylist()


def test_tfidf_says_what_it_chose_and_on_what():
    settings = run(["tfidf"], TRAIN, VALIDATION, TEST, LABELS)["tfidf"].settings
    scores = settings["validation_f1_macro"]
    assert scores[str(settings["C"])] == max(scores.values())
    assert (settings["tuned_on"], settings["fitted_on"]) == ("validation", "train")


def test_tfidf_does_without_validation_rows():
    settings = run(["tfidf"], TRAIN, VALIDATION.slice(0, 0), TEST, LABELS)["tfidf"].settings
    assert settings["tuned_on"] == "nothing: no validation rows"


def test_the_same_seed_gives_the_same_predictions():
    first, second = (run(["tfidf"], TRAIN, VALIDATION, TEST, LABELS, 3)["tfidf"] for _ in range(2))
    assert first.predictions.equals(second.predictions)


def test_no_baseline_sees_a_label_of_the_test_rows(monkeypatch):
    seen = {}

    def curious(splits):
        seen["columns"] = splits.test.column_names
        return ["negative"] * splits.test.num_rows, {}

    monkeypatch.setattr(baselines, "BASELINES", {"curious": curious})
    run(["curious"], TRAIN, VALIDATION, TEST, LABELS)
    assert "label" not in seen["columns"]


def test_rows_without_a_word_are_told_apart_by_their_characters():
    faces = pa.array([("☺☺" if i % 2 else "☹☹") for i in range(60)])
    table = TRAIN.set_column(1, "text", faces).set_column(2, "label", pa.array(["negative", "positive"] * 30))
    result = run(["tfidf"], table, table, table, LABELS)["tfidf"]
    assert result.predictions["prediction"].to_pylist() == table["label"].to_pylist()


def test_an_unknown_baseline_names_the_known_ones():
    with pytest.raises(UserError, match="majority, tfidf"):
        run(["nearest"], TRAIN, VALIDATION, TEST, LABELS)


def test_one_label_is_nothing_to_learn_from():
    one = TRAIN.set_column(2, "label", pa.array(["positive"] * 60))
    with pytest.raises(UserError, match="only one label"):
        run(["tfidf"], one, VALIDATION, TEST, LABELS)


def test_an_empty_train_split_is_an_error():
    with pytest.raises(UserError, match="no rows"):
        run(["majority"], TRAIN.slice(0, 0), VALIDATION, TEST, LABELS)


@pytest.mark.network
def test_tfidf_is_done_well_on_the_sample(reviews_file):
    """A fine-tuned model is measured against this one: it must not be a straw man.

    Split by review with a hash of our own, 70/15/15: 0.62 was measured; 0.61 is the mean over eight such
    splits, and done carelessly it is 0.53. Data and seed are fixed, so 0.60
    leaves room for other library versions only.
    """
    parts: dict[str, list[tuple[str, str, str]]] = {"train": [], "validation": [], "test": []}
    for line in reviews_file.read_text(encoding="latin-1").splitlines():
        name, rating, text = line.split("\t")
        place = int(hashlib.sha256(f"ft_assetsg:{name.split('_')[0]}".encode()).hexdigest()[:12], 16) / 16**12
        label = "positive" if float(rating) > 0.5 else "negative" if float(rating) < -0.5 else "neutral"
        parts["test" if place < 0.15 else "validation" if place < 0.3 else "train"].append(
            (name, text, label)
        )
    tables = [
        pa.table(dict(zip(("example_id", "text", "label"), map(list, zip(*rows, strict=True)), strict=True)))
        for rows in parts.values()
    ]
    result = run(["tfidf"], *tables, LABELS)["tfidf"]
    actual = tables[2]["label"].to_pylist()
    assert f1_score(actual, result.predictions["prediction"].to_pylist(), average="macro") >= 0.60
