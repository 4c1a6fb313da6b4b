"""Cluster-bootstrap intervals: against a slow reference, known answers, degenerate cases, coverage."""

import numpy as np
import pytest
from sklearn import metrics as sk

from ft_assets.errors import UserError
from ft_assets.evaluation import resampling
from ft_assets.evaluation.intervals import bootstrap, intervals, metric_names, paired_difference
from ft_assets_tests.evaluation.helpers import LABELS, noisy


def naive_draws(actual, guess, clusters, score, resamples, seed):
    """Draw clusters, copy their rows, call scikit-learn: what the fast way must equal."""
    actual, guess = np.array(actual), np.array(guess)
    keys, cluster = np.unique(clusters, return_inverse=True)
    drawn = np.random.default_rng(seed).integers(0, len(keys), size=(resamples, len(keys)))
    values = []
    for draw in drawn:
        rows = np.concatenate([np.flatnonzero(cluster == c) for c in draw])
        values.append(score(actual[rows], guess[rows]))
    return np.array(values)


SCORES = {
    "accuracy": sk.accuracy_score,
    "f1_macro": lambda a, g: sk.f1_score(a, g, average="macro", zero_division=0),
    "precision_macro": lambda a, g: sk.precision_score(a, g, average="macro", zero_division=0),
    "recall_macro": lambda a, g: sk.recall_score(a, g, average="macro", zero_division=0),
}


@pytest.mark.parametrize("metric", SCORES)
def test_intervals_equal_those_of_resampled_rows(metric):
    # Clusters so few and small that labels are absent from many resamples.
    actual, guess = noisy(14, 3, 0.5)
    clusters = [f"c{row % 6}" for row in range(14)]
    draws = naive_draws(actual, guess, clusters, SCORES[metric], 150, seed=7)
    found = intervals(actual, guess, clusters, LABELS, resamples=150, seed=7)[metric]
    # The same integers are divided; 1e-12 leaves room for the order of additions.
    assert found["value"] == pytest.approx(SCORES[metric](actual, guess), abs=1e-12)
    assert [found["low"], found["high"]] == pytest.approx(list(np.quantile(draws, [0.025, 0.975])), abs=1e-12)


def test_paired_differences_equal_those_of_resampled_rows():
    actual, a = noisy(40, 1, 0.8)
    _, b = noisy(40, 1, 0.5)
    clusters = [f"c{row // 3}" for row in range(40)]
    score = SCORES["f1_macro"]
    draws = naive_draws(actual, a, clusters, score, 120, 5) - naive_draws(actual, b, clusters, score, 120, 5)
    found = paired_difference(actual, a, b, clusters, LABELS, resamples=120, seed=5)["f1_macro"]
    assert found["value"] == pytest.approx(score(actual, a) - score(actual, b), abs=1e-12)
    assert [found["low"], found["high"]] == pytest.approx(list(np.quantile(draws, [0.025, 0.975])), abs=1e-12)


def test_all_values_agree_with_scikit_learn():
    actual, guess = noisy(300, 9, 0.6)
    found = intervals(actual, guess, list(map(str, range(300))), LABELS, resamples=100)
    report = sk.classification_report(actual, guess, labels=LABELS, output_dict=True)
    names = {"precision": "precision", "recall": "recall", "f1": "f1-score"}
    for kind, name in names.items():
        assert found[f"{kind}_macro"]["value"] == pytest.approx(report["macro avg"][name], abs=1e-12)
        for label in LABELS:
            assert found[f"{kind}_{label}"]["value"] == pytest.approx(report[label][name], abs=1e-12)
    assert [found[f"recall_{label}"]["n"] for label in LABELS] == [
        report[label]["support"] for label in LABELS
    ]


def test_intervals_do_not_depend_on_the_size_of_the_blocks(monkeypatch):
    actual, guess = noisy(80, 2, 0.7)
    clusters = [f"c{row // 2}" for row in range(80)]
    whole = intervals(actual, guess, clusters, LABELS, resamples=333)
    monkeypatch.setattr(resampling, "CELLS", 1_000)
    assert intervals(actual, guess, clusters, LABELS, resamples=333) == whole


def test_intervals_do_not_depend_on_who_else_is_compared():
    actual, guess = noisy(50, 2, 0.7)
    clusters = [f"c{row // 2}" for row in range(50)]
    alone = bootstrap(actual, {"model": guess}, clusters, LABELS, resamples=200)
    among = bootstrap(actual, {"model": guess, "other": actual}, clusters, LABELS, resamples=200)
    assert alone.metrics["model"] == among.metrics["model"]


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    actual, guess = noisy(50, 2, 0.7)
    clusters = list(map(str, range(50)))
    first, again, other = (
        intervals(actual, guess, clusters, LABELS, resamples=200, seed=seed)["f1_macro"] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_equal_predictors_differ_by_nothing():
    actual, guess = noisy(50, 4, 0.7)
    found = paired_difference(actual, guess, guess, list(map(str, range(50))), LABELS, resamples=100)
    assert all((d["value"], d["low"], d["high"]) == (0.0, 0.0, 0.0) for d in found.values())


def test_perfect_predictions_have_an_interval_without_width():
    actual, _ = noisy(60, 4, 1.0)
    found = intervals(actual, actual, list(map(str, range(60))), LABELS, resamples=100)
    assert found["f1_macro"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 60}


def test_one_cluster_has_values_and_no_interval():
    actual, guess = noisy(20, 4, 0.7)
    found = intervals(actual, guess, ["one"] * 20, LABELS, resamples=100)["accuracy"]
    assert found["value"] == pytest.approx(sk.accuracy_score(actual, guess), abs=1e-12)
    assert found["low"] is None
    assert found["high"] is None


def test_one_predicted_label_gives_zeros_not_errors():
    actual, _ = noisy(60, 4, 0.7)
    found = intervals(actual, ["neutral"] * 60, list(map(str, range(60))), LABELS, resamples=100)
    assert found["precision_positive"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 0}
    assert found["recall_neutral"]["value"] == 1.0


def test_a_label_absent_from_the_rows_has_no_value():
    found = intervals(
        ["a", "b"] * 10, ["a", "b"] * 10, list(map(str, range(20))), ["a", "b", "absent"], resamples=100
    )
    assert found["f1_absent"] == {"value": None, "low": None, "high": None, "n": 0}
    assert found["f1_macro"]["value"] == 1.0


def test_resamples_without_a_label_are_counted_and_left_out():
    # "rare" stands in one of 10 clusters: it is absent from about (9/10)^10 = 35 % of the resamples.
    actual = ["common"] * 18 + ["rare"] * 2
    clusters = [f"c{row // 2}" for row in range(20)]
    result = bootstrap(actual, {"m": actual}, clusters, ["common", "rare"], resamples=2_000)
    # Four standard deviations of a share of 2,000 draws.
    assert result.undefined["f1_rare"] / 2_000 == pytest.approx(0.9**10, abs=4 * (0.35 * 0.65 / 2_000) ** 0.5)
    assert result.metrics["m"]["f1_rare"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2}


def test_clustered_intervals_cover_and_row_wise_ones_do_not():
    """Rows of a cluster share their difficulty: an interval that ignores it is too narrow.

    200 experiments of 60 clusters of 8 rows. The percentile interval's true coverage is about 0.94 there;
    0.94 less three standard errors of a share of 200 (0.017) is 0.89. Ignoring the clusters covers about 0.7.
    """
    generator = np.random.default_rng(11)
    covered = {"clustered": 0, "rows": 0}
    for experiment in range(200):
        # A cluster's chance of being right is Beta(1.5, 0.5): its mean, and so the true accuracy, is 0.75.
        chance = np.repeat(generator.beta(1.5, 0.5, 60), 8)
        guess = np.where(generator.random(480) < chance, "a", "b").tolist()
        for name, clusters in (("clustered", np.repeat(np.arange(60), 8)), ("rows", np.arange(480))):
            found = intervals(["a"] * 480, guess, clusters, ["a", "b"], resamples=300, seed=experiment)[
                "accuracy"
            ]
            covered[name] += found["low"] <= 0.75 <= found["high"]
    assert covered["clustered"] / 200 >= 0.89
    assert covered["rows"] / 200 <= 0.80


def test_many_labels_and_rows_need_little_memory():
    import tracemalloc

    generator = np.random.default_rng(0)
    labels = [f"l{i}" for i in range(50)]
    actual, guess = generator.choice(labels, 20_000), generator.choice(labels, 20_000)
    tracemalloc.start()
    intervals(actual, guess, np.arange(20_000), labels, resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Five arrays of a block (8 MB each) and the rows' own; all draws at once would be 32 MB an array, and a
    # count for every cell of every cluster's confusion matrix 400 MB.
    assert peak < 120e6


def test_no_rows_are_an_error():
    with pytest.raises(UserError, match="no rows"):
        intervals([], [], [], LABELS)


def test_an_unknown_label_is_an_error_that_does_not_repeat_it():
    with pytest.raises(UserError, match="1 values are no label") as caught:
        intervals(["a"], ["something private"], ["c"], ["a"])
    assert "private" not in str(caught.value)


def test_a_label_whose_name_collides_with_the_macro_mean_is_refused():
    with pytest.raises(UserError, match="same name"):
        metric_names(["macro", "micro"])
