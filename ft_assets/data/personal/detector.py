"""What a detector is, and what the detectors share: boundaries, and the word that stands before a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Detector", "Spans", "said_before", "words"]

Spans = Iterator[tuple[int, int]]
"""Start and end of each thing found, in characters."""

# How far before a number a word may stand that says what it is; and one that says what it is not, which has to stand
# close by and without another number between: texts speak of orders and updates without their number, too.
_REACH, _NEAR = 40, 16
_DIGIT = re.compile(r"\d")
_NEXT_SENTENCE = re.compile(r"[.!?][)\"']?\s+(?=[A-Z])|\n")


@dataclass(frozen=True)
class Detector:
    """Finds one kind of personal data.

    Attributes:
        looks_like: Pattern (of polars' engine, whose time is linear) that is found in every text that has one. Cheap,
            and without word boundaries, which would be slow in text that is not ASCII.
        find: Finds them in a text whose digits, spaces and hyphens are ASCII. Time is linear in the text. Most of
            its patterns begin with a set of characters and look behind only then: Python's engine leaps to such
            a character, but would try a look behind at every one.
    """

    looks_like: str
    find: Callable[[str], Spans]


def words(alternatives: str) -> re.Pattern[str]:
    """A pattern of whole words, whatever their case; each may end in s."""
    return re.compile(rf"(?<![^\W_])(?:{alternatives})s?(?![^\W_])", re.IGNORECASE)


def said_before(text: str, at: int, meant: re.Pattern[str], other: re.Pattern[str]) -> bool | None:
    """What the words before a number, in the same sentence, say of it: that it is meant, something else, or nothing."""
    before = text[max(0, at - _REACH) : at]
    start = max((found.end() for found in _NEXT_SENTENCE.finditer(before)), default=0)
    last_digit = max((found.end() for found in _DIGIT.finditer(before)), default=0)
    close = max(start, len(before) - _NEAR, last_digit)
    yes = max((found.end() for found in meant.finditer(before, start)), default=-1)
    no = max((found.end() for found in other.finditer(before, close)), default=-1)
    return None if yes == no else yes > no
