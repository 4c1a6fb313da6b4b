"""Texts as vectors: each its own, whatever the batches and parts."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from ft_assets.errors import UserError
from ft_assets.training import embeddings
from ft_assets.training.config import TrainingConfig
from ft_assets.training.embeddings import VECTORS, embed_texts
from ft_assets_tests.tiny_models import build_tiny_distilbert, sentiment_table


def embed(model, texts, output, **settings):
    """What is measured, the vectors, and the messages."""
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), output / "texts.parquet")
    messages = []
    result = embed_texts(
        model=model, examples=output / "texts.parquet", config=TrainingConfig(**settings), output=output,
        report=messages.append,
    )  # fmt: skip
    return result, np.load(output / VECTORS, allow_pickle=False), messages


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def encoder(request, tmp_path_factory):
    if request.param == "bert":
        return request.getfixturevalue("tiny_bert_dir")
    return build_tiny_distilbert(tmp_path_factory.mktemp("models") / "distilbert")


def test_a_vector_is_the_mean_over_the_tokens_of_its_text(encoder, tmp_path, monkeypatch):
    from transformers import AutoModel, AutoTokenizer

    monkeypatch.setattr(embeddings, "_TEXTS_AT_ONCE", 11)
    texts = sentiment_table(40, longest=80)["text"].to_pylist()
    result, vectors, messages = embed(encoder, texts, tmp_path, tokens_per_pass=100)
    model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            read = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
            alone = model(read["input_ids"], read["attention_mask"]).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, torch.nn.functional.normalize(alone, dim=0), atol=1e-5)
    assert vectors.dtype == np.float32 and (result["rows"], result["size"]) == vectors.shape == (40, 32)
    long = sum(len(tokenizer(text)["input_ids"]) > 64 for text in texts)
    assert result["truncated"] == long > 0 and result["window"] == 64
    assert [message["step"] for message in messages] == [11, 22, 33, 40]
    assert messages[-1]["seconds_left"] == 0


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"embedding_dimension": 32, "pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_tokens_become_a_vector_as_the_models_folder_says(broken, tmp_path, said, pooling):
    from transformers import AutoModel, AutoTokenizer

    (broken / "1_Pooling").mkdir()
    (broken / "1_Pooling" / "config.json").write_text(json.dumps(said))
    texts = ["good", "a much longer text than that one", "bad and good"]
    result, vectors, _ = embed(broken, texts, tmp_path, tokens_per_pass=1_000)
    assert result["pooling"] == pooling
    model, tokenizer = AutoModel.from_pretrained(broken).eval(), AutoTokenizer.from_pretrained(broken)
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            hidden = model(tokenizer(text, return_tensors="pt")["input_ids"]).last_hidden_state[0]
        alone = hidden[0] if pooling == "cls" else hidden.mean(0)
        np.testing.assert_allclose(vector, torch.nn.functional.normalize(alone, dim=0), atol=1e-5)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ('{"pooling_mode_max_tokens": true}', "by pooling_mode_max_tokens"),
        ('{"pooling_mode": "lasttoken"}', "by lasttoken"),
        ('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}', "mean_tokens"),
        ("{}", "by none of its modes"),
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
    ],
)
def test_a_model_that_makes_vectors_otherwise_is_told(broken, tmp_path, said, what):
    (broken / "1_Pooling").mkdir()
    (broken / "1_Pooling" / "config.json").write_text(said)
    assert what in refused(broken, tmp_path)


def test_no_texts_are_no_vectors(tiny_bert_dir, tmp_path):
    _, vectors, _ = embed(tiny_bert_dir, [], tmp_path)
    assert vectors.shape == (0, 32)


def refused(model, folder):
    with pytest.raises(UserError) as told:
        embed(model, ["a fine phone"], folder)
    assert told.value.where.startswith(str(model)) and told.value.do
    return told.value.what


def test_a_model_that_writes_is_told_to_be_no_encoder(tiny_llama_dir, tmp_path):
    assert refused(tiny_llama_dir, tmp_path) == "a model of the kind 'llama' is no encoder"


@pytest.fixture
def broken(tiny_bert_dir, tmp_path):
    return shutil.copytree(tiny_bert_dir, tmp_path / "model")


def test_a_model_without_tokenizer_is_told(broken, tmp_path):
    for file in broken.glob("tokenizer*"):
        file.unlink()
    assert refused(broken, tmp_path) == "no tokenizer could be loaded: it knows no word"


def changed(model, change):
    weights = load_file(model / "model.safetensors")
    change(weights)
    save_file(weights, model / "model.safetensors", {"format": "pt"})


def test_a_model_that_lacks_weights_is_told(broken, tmp_path):
    changed(broken, lambda weights: weights.pop("encoder.layer.1.output.dense.weight"))
    assert refused(broken, tmp_path).startswith("the model lacks 1 weights, such as encoder.layer.1")


def test_a_model_whose_pooler_is_missing_will_do(broken, tmp_path):
    changed(broken, lambda weights: [weights.pop(name) for name in list(weights) if "pooler" in name])
    _, vectors, _ = embed(broken, ["a fine phone"], tmp_path)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nan_is_told_and_not_written_on(broken, tmp_path):
    changed(broken, lambda weights: weights["encoder.layer.0.output.LayerNorm.weight"].fill_(float("nan")))
    assert refused(broken, tmp_path) == "the model gives NaN for 1 of 1 texts"
