"""The filters behind the repairs: which rows are refused for their quality or their language.

Here: the order in which they are asked. Not here: what each of them looks at (`quality`, `languages`), and rules that
always hold, such as that there is a text (`cleaning`).
"""

from __future__ import annotations

import polars as pl

from ft_assets.data import languages, quality
from ft_assets.data.config import CleaningConfig, QualityConfig

__all__ = ["refusals"]


def refusals(frame: pl.DataFrame, config: CleaningConfig, *, conversations: bool = False) -> pl.DataFrame:
    """Why rows are refused, each by the first rule that it breaks: quality, then language.

    Args:
        frame: Repaired rows with `text`, and `label` where they are conversations.
        config: Which filters there are; without any nothing is computed.
        conversations: Whether labels are answers, which are texts, too.

    Returns:
        `rule` and `reason` of each row, null where it is kept.
    """
    rule = pl.repeat(None, frame.height, dtype=pl.String, eager=True).alias("rule")
    found = pl.DataFrame([rule, rule.alias("reason")])
    if config.quality != QualityConfig():
        found = _first(found, quality.refusals(frame["text"], config.quality))
    limit = config.quality.max_repeated_share
    if conversations and limit is not None:
        answers = quality.refusals(frame["label"], QualityConfig(max_repeated_share=limit))
        found = _first(found, answers.with_columns("the answer: " + pl.col("reason")))
    if config.languages:
        # Asking costs most: only of rows that are left.
        left = found["rule"].is_null().arg_true()
        told = languages.refusals(frame["text"].gather(left), config)
        found = found.with_columns(
            found[name].scatter(left, told[name]).alias(name) for name in ("rule", "reason")
        )
    return found


def _first(found: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """What was found first counts."""
    free = found["rule"].is_null()
    return found.select(found[name].zip_with(~free, more[name]).alias(name) for name in ("rule", "reason"))
