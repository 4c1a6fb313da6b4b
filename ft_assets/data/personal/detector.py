"""What a detector is, and what the detectors share: boundaries, and the word that stands before a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Detector", "Spans", "last_word", "words"]

Spans = Iterator[tuple[int, int]]
"""Start and end of each thing found, in characters."""

# How far before a number a word may stand that says what it is.
_REACH = 40


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


def last_word(text: str, at: int, *sorts: re.Pattern[str]) -> int | None:
    """Which sort of word stands nearest before a place, on the same line; None: no word of any sort."""
    before = text[max(0, at - _REACH) : at]
    before = before[before.rfind("\n") + 1 :]
    ends = [max((found.end() for found in sort.finditer(before)), default=-1) for sort in sorts]
    nearest = max(ends)
    return None if nearest < 0 else ends.index(nearest)
