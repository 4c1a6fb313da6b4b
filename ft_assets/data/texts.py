"""Texts as numbers: what makes two of them equal, and how long they are.

Here: what several stages ask of texts; each looks at a slice at a time. Not here: any change of a text (`cleaning`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from ft_assets.data.examples import to_polars
from ft_assets.spill import slices

__all__ = [
    "LENGTH_EDGES",
    "answer_lengths",
    "lengths",
    "normalised",
    "read_texts",
    "single_spaced",
    "text_keys",
    "text_lengths",
    "where",
]

# Lower edges of the length histogram's bins, in characters: doubling, so that tweets and essays both show.
# The last one is beyond what the readers let through.
LENGTH_EDGES = [0, *(2**power for power in range(26))]


def read_texts(frame: pl.DataFrame) -> pl.Series:
    """All that is read of each row: its text, after what stood before it."""
    return frame.select(pl.col("context").fill_null("") + pl.col("text")).to_series()


def text_keys(texts: pl.Series) -> pl.Series:
    """What makes texts equal: 32 hex digits of SHA-256 over the normalised text. Two rows with one key are duplicates.

    128 bits: among 5 million texts two keys collide with a chance of 10^-25.
    """
    keys = [
        None if text is None else hashlib.sha256(text.encode()).hexdigest()[:32] for text in normalised(texts)
    ]
    return pl.Series(keys, dtype=pl.String)


def normalised(texts: pl.Series) -> pl.Series:
    """NFKC, case folded, white space collapsed.

    Case folding can leave NFKC, hence NFKC again (Unicode 16, section 3.13.5).
    """
    ascii_only = texts.str.len_bytes() == texts.str.len_chars()
    folded = pl.select(pl.when(ascii_only).then(texts.str.to_lowercase()).otherwise(texts)).to_series()
    return single_spaced(where(~ascii_only, folded, _fold)).str.strip_chars()


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def single_spaced(text: pl.Series) -> pl.Series:
    """Runs of white space as one space. Looking first costs a seventh of replacing; few rows need it."""
    uneven = text.str.contains(r"[\s&&[^ ]]|  ").fill_null(False)
    return text.clone().scatter(uneven.arg_true(), text.filter(uneven).str.replace_all(r"\s+", " "))


def where(mask: pl.Series, text: pl.Series, function: Callable[[str], str]) -> pl.Series:
    """The texts with the function called on those under the mask."""
    mask = mask.fill_null(False)
    changed = pl.Series([function(value) for value in text.filter(mask)], dtype=pl.String)
    return text.clone().scatter(mask.arg_true(), changed)  # scatter changes its series in place


def text_lengths(table: pa.Table, column: str = "text") -> pl.Series:
    """Characters of each text of a column; null where there is none."""
    parts = [to_polars(part.select([column])).to_series().str.len_chars() for part in slices(table)]
    return pl.concat(parts, rechunk=True)


def answer_lengths(table: pa.Table) -> dict[str, Any]:
    """How long the answers are (the column `label`), for a summary; rows without one do not count."""
    after = lengths(text_lengths(table, "label").drop_nulls())
    return {"unit": "characters", "edges": LENGTH_EDGES, "after": after}


def lengths(chars: pl.Series) -> dict[str, Any]:
    """Histogram over `LENGTH_EDGES` (the last bin is open) and quartiles; missing texts count as empty."""
    chars = chars.fill_null(0)
    places = np.searchsorted(LENGTH_EDGES, chars.to_numpy(), side="right") - 1
    tally = np.bincount(places, minlength=len(LENGTH_EDGES))
    quartiles = {
        name: chars.quantile(share, "nearest") if len(chars) else None
        for name, share in (("min", 0.0), ("q1", 0.25), ("median", 0.5), ("q3", 0.75), ("max", 1.0))
    }
    return {
        "counts": tally.tolist(),
        **{name: None if value is None else int(value) for name, value in quartiles.items()},
    }
