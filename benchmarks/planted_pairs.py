"""Texts with near duplicates planted among them: for measuring how many are found.

Kept apart from what is measured: nothing of `ft_assets` is imported. Words are made up and drawn by Zipf's law, as in
languages, so that two texts that are not planted have little in common. How similar a planted pair is follows from the
edits and is not set beforehand: `all_pairs.similarity` says it. Not here: measuring (`data.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["EDITS", "SORTS", "Pair", "Writer"]

SORTS = ("long", "near the limit", "short", "Chinese", "Thai")
"""Sorts of texts: of 46 to 120 words, of 24 to 46, of 1 to 24; characters without spaces between them."""

_CONSONANTS, _VOWELS = "bcdfghklmnprstvwz", "aeiou"


@dataclass(frozen=True)
class Pair:
    """Two texts, of which the second was made of the first."""

    first: str
    second: str
    sort: str
    edit: str


class Writer:
    """Makes up texts.

    Args:
        draw: Where chance comes from.
        words: Size of the vocabulary.
    """

    def __init__(self, draw: random.Random, words: int = 20_000) -> None:
        self.draw = draw
        self._words = sorted({self._word() for _ in range(words)})
        draw.shuffle(self._words)
        self._chinese = [chr(code) for code in draw.sample(range(0x4E00, 0x9FA0), 3_000)]
        self._thai = [chr(code) for code in [*range(0x0E01, 0x0E2F), 0x0E30, *range(0x0E40, 0x0E46)]]
        self._zipf = {
            size: list(accumulate(1 / rank for rank in range(1, size + 1)))
            for size in (len(self._words), len(self._chinese))
        }

    def text(self, sort: str) -> str:
        """A text of this sort."""
        return self._joined(self._units(sort, self._length(sort)), sort)

    def pair(self, sort: str, edit: str, share: float) -> Pair:
        """A text and its near duplicate.

        Args:
            sort: One of `SORTS`.
            edit: One of `EDITS`.
            share: About how much of the text is edited; one word or character at least.
        """
        units = self._units(sort, self._length(sort))
        other = EDITS[edit](self, list(units), sort, max(round(share * len(units)), 1))
        return Pair(self._joined(units, sort), self._joined(other, sort), sort, edit)

    def _word(self) -> str:
        syllables = self.draw.choices((1, 2, 3, 4), (3, 5, 3, 1))[0]
        return "".join(
            self.draw.choice(_CONSONANTS)
            + self.draw.choice(_VOWELS)
            + self.draw.choice(("", "", "n", "r", "st"))
            for _ in range(syllables)
        )

    def _length(self, sort: str) -> int:
        low, high = {
            "long": (46, 120),
            "near the limit": (24, 46),
            "short": (1, 24),
            "Chinese": (12, 200),
            "Thai": (30, 300),
        }[sort]
        return self.draw.randint(low, high)

    def _units(self, sort: str, count: int) -> list[str]:
        if sort == "Thai":
            return self.draw.choices(self._thai, k=count)
        of = self._chinese if sort == "Chinese" else self._words
        return self.draw.choices(of, cum_weights=self._zipf[len(of)], k=count)

    def _joined(self, units: list[str], sort: str) -> str:
        return ("" if sort in ("Chinese", "Thai") else " ").join(units)

    def _replaced(self, units: list[str], sort: str, count: int) -> list[str]:
        for place in self.draw.sample(range(len(units)), min(count, len(units))):
            units[place] = self._units(sort, 1)[0]
        return units

    def _inserted(self, units: list[str], sort: str, count: int) -> list[str]:
        for unit in self._units(sort, count):
            units.insert(self.draw.randint(0, len(units)), unit)
        return units

    def _deleted(self, units: list[str], sort: str, count: int) -> list[str]:
        for _ in range(min(count, len(units) - 1)):
            del units[self.draw.randrange(len(units))]
        return units

    def _cut(self, units: list[str], sort: str, count: int) -> list[str]:
        return units[: max(len(units) - 3 * count, 1)]

    def _continued(self, units: list[str], sort: str, count: int) -> list[str]:
        return units + self._units(sort, 3 * count)

    def _moved(self, units: list[str], sort: str, count: int) -> list[str]:
        place = self.draw.randint(0, len(units))
        return units[place:] + units[:place]


EDITS: dict[str, Callable[[Writer, list[str], str, int], list[str]]] = {
    "replaced": Writer._replaced,
    "inserted": Writer._inserted,
    "deleted": Writer._deleted,
    "cut": Writer._cut,
    "continued": Writer._continued,
    "halves changed": Writer._moved,
}
"""What was done to the second text."""
