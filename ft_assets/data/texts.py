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


# Characters that lower case alone folds, whatever stands beside them: most of what is written in the scripts of Europe,
# in Hebrew, Arabic, Thai, Japanese, Korean and Chinese, signs and emoji. Without those that combine with others, that
# NFKC replaces, and the Greek sigmas, which depend on their place. (Held against Unicode's tables by a test.)
_LOWER_CASE_FOLDS = (
    r"\x00-\x7f\u{a1}-\u{a7}\u{a9}\u{ab}-\u{ae}\u{b0}\u{b1}\u{b6}\u{b7}\u{bb}\u{bf}-\u{de}\u{e0}-\u{12f}"
    r"\u{134}-\u{13e}\u{141}-\u{148}\u{14a}-\u{17e}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}\u{38f}\u{391}-\u{3a1}"
    r"\u{3a4}-\u{3af}\u{3b1}-\u{3c1}\u{3c3}-\u{3ce}\u{400}-\u{482}\u{48a}-\u{52f}\u{5d0}-\u{5ea}\u{61b}-\u{64a}"
    r"\u{679}-\u{6d5}\u{e01}-\u{e32}\u{1e00}-\u{1e95}\u{1ea0}-\u{1ef9}\u{200b}-\u{2010}\u{2012}-\u{2016}"
    r"\u{2018}-\u{2023}\u{2030}-\u{2032}\u{2039}-\u{203b}\u{20a0}-\u{20a7}\u{20a9}-\u{20c0}\u{2190}-\u{222b}"
    r"\u{2500}-\u{27bf}\u{3001}-\u{3029}\u{3041}-\u{3096}\u{30a0}-\u{30fe}\u{4e00}-\u{9fff}\u{ac00}-\u{d7a3}"
    r"\u{fe0f}\u{1f300}-\u{1f6d7}\u{1f900}-\u{1fa53}"
)


def normalised(texts: pl.Series) -> pl.Series:
    """NFKC, case folded, white space collapsed.

    Case folding can leave NFKC, hence NFKC again (Unicode 16, section 3.13.5).
    """
    texts = texts.str.replace_all(
        "\u00a0", " ", literal=True
    )  # as NFKC does; common enough to be done in one go
    other = texts.str.contains(f"[^{_LOWER_CASE_FOLDS}]")
    return single_spaced(where(other, texts.str.to_lowercase(), _fold, of=texts)).str.strip_chars()


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def single_spaced(text: pl.Series) -> pl.Series:
    """Runs of white space as one space. Looking first costs a seventh of replacing; few rows need it."""
    uneven = text.str.contains(r"[\s&&[^ ]]|  ").fill_null(False)
    return text.clone().scatter(uneven.arg_true(), text.filter(uneven).str.replace_all(r"\s+", " "))


def where(
    mask: pl.Series, text: pl.Series, function: Callable[[str], str], of: pl.Series | None = None
) -> pl.Series:
    """The texts with the function called on those under the mask; or on others in their places (`of`)."""
    mask = mask.fill_null(False)
    given = (text if of is None else of).filter(mask)
    changed = pl.Series([function(value) for value in given], dtype=pl.String)
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
