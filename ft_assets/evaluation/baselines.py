"""Baselines: what a user could have instead of a fine-tuned model, predicted for the same rows.

A baseline is a named function from `Splits` to predictions and the settings that it chose. `BASELINES` lists
them; to add one is to add a function there and its name to `config.BaselineName`. Every baseline may learn
from the train split and choose its settings on the validation split, exactly as the fine-tuned model does.

Not here: the baselines of models that write (`zero_shot`, `few_shot`). They are the base model's own answers,
which the worker writes.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ft_assets.errors import UserError

__all__ = ["BASELINES", "BaselineResult", "Splits", "run", "text_features"]

# Inverse strengths of the L2 penalty that are tried, half a decade apart.
GRID = (0.1, 0.3, 1.0, 3.0)
# Words with their apostrophes, and runs of exclamation and question marks, which carry sentiment.
TOKENS = r"(?u)\b\w+(?:'\w+)?\b|[!?]+"
# N-grams of each half, the most frequent ones: bounds the memory on large data.
MAX_FEATURES = 300_000


@dataclass(frozen=True)
class Splits:
    """What a baseline is given. The tables have example_id, text and label; that of `test` has no label."""

    train: pa.Table
    validation: pa.Table
    test: pa.Table
    labels: list[str]
    seed: int


@dataclass(frozen=True)
class BaselineResult:
    """What a baseline gives back."""

    predictions: pa.Table
    """example_id and prediction (a label), one row for each test row and in their order."""
    settings: dict[str, Any]
    """What it chose and how, in plain values."""
    seconds: float
    """Time it took, tuning and prediction included."""


Baseline = Callable[[Splits], tuple[list[str], dict[str, Any]]]


def run(  # noqa: PLR0917 - the three splits in the order in which data flows
    names: Sequence[str],
    train: pa.Table,
    validation: pa.Table,
    test: pa.Table,
    labels: Sequence[str],
    seed: int = 0,
) -> dict[str, BaselineResult]:
    """Predict the test rows with each named baseline.

    Raises:
        UserError: a name is unknown, or the train split has no rows or only one label where more are needed.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise UserError(
            f"unknown baseline: {', '.join(unknown)}",
            where="evaluation.baselines",
            do=f"use some of: {', '.join(BASELINES)}",
        )
    if not train.num_rows:
        raise UserError("the train split has no rows", do="look at the quarantine, or give more data")
    # The labels of the test rows are taken away: no baseline can look.
    splits = Splits(train, validation, test.select(["example_id", "text"]), list(labels), seed)
    return {name: _timed(BASELINES[name], splits) for name in names}


def _timed(baseline: Baseline, splits: Splits) -> BaselineResult:
    start = time.perf_counter()
    predicted, settings = baseline(splits)
    table = pa.table(
        {"example_id": splits.test["example_id"], "prediction": pa.array(predicted, pa.string())}
    )
    return BaselineResult(table, settings, time.perf_counter() - start)


def majority(splits: Splits) -> tuple[list[str], dict[str, Any]]:
    """The most frequent label of the train split for every row; of equals the first of the labels."""
    found = splits.train["label"].to_pylist()
    label = max(splits.labels, key=found.count)
    settings = {"label": label, "share_of_train": found.count(label) / len(found)}
    return [label] * splits.test.num_rows, settings


def tfidf(splits: Splits) -> tuple[list[str], dict[str, Any]]:
    """Words and characters, TF-IDF, balanced logistic regression.

    Word 1-2-grams and character 2-5-grams within words; presence, not frequency (Pang, Lee & Vaithyanathan
    2002, section 6.1: better for sentiment); each half of unit length. The penalty with the best macro-F1 on
    the validation split is taken, of equal ones the strongest. Vocabulary and weights come from the train
    split alone, as those of the fine-tuned model do.
    """
    truth = splits.train["label"].to_pylist()
    if len(set(truth)) < 2:
        raise UserError(
            "the train split has only one label: there is nothing to learn",
            where="baseline tfidf",
            do="give rows of at least two labels, or leave the baseline out (evaluation.baselines)",
        )
    texts = splits.train["text"].to_pylist()
    features = text_features(texts)
    train = features.fit_transform(texts)
    scored = _tuned(train, truth, features, splits)
    strength, (model, _) = max(scored.items(), key=lambda item: item[1][1] or 0.0)
    settings = {
        "features": "word 1-2-grams and char_wb 2-5-grams, presence, TF-IDF",
        "n_features": int(train.shape[1]),
        "model": "logistic regression, balanced classes",
        "C": strength,
        "tuned_on": "validation" if len(scored) > 1 else "nothing: no validation rows",
        "validation_f1_macro": {str(c): score for c, (_, score) in scored.items() if score is not None},
        "fitted_on": "train",
    }
    return model.predict(features.transform(splits.test["text"].to_pylist())).tolist(), settings


def text_features(texts: Sequence[str]) -> Any:
    """What the baseline `tfidf` sees of texts, as a transformer of scikit-learn that is yet to be fitted on them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    shared = {"binary": True, "max_features": MAX_FEATURES}
    parts = [("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared))]
    # Rows of symbols alone have no words, and a vectoriser without a vocabulary is an error.
    if any(re.search(TOKENS, text) for text in texts):
        parts.insert(0, ("words", TfidfVectorizer(token_pattern=TOKENS, ngram_range=(1, 2), **shared)))
    return FeatureUnion(parts)


def _tuned(
    train: Any, truth: list[str], features: Any, splits: Splits
) -> dict[float, tuple[Any, float | None]]:
    """{inverse penalty: (fitted model, macro-F1 on validation)}, strongest penalty first."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from threadpoolctl import threadpool_limits

    def fitted(strength: float) -> Any:
        # Ten times the default tolerance: the scores are the same to three digits, at half the time.
        settings = {"class_weight": "balanced", "max_iter": 1_000, "tol": 1e-3, "random_state": splits.seed}
        return LogisticRegression(C=strength, **settings).fit(train, truth)

    if not splits.validation.num_rows:
        return {1.0: (fitted(1.0), None)}
    rows = features.transform(splits.validation["text"].to_pylist())
    expected = splits.validation["label"].to_pylist()
    # One thread: these products are too small to share, and the sums come out alike on every machine.
    with threadpool_limits(limits=1):
        models = {strength: fitted(strength) for strength in GRID}
    return {
        strength: (model, float(f1_score(expected, model.predict(rows), average="macro", zero_division=0)))
        for strength, model in models.items()
    }


BASELINES: Mapping[str, Baseline] = {"majority": majority, "tfidf": tfidf}
