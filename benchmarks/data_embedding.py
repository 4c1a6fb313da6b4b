"""Semantic duplicates, measured: what a cosine of MiniLM's says about sentences, and what it costs to know it.

How near a row of test is to its nearest one of train, on the splits of `review_sentiment`; how near planted sentences
are to what they say again, and to their opposite (`planted_meanings.py`); rows embedded a second, and the time of the
comparison. Called by `data.py`.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.all_pairs import similarity
from benchmarks.bars import Bar
from benchmarks.planted_meanings import MEANINGS, Meaning
from ft_assets.data.cleaning import clean
from ft_assets.data.config import SemanticDuplicatesConfig
from ft_assets.data.embeddings import nearest
from ft_assets.data.labels import label
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.near_duplicates import settled
from ft_assets.data.readers import raw_examples
from ft_assets.data.splits import split
from ft_assets.data.texts import normalised
from ft_assets.paths import PROJECT, cache_dir, data_dir
from ft_assets.sources import resolve, resolve_model
from ft_assets.task import TaskConfig
from ft_assets.training.config import TrainingConfig
from ft_assets.training.embeddings import VECTORS, embed_texts

__all__ = ["measure_embedding"]

TASK = PROJECT / "ft_assets" / "defs" / "review_sentiment" / "defs.yaml"
THRESHOLD = SemanticDuplicatesConfig().threshold
SHOWN = (0.5, 0.9, 0.99, 1.0)
FOUND_BY_CHANCE = 0.01
MILLISECONDS = 50.0
SIZE = 384


def measure_embedding(rows: int, seed: int) -> list[Bar]:
    """Args:
    rows: of either side of the comparison that is timed.
    seed: of its vectors.
    """
    config = TaskConfig.model_validate(yaml.safe_load(TASK.read_text(encoding="utf-8"))["attributes"])
    model = resolve_model(config.base_model, cache=cache_dir(), base=data_dir())
    texts = _splits(config)
    started, processor = time.perf_counter(), time.process_time()
    vectors = {name: _embedded(model, part) for name, part in texts.items()}
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    number = sum(map(len, texts.values()))
    print(
        f"embedding: {number:,} rows of review_sentiment in {seconds:.0f} s, {number / seconds:.0f} rows a second; "
        f"{processor / number * 1e3:.1f} ms of the processor each"
    )
    print(f"{'cosine':<44}{'rows':>7}{'median':>9}{'90 %':>7}{'99 %':>7}{'largest':>9}{'found':>7}")
    among = {"validation": ("train",), "test": ("train", "validation")}
    chance = []
    for name, earlier in among.items():
        found = nearest(vectors[name], np.concatenate([vectors[each] for each in earlier])).cosine
        _line(f"{name}, nearest of {' and '.join(earlier)}", found)
        chance.append(found >= THRESHOLD)
    planted = {kind: _embedded(model, [getattr(each, kind) for each in MEANINGS]) for kind in Meaning._fields}
    for kind in Meaning._fields[1:]:
        cosine = (planted["text"] * planted[kind]).sum(1)
        _line(f"planted, {kind}", cosine)
        _by_letters(kind)
    found = nearest(planted["text"], vectors["train"]).cosine
    _line("planted, nearest of train", found)
    cost = _cost(rows, seed)
    return [
        Bar(
            "embedding: share of rows found in the sample",
            float(np.concatenate(chance).mean()),
            FOUND_BY_CHANCE,
            False,
        ),
        Bar("embedding: processor for a million pairs", cost, MILLISECONDS, False, "ms"),
    ]


def _line(what: str, cosine: np.ndarray) -> None:
    quantiles = "".join(
        f"{value:>{width}.3f}" for value, width in zip(np.quantile(cosine, SHOWN), (9, 7, 7, 9), strict=True)
    )
    print(f"{what:<44}{len(cosine):>7}{quantiles}{int((cosine >= THRESHOLD).sum()):>7}")


def _by_letters(kind: str) -> None:
    """How many of the same pairs are near duplicates."""
    near = [
        similarity(*normalised(pl.Series([each.text, getattr(each, kind)])).to_list()) for each in MEANINGS
    ]
    print(f"    by shingles from 0.7 on: {sum(value >= 0.7 for value in near)} of {len(near)}")


def _splits(config: TaskConfig) -> dict[str, list[str]]:
    """The texts of the sample by split, as a new ledger draws them."""
    files = [
        (source, resolve(str(source.path), cache=cache_dir(), base=data_dir())) for source in config.sources
    ]
    cleaned = clean(raw_examples(files, config.columns).examples, config.cleaning).examples
    near = config.cleaning.near_duplicates
    made = settled(label(cleaned, config.label_rules), near)
    tables = split(
        made.examples, config.splits, entries=Entries.none(), ledger_id="ab" * 16, near=near
    ).tables
    return {str(name): part.examples["text"].to_pylist() for name, part in tables.items()}


def _embedded(model: Path, texts: Sequence[str]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), folder / "texts.parquet")
        embed_texts(
            model=model,
            examples=folder / "texts.parquet",
            config=TrainingConfig(),
            output=folder,
            report=lambda message: None,
        )
        return np.load(folder / VECTORS, allow_pickle=False)


def _cost(rows: int, seed: int) -> float:
    """Milliseconds of the processor for a million pairs; the best of three."""
    draw = np.random.default_rng(seed)
    one, other = (draw.normal(size=(rows, SIZE)).astype(np.float16) for _ in range(2))
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        nearest(one, other)
        best = min(best, time.process_time() - started)
    pairs = rows * rows / 1e6
    print(
        f"embedding: {rows:,} rows with {rows:,} of {SIZE} halves: {best / pairs * 1e3:.1f} ms a million pairs"
    )
    return best / pairs * 1e3
