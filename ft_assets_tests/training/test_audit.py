"""What is looked at before the first step, and stops the training where it must."""

import pytest

from ft_assets.errors import UserError
from ft_assets.training.audit import before_choosing, before_writing
from ft_assets.training.checkpoint import load_base, load_language_model, load_tokenizer, require_padding
from ft_assets.training.conversations import Encoded
from ft_assets.training.rows import read_rows
from ft_assets_tests.tiny_models import LABELS, build_tiny_gpt2, sentiment_table, write_sentiment


def test_a_tokenizer_larger_than_the_embeddings_is_refused(recipe_rows, encoder, tiny_llama_dir):
    model = load_language_model(tiny_llama_dir)
    model.resize_token_embeddings(100)
    with pytest.raises(UserError, match="the model has embeddings for 100"):
        before_writing(recipe_rows, encoder, model, str)


def test_padded_embeddings_are_fine(recipe_rows, encoder, tiny_llama_dir):
    model = load_language_model(tiny_llama_dir)
    model.resize_token_embeddings(320)
    assert before_writing(recipe_rows, encoder, model, str)["embeddings"] == 320


def test_rows_that_never_end_are_refused(recipe_rows, encoder, tiny_llama_dir):
    endless = [Encoded(row.ids[:-1], row.learnt[:-1]) for row in recipe_rows.rows]
    with pytest.raises(UserError, match="never learn to stop"):
        before_writing(
            type(recipe_rows)(recipe_rows.example_ids, endless, 0, 0, 0),
            encoder,
            load_language_model(tiny_llama_dir),
            str,
        )


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    return write_sentiment(tmp_path_factory.mktemp("reviews") / "train.parquet", 30, longest=12)


@pytest.fixture
def classifier(tiny_bert_dir):
    return load_tokenizer(tiny_bert_dir), load_base(tiny_bert_dir, LABELS, None)[0]


def test_what_a_classifier_is_about_to_learn_is_counted(reviews, classifier):
    tokenizer, model = classifier
    rows = read_rows(reviews, tokenizer, 10, LABELS)
    found = before_choosing(rows, None, LABELS, tokenizer, model)
    assert (found["rows"], found["tokens"]) == (30, int(rows.lengths.sum()))
    assert 0 < found["cut"] < 30 and found["cut_share"] == pytest.approx(found["cut"] / 30)
    assert found["classes_without_rows"] == "none" and found["unknown_tokens"] == 0
    assert (found["padding_token"], found["padding_is_end"]) == ("[PAD]", False)


def test_a_class_without_rows_is_named(reviews, classifier):
    tokenizer, model = classifier
    labels = [*LABELS, "mixed"]
    found = before_choosing(read_rows(reviews, tokenizer, 64, labels), None, labels, tokenizer, model)
    assert found["classes_without_rows"] == "mixed"


def test_words_that_the_model_does_not_know_are_counted(tmp_path, classifier):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = sentiment_table(3).set_column(1, "text", pa.array(["good", "добро box", "\u4f60\u597d"]))
    pq.write_table(table, tmp_path / "rows.parquet")
    tokenizer, model = classifier
    rows = read_rows(tmp_path / "rows.parquet", tokenizer, 64, LABELS)
    # BERT takes Chinese characters one by one.
    assert before_choosing(rows, None, LABELS, tokenizer, model)["unknown_tokens"] == 3


def test_a_classifier_with_fewer_embeddings_than_tokens_is_refused(reviews, classifier):
    tokenizer, model = classifier
    rows = read_rows(reviews, tokenizer, 64, LABELS)
    model.resize_token_embeddings(90)
    with pytest.raises(UserError, match="the model has embeddings for 90"):
        before_choosing(rows, None, LABELS, tokenizer, model)


def test_a_padding_token_without_an_embedding_is_refused(reviews, classifier):
    tokenizer, model = classifier
    rows = read_rows(reviews, tokenizer, 64, LABELS)
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    assert max(map(max, rows.input_ids)) < tokenizer.pad_token_id == model.config.vocab_size
    with pytest.raises(UserError, match=f"the tokenizer gives token {tokenizer.pad_token_id}"):
        before_choosing(rows, None, LABELS, tokenizer, model)


def test_padding_with_the_end_token_is_said(reviews, tmp_path):
    folder = build_tiny_gpt2(tmp_path / "gpt2")
    tokenizer, model = load_tokenizer(folder), load_base(folder, LABELS, None)[0]
    require_padding(tokenizer, model)
    found = before_choosing(read_rows(reviews, tokenizer, 64, LABELS), None, LABELS, tokenizer, model)
    assert found["padding_is_end"]
