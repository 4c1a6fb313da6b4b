"""The default learning rates of the methods, tried: `benchmarks/training.py --only rates`.

MiniLM on a part of `review_sentiment`, by each method, at 0.3, 1 and 3 times its default rate. Only the validation loss
is compared; all trainings run in one process, so that the libraries are loaded once.
"""

import math
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.bars import Bar  # noqa: E402
from benchmarks.materialized import latest  # noqa: E402
from ft_assets.artifacts import Artifact  # noqa: E402
from ft_assets.errors import UserError  # noqa: E402
from ft_assets.training.config import DEFAULT_LEARNING_RATES, Method, TrainingConfig  # noqa: E402

__all__ = ["measure_rates"]

TASK = "review_sentiment"
LABELS = ["negative", "positive", "neutral"]
FACTORS = (0.3, 1.0, 3.0)
EPOCHS, BATCH = 2.0, 16
"""Small batches: a part of the rows is to give some dozen steps."""
VALIDATION_ROWS = 200
WORSE = 1.05
"""A default is doubtful if another rate makes less than its loss by this factor: seeds differ by some percent."""


def measure_rates(data: Path, folder: Path, seeds: int, rows: int, methods: list[Method]) -> list[Bar]:
    """Validation loss by method and rate, mean over the seeds; infinite where a training diverged."""
    folder.mkdir(parents=True)
    train, validation = (
        _some_rows(latest(data, TASK, f"{split}_split"), folder / f"{split}.parquet", count)
        for split, count in (("train", rows), ("validation", VALIDATION_ROWS))
    )
    base = latest(data, TASK, "base_model").path
    bars = []
    for method in methods:
        default = DEFAULT_LEARNING_RATES["classification"][method]
        found: dict[float, list[float]] = {factor: [] for factor in FACTORS}
        for seed in range(seeds):
            for factor, losses in found.items():
                config = TrainingConfig(
                    method=method,
                    learning_rate=factor * default,
                    epochs=EPOCHS,
                    batch_size=BATCH,
                    seed=seed,
                )
                here = folder / f"{method}-{factor}-{seed}"
                here.mkdir()
                losses.append(_validation_loss(base, train, validation, config, here))
        for factor, losses in found.items():
            each = ", ".join(f"{loss:.3f}" for loss in losses)
            print(
                f"rates, {method}, {factor * default:g} ({factor:g} times the default): "
                f"validation loss {statistics.mean(losses):.3f} ({each})",
                flush=True,
            )
        means = {factor: statistics.mean(losses) for factor, losses in found.items()}
        ratio = means[1.0] / min(means.values())
        bars.append(Bar(f"rates: {method}, loss at the default / at the best of them", ratio, WORSE, False))
    return bars


def _validation_loss(
    base: Path, train: Path, validation: Path, config: TrainingConfig, output: Path
) -> float:
    from ft_assets.training.text_classification import train_classifier

    try:
        result = train_classifier(
            base_model=base,
            train=train,
            validation=validation,
            labels=LABELS,
            config=config,
            output=output,
            report=lambda message: None,
        )
    except UserError as error:
        if "diverged" not in error.what:
            raise
        return math.inf
    return float(result["best_score"])


def _some_rows(split: Artifact, target: Path, count: int) -> Path:
    """Those with the smallest hash of their ids."""
    import pyarrow.parquet as pq

    from ft_assets.training.sequences import smallest

    table = split.table()
    pq.write_table(table.take(smallest(table["example_id"].to_pylist(), count)), target)
    return target
