"""Metrics of written text as `evaluate.Metric` subclasses over rouge-score and sacrebleu, without hub or network.

`generation_intervals` computes the same numbers from sums. Importing this module takes seconds (see
`offline_metric`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_assets.evaluation.offline_metric import OfflineMetric, combine
from ft_assets.evaluation.rouge import ROUGE, Tokenizer

__all__ = ["Bleu", "Chrf", "ExactMatch", "Perplexity", "Rouge", "TextMetric", "combined"]


class TextMetric(OfflineMetric):
    """A metric of written answers against reference answers."""

    inputs = """
Args:
    predictions: the answers.
    references: one reference answer for each.
"""
    columns = ({"predictions": "string", "references": "string"},)


class Rouge(TextMetric):
    """Mean over the rows of the F-measure of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), without stemming, 0 to 1:
    {"rouge1", "rouge2", "rougeL"}.

    ASCII text is split as rouge-score does by default; other scripts, which it would drop, by `rouge.Tokenizer`.
    """

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(ROUGE), tokenizer=Tokenizer())
        rows = [scorer.score(*texts) for texts in zip(references, predictions, strict=True)]
        return {name: float(np.mean([row[name].fmeasure for row in rows])) for name in ROUGE}


class Bleu(TextMetric):
    """Corpus BLEU as sacrebleu has it by default (tokenizer "13a", exponential smoothing; Post 2018), 0 to 100:
    {"bleu"}."""

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        from sacrebleu.metrics import BLEU

        # `force` only silences a warning about text that looks tokenised.
        return {"bleu": float(BLEU(force=True).corpus_score(list(predictions), [list(references)]).score)}


class Chrf(TextMetric):
    """Corpus chrF2 as sacrebleu has it by default (Popović 2015), 0 to 100: {"chrf"}. By characters, so that it
    suits every script."""

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        from sacrebleu.metrics import CHRF

        return {"chrf": float(CHRF().corpus_score(list(predictions), [list(references)]).score)}


class ExactMatch(TextMetric):
    """Share of answers that are the reference, white space at both ends apart, 0 to 1: {"exact_match"}."""

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        pairs = zip(predictions, references, strict=True)
        return {"exact_match": float(np.mean([one.strip() == other.strip() for one, other in pairs]))}


class Perplexity(OfflineMetric):
    """Perplexity of the references, from 1: exp of the mean negative log-likelihood of a token:
    {"perplexity"}. The lower the better."""

    inputs = """
Args:
    nll: summed negative log-likelihood of each row's tokens, in nats.
    tokens: how many tokens each row has.
"""
    columns = ({"nll": "float64", "tokens": "int64"},)

    def _compute(self, nll: Sequence[float], tokens: Sequence[int]) -> dict[str, float]:
        count = int(np.sum(tokens))
        with np.errstate(over="ignore"):
            return {"perplexity": float(np.exp(np.sum(nll) / count)) if count else float("nan")}


def combined() -> Any:
    """All metrics that compare an answer with a reference as one, by `evaluate.combine`."""
    return combine([Rouge(), Bleu(), Chrf(), ExactMatch()])
