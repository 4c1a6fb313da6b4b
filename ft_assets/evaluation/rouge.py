"""ROUGE of one answer against one reference (Lin 2004), for text in any script.

The same F-measures as those of the library rouge-score without stemming, which `generation_metrics` computes,
but quick: that library fills a table for the longest common subsequence, which for two texts of 256 words
takes thirty times as long.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import regex

__all__ = ["ROUGE", "Tokenizer", "rouge"]

ROUGE = ("rouge1", "rouge2", "rougeL")
"""Names of the values, in order."""

# Scripts without spaces between words: each character, with the marks on it, is a token.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKENS = regex.compile(
    rf"(?V1)[[{_UNSPACED}]&&[\p{{L}}\p{{N}}]]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{_UNSPACED}]]+"
)


class Tokenizer:
    """Words of a text, in the interface of rouge-score's tokenizers.

    ASCII text gives the same tokens as rouge-score's default tokenizer: runs of letters and digits, in small
    letters. That one drops every other character, so that Chinese, Cyrillic or Greek text has no tokens and
    ROUGE 0. Here letters, digits and marks of all scripts (Unicode categories L, N and M) make words, and each
    character of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is a word of its own.
    """

    def tokenize(self, text: str) -> list[str]:
        return _TOKENS.findall(unicodedata.normalize("NFC", text.lower()))


def rouge(prediction: str, reference: str) -> tuple[float, float, float]:
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L, 0 to 1; 0 where a text is too short to have any n-gram."""
    one, other = Tokenizer().tokenize(prediction), Tokenizer().tokenize(reference)
    return (
        _f_measure(_matches(one, other, 1), len(one), len(other)),
        _f_measure(_matches(one, other, 2), len(one) - 1, len(other) - 1),
        _f_measure(_common(one, other), len(one), len(other)),
    )


def _f_measure(hits: int, predicted: int, wanted: int) -> float:
    if not hits:
        return 0.0
    precision, recall = hits / predicted, hits / wanted
    return 2 * precision * recall / (precision + recall)


def _matches(prediction: Sequence[str], reference: Sequence[str], n: int) -> int:
    """N-grams that both have, each as often as the rarer side has it."""
    one, other = (
        Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
        for tokens in (prediction, reference)
    )
    return (one & other).total()


def _common(prediction: Sequence[str], reference: Sequence[str]) -> int:
    """Length of the longest common subsequence: bit-parallel, a row of the table as one integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(reference):
        places[token] = places.get(token, 0) | 1 << place
    everything = row = (1 << len(reference)) - 1
    for token in prediction:
        matched = row & places.get(token, 0)
        row = (row + matched | row - matched) & everything
    return len(reference) - row.bit_count()
