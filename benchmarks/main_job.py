"""The main job, measured: `make bench`, or `python benchmarks/main_job.py [--quick] [--seeds N]`.
Run it on a quiet machine.

- load: the code location against `import dagster`, and what it may not import;
- job: a cold materialisation of the sample task against the compute timed inside its stages (imports are no part
  of that), and a second one;
- training: our worker against plain `transformers.Trainer` (see `plain_trainer.py`), in turn, three seeds: same rows,
  base model, method, learning rate and epochs;
- quality: macro-F1 on the test split with those three checkpoints, and the paired gain over TF-IDF.

`--quick` trains one seed for a quarter of an epoch: it shows that everything runs, not what it is worth.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.bars import Bar, show  # noqa: E402
from benchmarks.materialized import data_environment, latest, measured, run  # noqa: E402

TASK = "review_sentiment"
HEAVY = ("torch", "transformers", "datasets", "evaluate", "great_expectations", "sklearn")
LOAD = "from ft_assets.definitions import defs; defs()"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, a quarter of an epoch")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds to train (3)")
    given = parser.parse_args()
    quick, seeds = given.quick, 1 if given.quick else given.seeds
    with tempfile.TemporaryDirectory(prefix="ft_assets-bench-") as folder:
        data = Path(folder) / "data"
        environment = data_environment(data)
        bars = measure_load()
        bars += measure_job(data, environment)
        bars += measure_training(data, Path(folder), seeds, quick)
    show(bars)


def measure_load(pairs: int = 7) -> list[Bar]:
    """The code location's load time as a ratio, pair by pair in turn, after a warm-up."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run(["-W", "ignore", "-c", LOAD], environment)
    ratios = []
    for _ in range(pairs):
        dagster, _out = run(["-c", "import dagster"], environment)
        ours, _out = run(["-W", "ignore", "-c", LOAD], environment)
        ratios.append(ours / dagster)
    _seconds, out = run(
        ["-W", "ignore", "-c", f"{LOAD}; import sys; print([m for m in {HEAVY} if m in sys.modules])"],
        environment,
    )
    print(
        f"load: ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}; heavy libraries imported: {out.strip()}"
    )
    imported = len(json.loads(out.strip().replace("'", '"')))
    return [
        Bar("load: code location / import dagster (median of pairs)", statistics.median(ratios), 1.5, False),
        Bar("load: heavy libraries imported", imported, 0, False),
    ]


def measure_job(data: Path, environment: Mapping[str, str]) -> list[Bar]:
    """A cold materialisation, its compute, and a second one that reuses everything."""
    # As `make instance` does, which is part of the set-up.
    run(["-m", "dagster", "instance", "concurrency", "set", "gpu", "1"], environment)
    command = ["-W", "ignore", "-m", "ft_assets", "materialize", TASK]
    cold, _out = run(command, environment)
    second, _out = run(command, environment)
    assets = sorted(path.name for path in (data / "store" / TASK).iterdir())
    seconds = {asset: latest(data, TASK, asset).manifest["seconds"] for asset in assets}
    compute = sum(seconds.values())
    timed = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(f"job: cold {cold:.1f} s, of it {timed}; second {second:.1f} s")
    return [
        Bar("job: overhead of a cold materialisation / compute", (cold - compute) / compute, 0.10, False),
        Bar("job: second materialisation", second, 25, False, "s"),
    ]


def measure_training(data: Path, folder: Path, seeds: int, quick: bool) -> list[Bar]:
    """Ours and the peer in turn for each seed; then what our checkpoints are worth on the test split."""
    results: list[dict[str, Any]] = []
    for seed in range(seeds):
        order = work_order(data, folder / f"seed-{seed}", seed, epochs=0.25 if quick else None)
        ours_memory = measured("ft_assets.worker", [order])
        result = Path(order).with_name("plain.json")
        plain_memory = measured("benchmarks.plain_trainer", [order, str(result)])
        plain = json.loads(result.read_text())
        training = json.loads((Path(order).with_name("checkpoint") / "training.json").read_text())
        loss = min(point["loss"] for point in training["history"] if point["kind"] == "evaluation")
        results.append(
            {
                "speed": training["examples_per_second"] / plain["examples_per_second"],
                "loss": loss,
                "plain_loss": plain["validation_loss"],
                "memory": ours_memory / plain_memory,
                **gain(data, Path(order).with_name("checkpoint"), training),
            }
        )
        print(
            f"training, seed {seed}: ours {training['examples_per_second']:.1f}, plain "
            f"{plain['examples_per_second']:.1f} examples/s; validation loss {loss:.4f} and "
            f"{plain['validation_loss']:.4f}; peak {ours_memory / 1024:.0f} and {plain_memory / 1024:.0f} MiB; "
            f"macro-F1 {results[-1]['f1']:.3f}, gain over TF-IDF {results[-1]['low']:+.3f} to "
            f"{results[-1]['high']:+.3f}"
        )

    def mean(name: str) -> float:
        return statistics.mean(result[name] for result in results)

    return [
        Bar("training: examples/s, ours / plain Trainer (mean)", mean("speed"), 1.3, True),
        Bar(
            "training: validation loss, ours / plain (means)", mean("loss") / mean("plain_loss"), 1.01, False
        ),
        Bar("training: peak memory, ours / plain (mean)", mean("memory"), 1.0, False),
        Bar("quality: macro-F1 on test (mean of seeds)", mean("f1"), 0.68, True),
        Bar("quality: lowest lower bound of the gain over TF-IDF", min(r["low"] for r in results), 0.0, True),
    ]


def work_order(data: Path, folder: Path, seed: int, epochs: float | None) -> str:
    """The worker's order for the sample's splits and settings, with another seed."""
    from ft_assets.worker.work_order import WorkOrder

    config = latest(data, TASK, "checkpoint").manifest["config"]
    training = config["training"] | {"seed": seed} | ({"epochs": epochs} if epochs else {})
    training["learning_rate"] = training["learning_rate"] or 1e-3
    (folder / "checkpoint").mkdir(parents=True)
    order = WorkOrder(
        kind="train",
        output=str(folder / "checkpoint"),
        labels=config["labels"],
        base_model=str(latest(data, TASK, "base_model").path),
        train=str(latest(data, TASK, "train_split").file("examples.parquet")),
        validation=str(latest(data, TASK, "validation_split").file("examples.parquet")),
        training=training,
    )
    return str(order.write(folder / "order.json"))


def gain(data: Path, checkpoint: Path, training: Mapping[str, Any]) -> dict[str, float]:
    """Macro-F1 of a checkpoint on the test split, and the interval of its gain over TF-IDF on the same rows."""
    import pyarrow.parquet as pq

    from ft_assets.evaluation.config import EvaluationConfig
    from ft_assets.evaluation.text_classification import evaluate_predictions
    from ft_assets.worker.work_order import WorkOrder

    labels = latest(data, TASK, "checkpoint").manifest["config"]["labels"]
    test = latest(data, TASK, "test_split").file("examples.parquet")
    output = checkpoint.with_name("predictions")
    output.mkdir()
    order = WorkOrder(
        kind="predict", output=str(output), labels=labels, checkpoint=str(checkpoint), examples=str(test)
    )
    run(["-m", "ft_assets.worker", str(order.write(output.with_suffix(".json")))])
    tfidf = latest(data, TASK, "baselines").table("tfidf")
    report = evaluate_predictions(
        pq.read_table(test),
        pq.read_table(output / "predictions.parquet"),
        {"tfidf": tfidf},
        EvaluationConfig(baselines=("tfidf",)),
        labels=labels,
    )
    difference = report["differences"]["tfidf"]["f1_macro"]
    return {
        "f1": report["metrics"]["f1_macro"]["value"],
        "low": difference["low"],
        "high": difference["high"],
    }


if __name__ == "__main__":
    main()
