"""Training, measured: `python benchmarks/training.py [--quick] [--only PART …] [--seeds N]`. Run it on a quiet machine.

- generation: SmolLM2-135M with LoRA on rows of `code_docstrings`, by our worker, by `trl.SFTTrainer` with its defaults,
  and by that with bf16 and gradient checkpointing switched off; same rows, batches, rates and steps. What counts is
  tokens of the rows a second, padding left out, and the validation loss, measured by the same code.
- compile: the same training of ours, plain and with `training.compile`: how long compiling takes, and what it brings.
- memory: the peak of the process, of the same sides and of ours with each of the settings that need less; one step.
- gpu: every weight of a Llama of 1.07 billion random weights in bf16, by our worker, by `SFTTrainer` with its defaults
  and with its best settings. Needs a GPU; with `--quick` a tiny model, on whatever is there.
- classification: MiniLM on `review_sentiment`, by our worker and by `transformers.Trainer` with its defaults.
- rates: MiniLM on a part of `review_sentiment` by each method, at its default learning rate, a third of it and three
  times it; two seeds unless `--seeds` says otherwise.
- resume: trainings that are killed at random steps and go on: as many as `--kills` (100), over both task types and
  methods; every one is compared, bit for bit, with the same training left alone.

`--quick` takes a few rows and one seed, and five kills: it shows that everything runs, not what it is worth.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.bars import Bar, show  # noqa: E402
from benchmarks.materialized import data_of, latest, measured  # noqa: E402
from benchmarks.training_rates import measure_rates  # noqa: E402
from ft_assets.artifacts import Artifact  # noqa: E402
from ft_assets.training.config import DEFAULT_LEARNING_RATES  # noqa: E402
from ft_assets.worker.work_order import ResumeOrder, WorkOrder  # noqa: E402

TASK = "code_docstrings"
PARTS = ("generation", "compile", "memory", "gpu", "classification", "rates", "resume")
ROWS, QUICK_ROWS, VALIDATION_ROWS = 160, 32, 64
RATE_ROWS, QUICK_RATE_ROWS = 960, 64
LONGEST = 1_200
"""Characters of a prompt: rows that every side reads whole, at most some 400 tokens."""
BATCH = 16
GPU_SIZES = {
    "vocab_size": 49_152,
    "hidden_size": 2_048,
    "intermediate_size": 8_192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
PEERS = ("defaults", "plain")
MEMORY_SETTINGS: dict[str, dict[str, Any]] = {
    "ours": {},
    "passes of 256 tokens": {"tokens_per_pass": 256},
    "layers computed again": {"gradient_checkpointing": True},
    "both": {"tokens_per_pass": 256, "gradient_checkpointing": True},
    "ours, padded": {"packing": False},
}
"""Ours, from the fastest to the smallest."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows, one seed, five kills")
    parser.add_argument("--seeds", type=int, help="how many seeds to train (3; of rates 2)")
    parser.add_argument(
        "--rows", type=int, metavar="N", help=f"how many rows to learn from ({ROWS}; of rates {RATE_ROWS})"
    )
    parser.add_argument(
        "--longest",
        type=int,
        default=LONGEST,
        metavar="CHARS",
        help=f"of generation: only rows whose prompts have at most so many characters ({LONGEST:,})",
    )
    parser.add_argument(
        "--batch", type=int, default=BATCH, metavar="N", help=f"of generation: rows a step ({BATCH})"
    )
    parser.add_argument("--kills", type=int, metavar="N", help="how many trainings to kill (100)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts only")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=PEERS,
        default=PEERS,
        help="of generation: against TRL's defaults (slow on a CPU without bf16), against the plain one, or both",
    )
    given = parser.parse_args()
    seeds = 1 if given.quick else given.seeds or 3
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory(prefix="ft_assets-training-") as folder:
        if {"generation", "compile", "memory"} & set(given.only):
            data = data_of(TASK, Path(folder))
        if "generation" in given.only:
            rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
            bars += measure_generation(
                data,
                Path(folder) / "generation",
                seeds,
                rows,
                given.peers,
                longest=given.longest,
                batch=given.batch,
            )
        if "compile" in given.only:
            rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
            bars += measure_compile(data, Path(folder) / "compile", rows)
        if "memory" in given.only:
            bars += measure_memory(data, Path(folder) / "memory")
        if "gpu" in given.only:
            bars += measure_gpu(Path(folder) / "gpu", quick=given.quick)
        if "classification" in given.only:
            bars += measure_classification(Path(folder) / "classification", seeds, quick=given.quick)
        if "rates" in given.only:
            bars += measure_rates(
                data_of("review_sentiment", Path(folder) / "rates"),
                Path(folder) / "rates/trainings",
                1 if given.quick else given.seeds or 2,
                given.rows or (QUICK_RATE_ROWS if given.quick else RATE_ROWS),
                list(DEFAULT_LEARNING_RATES["classification"]),
            )
        if "resume" in given.only:
            bars += measure_resume(Path(folder) / "resume", given.kills or (5 if given.quick else 100))
    show(bars)


# --- generation ---


def measure_generation(
    data: Path, folder: Path, seeds: int, rows: int, peers: Sequence[str], *, longest: int, batch: int
) -> list[Bar]:
    """Ours and TRL's in turn for each seed."""
    results: list[dict[str, dict[str, float]]] = []
    for seed in range(seeds):
        here = folder / f"seed-{seed}"
        settings = {"seed": seed, "batch_size": batch}
        order = _generation(data, here, rows, VALIDATION_ROWS, settings, longest=longest)
        found = {kind: _measured(order, here, kind) for kind in ("ours", *peers)}
        for kind, each in found.items():
            print(
                f"generation, seed {seed}, {kind}: {each['tokens_per_second']:.1f} tokens/s, validation loss "
                f"{each['validation_loss']:.4f}, peak {each['memory']:.0f} MiB",
                flush=True,
            )
        results.append(found)

    def mean(kind: str, name: str) -> float:
        return statistics.mean(result[kind][name] for result in results)

    def ratio(kind: str, name: str) -> float:
        return mean("ours", name) / mean(kind, name)

    names = {"defaults": "SFTTrainer's defaults", "plain": "SFTTrainer without bf16 and checkpointing"}
    goals = {"defaults": 2.0, "plain": 1.3}
    bars = [Bar("generation: model FLOP utilisation", mean("ours", "model_flop_utilisation"), 0.0, True)]
    for kind in peers:
        name, speed, loss = names[kind], ratio(kind, "tokens_per_second"), ratio(kind, "validation_loss")
        bars.append(Bar(f"generation: tokens/s, ours / {name}", speed, goals[kind], True))
        bars.append(Bar(f"generation: validation loss, ours / {name}", loss, 1.01, False))
    return bars


def measure_compile(data: Path, folder: Path, rows: int) -> list[Bar]:
    """Ours twice; compiling is no part of the speed, but told."""
    found = {}
    for compiles in (False, True):
        here = folder / ("compiled" if compiles else "plain")
        order = _generation(data, here, rows, VALIDATION_ROWS, {"compile": compiles})
        found[compiles] = _measured(order, here, "ours")
        print(
            f"compile, {here.name}: {found[compiles]['tokens_per_second']:.1f} tokens/s after "
            f"{found[compiles]['compile_seconds']:.0f} s of compiling, validation loss "
            f"{found[compiles]['validation_loss']:.4f}, peak {found[compiles]['memory']:.0f} MiB",
            flush=True,
        )
    speed, loss = (
        found[True][name] / found[False][name] for name in ("tokens_per_second", "validation_loss")
    )
    return [
        Bar("compile: tokens/s, compiled / plain", speed, 1.0, True),
        Bar("compile: validation loss, compiled / plain", loss, 1.01, False),
    ]


def measure_memory(data: Path, folder: Path) -> list[Bar]:
    """One step of one batch, and a few validation rows, by each of the sides."""
    peaks = {}
    for kind in (*MEMORY_SETTINGS, "defaults", "plain"):
        here = folder / kind.replace(" ", "-")
        order = _generation(data, here, BATCH, 8, MEMORY_SETTINGS.get(kind, {}))
        found = _measured(order, here, "ours" if kind in MEMORY_SETTINGS else kind)
        peaks[kind] = found["memory"]
        print(
            f"memory, {kind}: peak {found['memory']:.0f} MiB, {found['tokens_per_second']:.1f} tokens/s",
            flush=True,
        )
    bars = [
        Bar(f"memory: peak, {kind} / SFTTrainer's defaults", peaks[kind] / peaks["defaults"], 1.0, False)
        for kind in MEMORY_SETTINGS
    ]
    smallest = min(peaks[kind] for kind in MEMORY_SETTINGS)
    return [
        *bars,
        Bar("memory: peak, ours at its smallest / the other", smallest / peaks["plain"], 1.0, False),
    ]


def _generation(
    data: Path,
    here: Path,
    rows: int,
    validation_rows: int,
    settings: dict[str, Any],
    *,
    longest: int = LONGEST,
) -> WorkOrder:
    """An order for a training on so many rows, in a folder of its own."""
    (here / "checkpoint").mkdir(parents=True)
    train, validation = (
        _some_rows(latest(data, TASK, f"{split}_split"), here / f"{split}.parquet", count, longest)
        for split, count in (("train", rows), ("validation", validation_rows))
    )
    return WorkOrder(
        kind="train",
        task_type="text-generation",
        output=str(here / "checkpoint"),
        base_model=str(latest(data, TASK, "base_model").path),
        train=str(train),
        validation=str(validation),
        training={
            "epochs": 1,
            "batch_size": BATCH,
            "learning_rate": 5e-4,
            "max_length": 512,
            "evaluations_per_epoch": 1,
        }
        | settings,
        prompt=_prompt(),
    )


def _measured(order: WorkOrder, here: Path, kind: str) -> dict[str, float]:
    """What one side makes of an order: ours, or TRL's by one of its kinds."""
    path = str(order.write(here / "order.json"))
    if kind == "ours":
        memory = measured("ft_assets.worker", [path])
        training = json.loads((here / "checkpoint/training.json").read_text())
        found = {
            "tokens_per_second": training["tokens_per_second"],
            "validation_loss": training["best_score"],
            "model_flop_utilisation": training["model_flop_utilisation"],
            "peak_memory_bytes": training["peak_memory_bytes"],
            "compile_seconds": training["compile_seconds"],
        }
    else:
        result = here / f"{kind}.json"
        memory = measured("benchmarks.trl_trainer", [path, str(result), kind])
        found = json.loads(result.read_text())
    return found | {"memory": memory / 1024}


def _prompt() -> dict[str, Any]:
    """The sample task's prompt."""
    import yaml

    text = (ROOT / "ft_assets/defs/code_docstrings/defs.yaml").read_text(encoding="utf-8")
    prompt: dict[str, Any] = yaml.safe_load(text)["attributes"].get("prompt", {})
    return prompt


def _some_rows(split: Artifact, target: Path, count: int, longest: int) -> Path:
    """Of the rows that are no longer than that, those with the smallest hash of their ids; says how long they are."""
    import numpy as np
    import pyarrow.parquet as pq

    from ft_assets.training.sequences import smallest

    table = split.table()
    chars = np.array([len(text) for text in table["text"].to_pylist()])
    table = table.take(np.flatnonzero(chars <= longest))
    table = table.take(smallest(table["example_id"].to_pylist(), count))
    pq.write_table(table, target)
    quartiles = np.quantile([len(text) for text in table["text"].to_pylist()], [0, 0.25, 0.5, 0.75, 1])
    print(
        f"{target.stem}: {len(table)} rows, characters {', '.join(f'{q:.0f}' for q in quartiles)} (quartiles)"
    )
    return target


# --- gpu ---


def measure_gpu(folder: Path, *, quick: bool) -> list[Bar]:
    """Random weights do: what is measured is speed and memory."""
    import torch

    from ft_assets_tests.tiny_models import build_tiny_llama

    if not quick and not torch.cuda.is_available():
        print("gpu: left out, there is none here")
        return []
    sizes = {} if quick else GPU_SIZES
    base = build_tiny_llama(folder / "base", window=2048, **sizes)
    for name, rows in (("train", 32 if quick else 2_000), ("validation", 8)):
        _mixed_rows(folder / f"{name}.parquet", rows)
    found = {}
    for kind in ("ours", "defaults", "best"):
        here = folder / kind
        (here / "checkpoint").mkdir(parents=True)
        order = WorkOrder(
            kind="train",
            task_type="text-generation",
            output=str(here / "checkpoint"),
            base_model=str(base),
            train=str(folder / "train.parquet"),
            validation=str(folder / "validation.parquet"),
            training={
                "method": "full",
                "epochs": 1,
                "batch_size": BATCH if quick else 64,
                "max_length": 2048,
                "evaluations_per_epoch": 1,
            },
        )
        found[kind] = _measured(order, here, kind)
        print(
            f"gpu, {kind}: {found[kind]['tokens_per_second']:.0f} tokens/s, "
            f"{found[kind]['peak_memory_bytes'] / 2**30:.1f} GiB",
            flush=True,
        )
    ours, defaults, best = (found[kind]["tokens_per_second"] for kind in ("ours", "defaults", "best"))
    return [
        Bar("gpu: model FLOP utilisation", found["ours"]["model_flop_utilisation"], 0.4, True),
        Bar("gpu: tokens/s, ours / SFTTrainer's defaults", ours / defaults, 3.0, True),
        Bar("gpu: tokens/s, ours / SFTTrainer's best settings", ours / best, 1.0, True),
    ]


def _mixed_rows(target: Path, rows: int) -> None:
    """Prompts and answers of random words: lengths of a log-normal distribution, of 600 tokens (bytes) by the median,
    most within 200 and 2,000."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(np.log(600), 0.6, rows), 40, 1_900).astype(int)
    texts = ["".join(rng.choice(list("abcdefgh "), size)) for size in sizes]
    table = {
        "example_id": [f"{i:016x}" for i in range(rows)],
        "context": pa.nulls(rows, pa.string()),
        "text": [text[: len(text) // 2] for text in texts],
        "label": [text[len(text) // 2 :] for text in texts],
    }
    pq.write_table(pa.table(table), target)


# --- classification ---


def measure_classification(folder: Path, seeds: int, *, quick: bool) -> list[Bar]:
    """Ours and the plain Trainer in turn for each seed; only the speed, the rest is in `main_job.py`."""
    data = data_of("review_sentiment", folder)
    ratios = []
    for seed in range(seeds):
        here = folder / f"seed-{seed}"
        (here / "checkpoint").mkdir(parents=True)
        order = _classification(data, here / "checkpoint", {"seed": seed, "epochs": 0.25 if quick else 1.0})
        path = str(order.write(here / "order.json"))
        measured("ft_assets.worker", [path])
        ours = json.loads((here / "checkpoint/training.json").read_text())["examples_per_second"]
        measured("benchmarks.plain_trainer", [path, str(here / "plain.json")])
        plain = json.loads((here / "plain.json").read_text())["examples_per_second"]
        ratios.append(ours / plain)
        print(f"classification, seed {seed}: ours {ours:.1f}, plain {plain:.1f} examples/s", flush=True)
    return [
        Bar("classification: examples/s, ours / transformers.Trainer", statistics.mean(ratios), 1.5, True)
    ]


def _classification(data: Path, output: Path, training: dict[str, Any]) -> WorkOrder:
    base, train, validation = (
        latest(data, "review_sentiment", asset) for asset in ("base_model", "train_split", "validation_split")
    )
    return WorkOrder(
        kind="train",
        output=str(output),
        labels=["negative", "positive", "neutral"],
        base_model=str(base.path),
        train=str(train.file("examples.parquet")),
        validation=str(validation.file("examples.parquet")),
        training={"learning_rate": 1e-3} | training,
    )


# --- resume ---


def measure_resume(folder: Path, kills: int) -> list[Bar]:
    """Small models, so that a hundred trainings end today; the state that they keep is the same as a large one's."""
    import pyarrow.parquet as pq

    from ft_assets_tests.tiny_models import build_tiny_bert, build_tiny_llama, recipe_table, write_sentiment

    bases = {
        "text-classification": build_tiny_bert(folder / "bert"),
        "text-generation": build_tiny_llama(folder / "llama"),
    }
    write_sentiment(folder / "sentiment.parquet", 240)
    write_sentiment(folder / "sentiment_validation.parquet", 40, seed=1)
    pq.write_table(recipe_table(240), folder / "recipes.parquet")
    pq.write_table(recipe_table(24, seed=1), folder / "recipes_validation.parquet")
    kinds = [
        (task_type, method)
        for task_type, family in zip(bases, ("classification", "generation"), strict=True)
        for method in DEFAULT_LEARNING_RATES[family]
    ]
    alone = {kind: _left_alone(folder, kind, bases[kind[0]]) for kind in kinds}
    resumed = equal = damaged = 0
    rng = random.Random(0)
    for number in range(kills):
        kind = kinds[number % len(kinds)]
        said, weights = _killed_once(folder, kind, bases[kind[0]], rng)
        resumed += "goes on from the resume point" in said
        damaged += "is not used" in said
        equal += weights == alone[kind]
        print(
            f"resume: {', '.join(kind)}: so far {resumed} of {number + 1} went on, {equal} equal to the training left "
            "alone",
            flush=True,
        )
    return [
        Bar(f"resume: of {kills} killed trainings, those that went on", resumed, kills, True),
        Bar("resume: those equal, bit for bit, to the training left alone", equal, kills, True),
        Bar("resume: damaged points found", damaged, 0, False),
    ]


def _order(folder: Path, kind: tuple[str, str], base: Path, here: Path) -> WorkOrder:
    task_type, method = kind
    rows = "recipes" if task_type == "text-generation" else "sentiment"
    shutil.rmtree(here, ignore_errors=True)
    (here / "checkpoint").mkdir(parents=True)
    return WorkOrder(
        kind="train",
        task_type=task_type,
        output=str(here / "checkpoint"),
        labels=None if task_type == "text-generation" else ["negative", "neutral", "positive"],
        base_model=str(base),
        train=str(folder / f"{rows}.parquet"),
        validation=str(folder / f"{rows}_validation.parquet"),
        training={"method": method, "epochs": 3, "batch_size": 8, "dropout": 0.1, "threads": 1},
        resume=ResumeOrder(folder=str(here / "points"), every_steps=1),
    )


def _start(order: WorkOrder, here: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "ft_assets.worker", str(order.write(here / "order.json"))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _end(process: subprocess.Popen[str]) -> str:
    said = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"the worker failed:\n{said[-4000:]}")
    return said


def _left_alone(folder: Path, kind: tuple[str, str], base: Path) -> dict[str, bytes]:
    here = folder / "alone"
    _end(_start(_order(folder, kind, base, here).model_copy(update={"resume": None}), here))
    return _weights(here)


def _weights(here: Path) -> dict[str, bytes]:
    """Every file of weights in a checkpoint, adapters included; no scratch files of the process that was killed."""
    checkpoint = here / "checkpoint"
    files = {str(path.relative_to(checkpoint)): path for path in checkpoint.rglob("*.safetensors")}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(".")}


def _killed_once(
    folder: Path, kind: tuple[str, str], base: Path, rng: random.Random
) -> tuple[str, dict[str, bytes]]:
    """Kill a training at a random step, let it go on; gives what it said and its weights."""
    here = folder / "killed"
    order = _order(folder, kind, base, here)
    process = _start(order, here)
    step = f"step-{rng.randint(1, 85):09d}"
    while max((point.name for point in (here / "points").glob("step-*")), default="") < step:
        if process.poll() is not None:
            raise RuntimeError(f"the worker ended by itself:\n{process.communicate()[0][-4000:]}")
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.02))
    os.kill(process.pid, 9)
    process.communicate()
    said = _end(_start(order, here))
    return said, _weights(here)


if __name__ == "__main__":
    main()
