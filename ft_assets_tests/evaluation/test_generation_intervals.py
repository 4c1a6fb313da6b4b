"""Intervals of the metrics of written text: against copied rows and the libraries, and degenerate cases."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from ft_assets.errors import UserError
from ft_assets.evaluation import resampling
from ft_assets.evaluation.generation_intervals import (
    TEXT_METRICS,
    Answers,
    bleu,
    bootstrap,
    chrf,
    measured,
    metric_values,
)
from ft_assets.evaluation.generation_metrics import Perplexity, combined
from ft_assets_tests.evaluation.helpers import changed, texts

REFERENCES = texts(30, 1)
WRITTEN = changed(REFERENCES, 2, 0.8)
WORSE = changed(REFERENCES, 3, 0.4)
CLUSTERS = [f"c{row // 3}" for row in range(30)]
# Two sums of the same numbers in another order, and logarithms of them, differ by some 1e-15 of the value.
CLOSE = 1e-10


def given(written, seed=5, tokens=10):
    rows = len(written)
    nll = np.random.default_rng(seed).uniform(5, 20, rows)
    return Answers(written, nll, np.full(rows, tokens, dtype=np.int64))


def by_libraries(answers, rows):
    """The metrics of the evaluate library over these rows, some of them several times."""
    found = Perplexity().compute(nll=answers.nll[rows], tokens=answers.tokens[rows])
    pairs = [(answers.texts[row], REFERENCES[row]) for row in rows]
    written, wanted = zip(*pairs, strict=True)
    return found | combined().compute(predictions=list(written), references=list(wanted))


@pytest.fixture(scope="module")
def drawn():
    """Metrics of copied rows, for each resample and both predictors."""
    cluster = np.unique(CLUSTERS, return_inverse=True)[1]
    draws = np.random.default_rng(7).integers(0, 10, size=(20, 10))
    found = {"model": [], "other": []}
    for draw in draws:
        rows = np.concatenate([np.flatnonzero(cluster == number) for number in draw])
        found["model"].append(by_libraries(given(WRITTEN), rows))
        found["other"].append(by_libraries(given(WORSE, 6), rows))
    return found


@pytest.fixture(scope="module")
def result():
    predictors = {"model": given(WRITTEN), "other": given(WORSE, 6)}
    return bootstrap(REFERENCES, predictors, CLUSTERS, resamples=20, seed=7)


@pytest.mark.parametrize("metric", [*TEXT_METRICS, "perplexity"])
def test_intervals_and_paired_differences_equal_those_of_copied_rows(result, drawn, metric):
    own = np.array([values[metric] for values in drawn["model"]])
    gains = own - [values[metric] for values in drawn["other"]]
    for found, draws in ((result.metrics["model"], own), (result.differences["other"], gains)):
        bounds = np.quantile(draws, [0.025, 0.975])
        assert [found[metric]["low"], found[metric]["high"]] == pytest.approx(
            list(bounds), rel=CLOSE, abs=CLOSE
        )


@pytest.mark.parametrize("metric", [*TEXT_METRICS, "perplexity"])
def test_values_are_those_of_the_libraries(result, metric):
    expected = by_libraries(given(WRITTEN), np.arange(30))[metric]
    found = result.metrics["model"][metric]
    assert found["value"] == pytest.approx(expected, rel=CLOSE)
    assert found["low"] <= found["value"] <= found["high"]
    assert found["n"] == 30


@pytest.mark.parametrize("seed", range(5))
def test_bleu_and_chrf_of_any_counts_are_those_of_sacrebleu(seed):
    generator = np.random.default_rng(seed)
    # Few n-grams: orders without a match or without any n-gram, answers shorter and longer than the reference.
    counts = np.sort(generator.integers(0, 4, size=(200, 4)))[:, ::-1]
    matches = generator.integers(0, counts + 1)
    lengths = np.stack([counts[:, 0], generator.integers(0, 6, 200)], axis=1)
    stats = np.concatenate([lengths, matches, counts], axis=1)
    expected = [BLEU()._compute_score_from_stats(row.tolist()).score for row in stats]
    # 0 by sacrebleu's logarithm of 0, which is -9999999999.
    assert bleu(stats.T.astype(float)) == pytest.approx(expected, rel=CLOSE, abs=1e-12)

    sizes = generator.integers(0, 4, size=(200, 6, 2))
    hits = generator.integers(0, sizes.min(axis=2) + 1)
    stats = np.concatenate([sizes, hits[:, :, None]], axis=2).reshape(200, 18)
    expected = [CHRF()._compute_score_from_stats(row.tolist()).score for row in stats]
    assert chrf(stats.T.astype(float)) == pytest.approx(expected, rel=CLOSE, abs=1e-12)


def test_bleu_by_hand():
    # Answer "a b c d", reference "a b c e f": matches 3 2 1 0 of 4 3 2 1, the missing order counts as half a match.
    rows = measured(["a b c e f"], Answers(["a b c d"], np.ones(1), np.ones(1, dtype=np.int64)))
    expected = 100 * np.exp(1 - 5 / 4) * (3 / 4 * 2 / 3 * 1 / 2 * 0.5 / 1) ** 0.25
    assert metric_values(rows.sum(axis=0))["bleu"] == pytest.approx(expected, rel=CLOSE)


def test_rows_without_an_answer_or_a_reference_count_for_perplexity_alone():
    references = [*REFERENCES[:-2], None, REFERENCES[-1]]
    written = [*WRITTEN[:-2], None, None]
    found = bootstrap(references, {"m": given(written)}, CLUSTERS, resamples=100).metrics["m"]
    fewer = bootstrap(REFERENCES[:-2], {"m": given(WRITTEN[:-2])}, CLUSTERS[:-2], resamples=100).metrics["m"]
    assert {found[name]["value"] for name in TEXT_METRICS} == {fewer[name]["value"] for name in TEXT_METRICS}
    assert (found["rougeL"]["n"], found["perplexity"]["n"]) == (28, 30)


def test_without_any_answer_there_is_perplexity_alone():
    found = bootstrap([None] * 30, {"m": given([None] * 30)}, CLUSTERS, resamples=100)
    assert set(found.metrics["m"]) == {"perplexity"}
    assert found.undefined == {}


def test_resamples_without_an_answer_are_counted_and_left_out():
    # One cluster of 10 is answered: it is absent from about (9/10)^10 = 35 % of the resamples.
    written = [*WRITTEN[:3], *[None] * 27]
    result = bootstrap(REFERENCES, {"m": given(written)}, CLUSTERS, resamples=2_000)
    # Four standard deviations of a share of 2,000 draws.
    assert result.undefined["bleu"] / 2_000 == pytest.approx(0.9**10, abs=4 * (0.35 * 0.65 / 2_000) ** 0.5)
    assert set(result.undefined) == set(TEXT_METRICS)


def test_one_cluster_has_values_and_no_interval():
    found = bootstrap(REFERENCES, {"m": given(WRITTEN)}, ["one"] * 30, resamples=100).metrics["m"]
    assert all(interval["value"] is not None and interval["low"] is None for interval in found.values())


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    first, again, other = (
        bootstrap(REFERENCES, {"m": given(WRITTEN)}, CLUSTERS, resamples=200, seed=seed).metrics["m"]["bleu"]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_intervals_do_not_depend_on_who_else_is_compared(result):
    alone = bootstrap(REFERENCES, {"model": given(WRITTEN)}, CLUSTERS, resamples=20, seed=7)
    assert alone.metrics["model"] == result.metrics["model"]


def test_intervals_do_not_depend_on_the_size_of_the_blocks(monkeypatch, result):
    monkeypatch.setattr(resampling, "CELLS", 250)
    again = bootstrap(
        REFERENCES, {"model": given(WRITTEN), "other": given(WORSE, 6)}, CLUSTERS, resamples=20, seed=7
    )
    for metric, interval in result.metrics["model"].items():
        assert again.metrics["model"][metric] == pytest.approx(interval, rel=CLOSE)


def test_equal_predictors_differ_by_nothing():
    same = {"a": given(WRITTEN), "b": given(WRITTEN)}
    found = bootstrap(REFERENCES, same, CLUSTERS, resamples=100).differences["b"]
    assert all((d["value"], d["low"], d["high"]) == (0.0, 0.0, 0.0) for d in found.values())


def test_no_rows_are_an_error():
    with pytest.raises(UserError, match="no rows"):
        bootstrap([], {"m": given([])}, [])
