"""ROUGE by rows: the numbers of rouge-score for every text that it can read, and numbers for the others, too."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from ft_assets.evaluation.rouge import ROUGE, Tokenizer, rouge

# Few letters and many separators, so that texts share words and n-grams.
SHORT = st.text("ab c_-.\n", max_size=40)


@given(st.text(string.printable + "\x00\x1c\x7f", max_size=60))
def test_ascii_text_is_split_as_rouge_score_does(text):
    assert Tokenizer().tokenize(text) == DefaultTokenizer().tokenize(text)


@given(SHORT, SHORT)
def test_the_values_are_exactly_those_of_rouge_score(prediction, reference):
    scores = RougeScorer(list(ROUGE)).score(reference, prediction)
    assert rouge(prediction, reference) == tuple(scores[name].fmeasure for name in ROUGE)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Привет, МИР!", ["привет", "мир"]),
        ("Märchen_über Café", ["märchen", "über", "café"]),
        ("模型训练。GPT4好", ["模", "型", "训", "练", "gpt4", "好"]),
        ("テスト です", ["テ", "ス", "ト", "で", "す"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("cafe\u0301", ["café"]),
        ("\u202e!?… —", []),
    ],
)
def test_other_scripts_are_split_into_words_or_characters(text, tokens):
    assert Tokenizer().tokenize(text) == tokens


def test_chinese_is_scored_where_rouge_score_gives_nothing():
    assert RougeScorer(["rouge1"]).score("模型训练", "模型评估")["rouge1"].fmeasure == 0
    # Two of four characters, one of three pairs.
    assert rouge("模型评估", "模型训练") == (0.5, pytest.approx(1 / 3), 0.5)


def test_known_answer():
    # 3 of 4 and 3 of 5 words; 1 of 3 and 1 of 4 pairs; "the cat sat" in order.
    found = rouge("The cat quietly sat", "the cat then sat down")
    assert found == pytest.approx(
        (2 * 0.75 * 0.6 / 1.35, 2 / 3 * 0.25 / (1 / 3 + 0.25), 2 * 0.75 * 0.6 / 1.35)
    )


@pytest.mark.parametrize(("prediction", "reference"), [("", ""), ("a", ""), ("", "a"), ("...", "!")])
def test_texts_without_words_score_nothing(prediction, reference):
    assert rouge(prediction, reference) == (0.0, 0.0, 0.0)
