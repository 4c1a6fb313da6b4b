"""Prediction with a checkpoint: each row gets its own answer, whatever the batches."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig
from ft_assets.training.text_classification import train_classifier
from ft_assets.training.text_prediction import predict_classes
from ft_assets_tests.tiny_models import LABELS, write_sentiment


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_bert_dir):
    folder = tmp_path_factory.mktemp("checkpoint")
    rows = write_sentiment(folder.parent / "train.parquet", 120, seed=1)
    train_classifier(
        base_model=tiny_bert_dir, train=rows, validation=None, labels=LABELS, output=folder,
        report=lambda _: None, config=TrainingConfig(learning_rate=5e-3, epochs=2, max_length=24),
    )  # fmt: skip
    return folder


def _predict(checkpoint, examples, output, labels=LABELS, **settings):
    result = predict_classes(
        checkpoint=checkpoint, examples=examples, labels=labels, output=output,
        config=TrainingConfig(**settings), report=lambda _: None,
    )  # fmt: skip
    return result, pq.read_table(output / "predictions.parquet")


def test_predictions_stand_beside_their_example_ids(checkpoint, tmp_path):
    """Batches are ordered by length, which must not show in the result."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    examples = write_sentiment(tmp_path / "e.parquet", 50, seed=7)
    _, predictions = _predict(checkpoint, examples, tmp_path, tokens_per_pass=60)
    table = pq.read_table(examples)
    assert predictions["example_id"].to_pylist() == table["example_id"].to_pylist()
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    for row, text in enumerate(table["text"].to_pylist()):
        with torch.inference_mode():
            alone = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].numpy()
        found = np.array([predictions[f"p_{label}"][row].as_py() for label in LABELS])
        np.testing.assert_allclose(found, alone, atol=1e-5)  # fp32, with and without padding
        assert predictions["prediction"][row].as_py() == LABELS[int(alone.argmax())]


def test_the_columns_are_those_of_the_contract(checkpoint, tmp_path):
    _, predictions = _predict(checkpoint, write_sentiment(tmp_path / "e.parquet", 6), tmp_path)
    expected = [
        ("example_id", pa.string()),
        ("prediction", pa.string()),
        *((f"p_{n}", pa.float32()) for n in LABELS),
    ]
    assert list(zip(predictions.schema.names, predictions.schema.types, strict=True)) == [
        *expected,
        ("truncated", pa.bool_()),
    ]


def test_rows_are_cut_at_the_window_of_the_training_and_marked(checkpoint, tmp_path):
    pq.write_table(
        pa.table({"example_id": ["a", "b"], "text": ["good " * 22, "good " * 23]}), tmp_path / "e.parquet"
    )
    result, predictions = _predict(checkpoint, tmp_path / "e.parquet", tmp_path)
    assert result["window"] == 24  # what max_length was in training
    assert predictions["truncated"].to_pylist() == [False, True]


def test_other_labels_than_the_checkpoints_are_refused(checkpoint, tmp_path):
    with pytest.raises(UserError, match="classes are negative, neutral, positive"):
        _predict(
            checkpoint, write_sentiment(tmp_path / "e.parquet", 3), tmp_path, labels=["negative", "positive"]
        )


def test_no_rows_give_an_empty_table(checkpoint, tmp_path):
    empty = pa.table({"example_id": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "e.parquet")
    assert _predict(checkpoint, tmp_path / "e.parquet", tmp_path)[1].num_rows == 0
