"""Texts that are hardly prose: too few or many words, few letters, many symbols, the same over and over.

The measures are those of Gopher (Rae et al. 2021, appendix A.1.1), made for web pages; that of repetition is seq-rep-4
(Welleck et al. 2020), one number where Gopher has thirteen. Limits are the user's (`QualityConfig`): none is set
unasked, because a short text may be all numbers and still be a good example. Not here: languages (`languages`),
characters (`cleaning`).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ft_assets.data.config import QualityConfig

__all__ = ["refusals", "repeated_share"]

# Scripts that put no space between words: each of their characters counts as a word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+"
_WORD_WITH_LETTER = rf"[{_UNSPACED}]|[^\s{_UNSPACED}]*?[\p{{L}}--[{_UNSPACED}]][^\s{_UNSPACED}]*"
_SEQUENCE = 4
_SLICE_ROWS = 10_000


@dataclass(frozen=True)
class _Filter:
    """A rule: the measure of each text, and where it lies beyond the limit."""

    rule: str
    value: pl.Series
    limit: float
    at_least: bool
    reason: str
    """With places for the value and the limit."""

    def refused(self) -> pl.Series:
        return (self.value < self.limit if self.at_least else self.value > self.limit).fill_null(False)

    def told(self) -> pl.Series:
        value = self.value if self.value.dtype.is_integer() else self.value.round(3)
        return pl.select(pl.format(self.reason, value, pl.lit(f"{self.limit:g}"))).to_series()


def refusals(texts: pl.Series, config: QualityConfig) -> pl.DataFrame:
    """Why texts are refused, each by the first limit that it breaks.

    Args:
        texts: Texts; null breaks none.
        config: The limits.

    Returns:
        `rule` and `reason` of each text, null where it is kept.
    """
    parts = [
        _judged(texts.slice(first, _SLICE_ROWS), config)
        for first in range(0, max(len(texts), 1), _SLICE_ROWS)
    ]
    return pl.concat(parts)


def repeated_share(texts: pl.Series) -> pl.Series:
    """Share of the sequences of four words that have stood in the same text before (seq-rep-4); 0 of fewer words."""
    words = pl.DataFrame({"words": texts.str.to_lowercase().str.extract_all(_WORD)})
    flat = words.with_row_index("text").explode("words").drop_nulls()
    word = pl.col("words").hash()
    sequence = pl.struct(word.shift(-place).alias(str(place)) for place in range(_SEQUENCE)).hash()
    inside = pl.col("text") == pl.col("text").shift(-(_SEQUENCE - 1))
    counted = (
        flat.select("text", sequence.alias("sequence"), inside.alias("inside"))
        .filter(pl.col("inside"))
        .group_by("text")
        .agg(((pl.len() - pl.col("sequence").n_unique()) / pl.len()).alias("share"))
    )
    found = words.with_row_index("text").join(counted, on="text", how="left", maintain_order="left")
    return found["share"].fill_null(0.0)


def _judged(texts: pl.Series, config: QualityConfig) -> pl.DataFrame:
    rule = pl.repeat(None, len(texts), dtype=pl.String, eager=True)
    reason = rule.clone()
    for each in _filters(texts, config):
        new = each.refused() & rule.is_null()
        if new.any():
            rule = rule.zip_with(~new, pl.Series([each.rule]))
            reason = reason.zip_with(~new, each.told())
    return pl.DataFrame({"rule": rule, "reason": reason})


def _filters(texts: pl.Series, config: QualityConfig) -> list[_Filter]:
    """The filters that the settings ask for, in the order in which they count."""
    words = texts.str.count_matches(_WORD)
    found = []
    if config.min_words is not None:
        found.append(
            _Filter("too_few_words", words, config.min_words, True, "{} words, at least {} are wanted")
        )
    if config.max_words is not None:
        found.append(
            _Filter("too_many_words", words, config.max_words, False, "{} words, at most {} are wanted")
        )
    if config.min_letter_share is not None:
        share = texts.str.count_matches(_WORD_WITH_LETTER) / words
        reason = "of the words a share of {} holds a letter, at least {} is wanted"
        found.append(_Filter("too_few_letters", share.fill_nan(0.0), config.min_letter_share, True, reason))
    if config.max_symbol_share is not None:
        hashes = texts.str.count_matches("#", literal=True)
        ellipses = texts.str.count_matches(r"\.\.\.|…")
        most = pl.select(pl.max_horizontal(hashes, ellipses)).to_series() / words
        reason = "{} hash signs or ellipses a word, at most {} are wanted"
        found.append(_Filter("too_many_symbols", most.fill_nan(0.0), config.max_symbol_share, False, reason))
    if config.max_repeated_share is not None:
        reason = "of the sequences of four words a share of {} stands there again, at most {} is wanted"
        found.append(
            _Filter("too_repetitive", repeated_share(texts), config.max_repeated_share, False, reason)
        )
    return found
