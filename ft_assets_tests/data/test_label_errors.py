import numpy as np
import pytest

from ft_assets.data.label_errors import calibrated, confident_joint, find_label_errors


def sure(classes: list[int], k: int = 3, p: float = 0.9) -> np.ndarray:
    """Probabilities of a model that is for these classes."""
    found = np.full((len(classes), k), (1 - p) / (k - 1))
    found[np.arange(len(classes)), classes] = p
    return found


def test_the_joint_counts_given_against_true_labels() -> None:
    # Ten rows: three of class 0 that the model is sure are 1. The thresholds are what the paper's equation 2 says.
    labels = np.array([0] * 6 + [1] * 4)
    probabilities = sure([0, 0, 0, 1, 1, 1, 1, 1, 1, 1], k=2)
    assert confident_joint(labels, probabilities) == pytest.approx(np.array([[0.3, 0.3], [0.0, 0.4]]))


def test_a_class_is_claimed_only_above_what_its_own_rows_have_on_average() -> None:
    # The last row of class 0 leans to 1, less than rows of class 1 do on average (0.8): it counts as neither.
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.2, 0.8]])
    assert confident_joint(labels, probabilities) == pytest.approx(np.array([[0.6, 0.0], [0.0, 0.4]]))


def test_the_joint_sums_to_one_whatever_the_classes() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 50)  # class 3 has no rows
    joint = confident_joint(labels, draw.dirichlet(np.ones(4), 50))
    assert joint.sum() == pytest.approx(1)
    assert joint.sum(axis=1) == pytest.approx(np.bincount(labels, minlength=4) / 50)


def test_flipped_labels_are_the_suspects_and_the_surest_comes_first() -> None:
    truth = [0, 1, 2] * 20
    labels = np.array(truth)
    probabilities = sure(truth)
    for place, wrong, p in ((7, 2, 0.95), (30, 1, 0.99)):
        labels[place] = wrong
        probabilities[place] = sure([truth[place]], p=p)
    found = find_label_errors(labels, probabilities)
    assert found.suspects.tolist() == [30, 7]
    assert found.suggested[[30, 7]].tolist() == [truth[30], truth[7]]
    assert found.share == pytest.approx(2 / 60)
    assert found.own[[30, 7]] == pytest.approx([0.005, 0.025])


def test_labels_that_the_model_agrees_with_are_no_suspects() -> None:
    found = find_label_errors(np.array([0, 1, 2] * 5), sure([0, 1, 2] * 5))
    assert found.suspects.size == 0
    assert found.share == 0


def test_rows_that_are_equally_suspicious_keep_their_order() -> None:
    labels = np.array([0, 1] * 20)
    probabilities = sure([0, 1] * 20, k=2)
    probabilities[[4, 10, 20]] = probabilities[1]
    assert find_label_errors(labels, probabilities).suspects.tolist() == [4, 10, 20]


def test_of_noise_at_random_nearly_all_is_found_where_classes_are_easily_told_apart() -> None:
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 3, 2_000)
    flipped = draw.choice(2_000, 100, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + draw.integers(1, 3, 100)) % 3
    scores = draw.normal(size=(2_000, 3)) + 6 * np.eye(3)[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = find_label_errors(labels, probabilities)
    # Two normal variables 6 apart with variance 2 are confused in 1 of 100,000.
    assert set(found.suspects[:100].tolist()) == set(flipped.tolist())
    assert found.share == pytest.approx(0.05, abs=0.01)


def test_calibrated_probabilities_are_met_as_often_as_they_say() -> None:
    draw = np.random.default_rng(2)
    truth = draw.dirichlet([1.0, 1.0, 2.0], 20_000)
    labels = (truth.cumsum(axis=1) > draw.random((20_000, 1))).argmax(axis=1)
    # A model that is too sure of itself, and wary of class 2.
    told = truth**2 * [1.0, 1.0, 0.2]
    told /= told.sum(axis=1, keepdims=True)
    found = calibrated(labels, told)
    assert found.sum(axis=1) == pytest.approx(np.ones(20_000))
    sure = found[:, 2] > 0.5
    # The share of some 10,000 rows has a standard deviation of 0.005 at most; four of them.
    assert (labels[sure] == 2).mean() == pytest.approx(found[sure, 2].mean(), abs=0.02)
    # Uncalibrated it says 0.59, where 0.69 is true.
    assert abs(told[sure, 2].mean() - (labels[sure] == 2).mean()) > 0.05


def test_a_class_without_rows_stays_without_probability() -> None:
    labels = np.array([0, 2] * 20)
    found = calibrated(labels, sure([0, 2] * 20))
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == labels).all()
