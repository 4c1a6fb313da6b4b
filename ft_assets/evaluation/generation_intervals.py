"""Intervals of the metrics of written text, alone and in pairs.

All of these metrics are functions of sums over rows: ROUGE and exact match of the rows' values, BLEU and chrF of
n-gram counts, perplexity of log-likelihoods and tokens. So each row is measured once (`measured`) and each
cluster is reduced to the sums of its rows; `resampling` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ft_assets.evaluation.resampling import Bootstrap, Estimates, Floats, Indices, compare, numbered
from ft_assets.evaluation.rouge import ROUGE, rouge

__all__ = ["TEXT_METRICS", "Answers", "bootstrap", "measured", "metric_values"]

TEXT_METRICS = (*ROUGE, "bleu", "chrf", "exact_match")
"""The metrics that need an answer and a reference."""

# Orders of the n-grams: of words in BLEU, of characters in chrF, as sacrebleu has them by default.
WORDS, CHARACTERS = 4, 6
BETA = 2

# What a row is measured by, as places of its vector.
ROWS, NLL, TOKENS, EXACT = 0, 1, 2, 3
_ROUGE = slice(4, 7)
_BLEU = slice(7, 9 + 2 * WORDS)
_CHRF = slice(_BLEU.stop, _BLEU.stop + 3 * CHARACTERS)
FEATURES = _CHRF.stop


@dataclass(frozen=True)
class Answers:
    """What one predictor wrote, and how likely it found the references; one entry a row in each."""

    texts: Sequence[str | None]
    """The answers; None where none was asked for."""
    nll: Floats
    """Summed negative log-likelihood of the reference's tokens, in nats."""
    tokens: Indices
    """How many tokens that is."""


def bootstrap(
    references: Sequence[str | None],
    answers: Mapping[str, Answers],
    clusters: Sequence[str],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Every metric of every predictor, and the first predictor minus each other one, with intervals.

    Args:
        references: reference answer of each row, or None.
        answers: {predictor: its answers}; the others are compared with the first.
        clusters: cluster key of each row.
        resamples: number of resamples.
        confidence: share of the percentile interval, for instance 0.95.
        seed: the resamples depend on it and on the clusters alone, not on who is compared.

    Returns:
        Intervals whose n is the number of rows that have an answer and a reference, for perplexity of those
        that have tokens. Without any answer there is perplexity alone. With a single cluster there is nothing
        to resample: low and high are None. A resample in which a metric has no value is left out of that
        metric's interval.

    Raises:
        UserError: there are no rows.
    """
    cluster, count = numbered(clusters)
    rows = {name: measured(references, own) for name, own in answers.items()}
    names = _names(rows)

    def values(sums: Floats) -> dict[str, Floats]:
        found = metric_values(sums)
        return {name: found[name] for name in names}

    return compare(
        {name: _point(own, values) for name, own in rows.items()},
        {name: _sums(own, cluster, count) for name, own in rows.items()},
        values,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )


def measured(references: Sequence[str | None], answers: Answers) -> Floats:
    """What each row contributes to the sums: shape (rows, FEATURES).

    The n-gram counts are sacrebleu's own; its order of them is kept (BLEU: length of the answer and of the
    reference, matches, n-grams of the answer; chrF: n-grams of the answer and of the reference, and matches, of
    each order).
    """
    rows = np.zeros((len(references), FEATURES))
    rows[:, NLL], rows[:, TOKENS] = answers.nll, answers.tokens
    found = [
        (row, text, wanted)
        for row, (text, wanted) in enumerate(zip(answers.texts, references, strict=True))
        if text is not None and wanted is not None
    ]
    if not found:
        return rows
    from sacrebleu.metrics import BLEU, CHRF

    places, texts, wanted = map(list, zip(*found, strict=True))
    rows[places, ROWS] = 1
    rows[places, EXACT] = [text.strip() == other.strip() for text, other in zip(texts, wanted, strict=True)]
    rows[places, _ROUGE] = [rouge(text, other) for text, other in zip(texts, wanted, strict=True)]
    rows[places, _BLEU] = BLEU(force=True)._extract_corpus_statistics(texts, [wanted])
    rows[places, _CHRF] = CHRF()._extract_corpus_statistics(texts, [wanted])
    return rows


def metric_values(sums: Floats) -> dict[str, Floats]:
    """Every metric of each column of sums: from shape (FEATURES, …) to {metric: array of shape (…)}.

    A metric has no value (NaN) where no row has an answer, perplexity where there is no token.
    """
    answered = sums[ROWS] > 0

    def mean(total: Floats) -> Floats:
        return np.divide(total, sums[ROWS], out=np.full_like(total, np.nan), where=answered)

    values = {name: mean(total) for name, total in zip(ROUGE, sums[_ROUGE], strict=True)}
    values["bleu"] = np.where(answered, bleu(sums[_BLEU]), np.nan)
    values["chrf"] = np.where(answered, chrf(sums[_CHRF]), np.nan)
    values["exact_match"] = mean(sums[EXACT])
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        values["perplexity"] = np.exp(sums[NLL] / sums[TOKENS])
    return values


def bleu(counts: Floats) -> Floats:
    """Corpus BLEU, 0 to 100, from counts of shape (2 + 2 * WORDS, …) in sacrebleu's order.

    Papineni et al. 2002 with the exponential smoothing of Chen & Cherry 2014 (method 3), as sacrebleu's
    `BLEU.compute_bleu`: an order without a match counts as half a match, the next such one as a quarter.
    """
    answer, reference = counts[:2]
    matches, ngrams = counts[2 : 2 + WORDS], counts[2 + WORDS :]
    missing = matches == 0
    smoothed = np.where(missing, 0.5 ** np.cumsum(missing, axis=0), matches)
    # Where there are no n-grams of an order at all the score is 0, as it is without a match of any.
    defined = (ngrams > 0).all(axis=0) & ~missing.all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(smoothed / ngrams).mean(axis=0))
        brevity = np.exp(np.minimum(0.0, 1 - reference / answer))
        return np.where(defined, 100 * brevity * precision, 0.0)


def chrf(counts: Floats) -> Floats:
    """Corpus chrF, 0 to 100, from counts of shape (3 * CHARACTERS, …) in sacrebleu's order.

    Popović 2015, as sacrebleu's `CHRF._compute_f_score`: precision and recall are averaged over the orders that
    both texts have.
    """
    answer, reference, matches = counts[0::3], counts[1::3], counts[2::3]
    both = (answer > 0) & (reference > 0)
    orders = np.maximum(both.sum(axis=0), 1)

    def average(whole: Floats) -> Floats:
        return np.divide(matches, whole, out=np.zeros_like(matches), where=both).sum(axis=0) / orders

    precision, recall = average(answer), average(reference)
    weighted = BETA**2 * precision + recall
    product = 100 * (1 + BETA**2) * precision * recall
    return np.divide(product, weighted, out=np.zeros_like(product), where=weighted > 0)


def _names(rows: Mapping[str, Floats]) -> tuple[str, ...]:
    answered = any(own[:, ROWS].any() for own in rows.values())
    return (*TEXT_METRICS, "perplexity") if answered else ("perplexity",)


def _point(rows: Floats, values: Callable[[Floats], dict[str, Floats]]) -> Estimates:
    answered, scored = int(rows[:, ROWS].sum()), int((rows[:, TOKENS] > 0).sum())
    found = {name: float(value) for name, value in values(rows.sum(axis=0)).items()}
    return Estimates(
        values=found,
        rows={name: scored if name == "perplexity" else answered for name in found},
        draws={},
    )


def _sums(rows: Floats, cluster: Indices, count: int) -> Floats:
    """The rows' vectors added up by cluster: shape (FEATURES, clusters)."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, cluster, rows)
    return np.ascontiguousarray(sums.T)
