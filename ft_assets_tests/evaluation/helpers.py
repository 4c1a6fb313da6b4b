"""Small evaluations with known answers, for the tests of this layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

LABELS = ["negative", "neutral", "positive"]


def examples(actual: Sequence[str], clusters: Sequence[str] | None = None, text: str = "a row") -> pa.Table:
    rows = len(actual)
    return pa.table(
        {
            "example_id": pa.array([f"{row:016x}" for row in range(rows)], pa.string()),
            "text": pa.array([text] * rows, pa.string()),
            "label": pa.array(list(actual), pa.string()),
            "cluster": pa.array(list(clusters or (f"c{row // 2}" for row in range(rows))), pa.string()),
        }
    )


def predictions(predicted: Sequence[str], labels: Sequence[str] = LABELS) -> pa.Table:
    """Predictions with a probability of 0.8 for the predicted label."""
    rest = 0.2 / max(len(labels) - 1, 1)
    columns: dict[str, Any] = {
        "example_id": [f"{row:016x}" for row in range(len(predicted))],
        "prediction": pa.array(list(predicted), pa.string()),
    }
    for label in labels:
        columns[f"p_{label}"] = pa.array([0.8 if label == p else rest for p in predicted], pa.float32())
    return pa.table(columns)


def noisy(rows: int, seed: int, right: float, labels: Sequence[str] = LABELS) -> tuple[list[str], list[str]]:
    """True labels, and predicted ones of which about the share `right` is right."""
    generator = np.random.default_rng(seed)
    actual = generator.choice(labels, rows)
    guess = np.where(generator.random(rows) < right, actual, generator.choice(labels, rows))
    return actual.tolist(), guess.tolist()


def training() -> dict[str, Any]:
    """What the worker's `training.json` says, in short."""
    history = [{"kind": "train", "step": s, "loss": 1.2 - s / 100} for s in range(1, 60)]
    history += [{"kind": "evaluation", "step": s, "loss": 1.0 - s / 150, "f1_macro": 0.6} for s in (20, 40)]
    return {
        "seconds": 114.2,
        "examples_per_second": 46.0,
        "tokens_per_second": 1100.0,
        "peak_memory_bytes": 8 * 2**27,
        "device": "cpu",
        "precision": "fp32",
        "best_step": 40,
        "stopped_early": False,
        "method": "lora",
        "libraries": {"torch": "2.13.0"},
        "history": history,
    }


def data_summaries() -> dict[str, dict[str, Any]]:
    """Summaries of the artifacts upstream of a report."""
    stage = {
        "rows_in": 10,
        "kept": 8,
        "merged": 1,
        "quarantined": 1,
        "by_rule": {"exact_duplicate": 1, "empty": 1},
    }
    split = {
        "rows_in": 4,
        "kept": 4,
        "merged": 0,
        "quarantined": 0,
        "by_rule": {},
        "clusters": 2,
        "labels": {"a": 4},
    }
    return {
        "cleaned_examples": stage,
        "test_split": split,
        "base_model": {"source": "pypi://some-model==1.0[wheel]/folder"},
        "baselines": {"baselines": {"majority": {"settings": {"label": "negative"}, "seconds": 0.01}}},
    }


def provenance() -> dict[str, Any]:
    return {
        "test_split": {
            "data_version": "d" * 32,
            "build_key": "b" * 32,
            "code_version": "c" * 32,
            "created": "2026-11-22T23:58:01+00:00",
            "inputs": {"labeled_examples": "e" * 32},
            "libraries": {"polars": "1.36.1"},
        }
    }


WORDS = ["return", "load", "write", "the", "a", "list", "path", "table", "of", "rows", "first", "copy", "and"]


def texts(rows: int, seed: int, words: int = 9) -> list[str]:
    """Sentences of 3 to `words` words, ending in a full stop."""
    generator = np.random.default_rng(seed)
    return [
        " ".join(generator.choice(WORDS, generator.integers(3, words + 1))).capitalize() + "."
        for _ in range(rows)
    ]


def changed(references: Sequence[str], seed: int, kept: float) -> list[str]:
    """The texts, with about the share `kept` of the words left as they are."""
    generator = np.random.default_rng(seed)
    return [
        " ".join(
            word if generator.random() < kept else str(generator.choice(WORDS)) for word in reference.split()
        )
        for reference in references
    ]


def answers(
    written: Sequence[str | None],
    *,
    nll: float = 20.0,
    ended: Sequence[bool] | None = None,
    truncated: Sequence[bool] | None = None,
) -> pa.Table:
    """Predictions of a model that writes; every reference has 10 tokens, and rows differ in likelihood."""
    rows = len(written)
    generator = np.random.default_rng(1)
    finished = [None if text is None else True for text in written] if ended is None else list(ended)
    return pa.table(
        {
            "example_id": pa.array([f"{row:016x}" for row in range(rows)], pa.string()),
            "prediction": pa.array(list(written), pa.string()),
            "nll": nll * generator.uniform(0.8, 1.2, rows),
            "tokens": pa.array([10] * rows, pa.int64()),
            "ended": pa.array(finished, pa.bool_()),
            "truncated": pa.array(list(truncated or [False] * rows), pa.bool_()),
        }
    )
