"""The metrics of written text are those of rouge-score and sacrebleu, through the interface of `evaluate`."""

import math
import socket

import evaluate
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from ft_assets.evaluation.generation_metrics import Bleu, Chrf, ExactMatch, Perplexity, Rouge, combined
from ft_assets_tests.evaluation.helpers import changed, texts

REFERENCES = texts(40, 1)
WRITTEN = changed(REFERENCES, 2, 0.7)
HOSTILE = ["<b>\u202e</b>\x01", "", "  ", "{{ 7*7 }}", "\n\n", "模型"]


def test_rouge_is_the_mean_of_the_rows_f_measures():
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    rows = [scorer.score(*pair) for pair in zip(REFERENCES, WRITTEN, strict=True)]
    found = Rouge().compute(predictions=WRITTEN, references=REFERENCES)
    for name, value in found.items():
        # The same values; 1e-12 leaves room for the order of additions.
        assert value == pytest.approx(sum(row[name].fmeasure for row in rows) / len(rows), abs=1e-12)


def test_bleu_and_chrf_are_those_of_sacrebleu():
    assert Bleu().compute(predictions=WRITTEN, references=REFERENCES) == {
        "bleu": sacrebleu.corpus_bleu(WRITTEN, [REFERENCES]).score
    }
    assert Chrf().compute(predictions=WRITTEN, references=REFERENCES) == {
        "chrf": sacrebleu.corpus_chrf(WRITTEN, [REFERENCES]).score
    }


def test_exact_match_forgives_white_space_at_the_ends_alone():
    written = ["a b", " a b\n", "a  b", "A b"]
    assert ExactMatch().compute(predictions=written, references=["a b"] * 4) == {"exact_match": 0.5}


def test_perplexity_weighs_every_token_alike():
    # 3 nats over 6 tokens, whoever has them.
    found = Perplexity().compute(nll=[1.0, 2.0], tokens=[1, 5])
    assert found["perplexity"] == pytest.approx(math.exp(0.5), rel=1e-15)


def test_perplexity_of_nothing_has_no_value_and_that_of_nonsense_no_end():
    assert math.isnan(Perplexity().compute(nll=[0.0], tokens=[0])["perplexity"])
    assert Perplexity().compute(nll=[1e6], tokens=[1])["perplexity"] == math.inf


def test_identical_texts_have_the_best_values():
    assert combined().compute(predictions=REFERENCES, references=REFERENCES) == pytest.approx(
        {"rouge1": 1, "rouge2": 1, "rougeL": 1, "bleu": 100, "chrf": 100, "exact_match": 1}
    )


def test_rows_can_be_added_one_by_one_and_in_batches():
    metric = combined()
    metric.add(prediction=WRITTEN[0], reference=REFERENCES[0])
    metric.add_batch(predictions=WRITTEN[1:], references=REFERENCES[1:])
    whole = [metric.compute() for metric in metric.evaluation_modules]
    expected = combined().compute(predictions=WRITTEN, references=REFERENCES)
    assert {name: value for values in whole for name, value in values.items()} == expected

    perplexity = Perplexity()
    perplexity.add(nll=1.0, tokens=1)
    perplexity.add_batch(nll=[2.0], tokens=[5])
    assert perplexity.compute() == Perplexity().compute(nll=[1.0, 2.0], tokens=[1, 5])


def test_metrics_combine():
    both = evaluate.combine([Rouge(), ExactMatch()]).compute(predictions=WRITTEN, references=REFERENCES)
    assert set(both) == {"rouge1", "rouge2", "rougeL", "exact_match"}


def test_hostile_and_empty_texts_are_texts():
    found = combined().compute(predictions=HOSTILE, references=HOSTILE[::-1])
    assert all(0 <= value <= 100 for value in found.values())


def test_no_connection_is_opened(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert combined().compute(predictions=["a"], references=["a"])["exact_match"] == 1.0
