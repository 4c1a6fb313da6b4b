"""Raw rows for benchmarks, as the readers would give them."""

import random

import polars as pl
import pyarrow as pa

from benchmarks.planted import mixed_texts
from ft_assets.data.examples import RAW_SCHEMA

__all__ = ["LABELS", "mixed_rows"]

LABELS = [f"label {number}" for number in range(7)]


def mixed_rows(rows: int, seed: int) -> pa.Table:
    """Raw rows with the texts of `planted.mixed_texts`."""
    texts = list(mixed_texts(random.Random(seed), rows))
    raw = pl.DataFrame(
        {
            "example_id": [f"{place:016x}" for place in range(rows)],
            "source": "rows",
            "file": "rows.jsonl",
            "row": range(rows),
            "context": pl.Series([None] * rows, dtype=pl.String),
            "text": texts,
            "label": [LABELS[len(text) % 7] for text in texts],  # the same for a text that was seen before
            "group": [f"thread {place // 5}" for place in range(rows)],
            "time": pl.Series([None] * rows, dtype=pl.Datetime("us", "UTC")),
            "split": pl.Series([None] * rows, dtype=pl.String),
        }
    )
    return raw.to_arrow().cast(RAW_SCHEMA)
