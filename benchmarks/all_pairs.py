"""Near duplicates by comparing everything that could be near, on plain sets of strings: what a search is held against.

Nothing of `ft_assets` is imported; what a shingle is, is written down here again. Not here: planting, measuring.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

__all__ = ["all_pairs", "similarity"]


def similarity(first: str, second: str) -> float:
    """Jaccard index of two normalised texts: by five words where both have 32, else by four characters."""
    kind = _words if _spaced(first) and _spaced(second) else _characters
    a, b = kind(first), kind(second)
    return len(a & b) / len(a | b) if a | b else 0.0


def all_pairs(texts: Sequence[str], threshold: float) -> dict[tuple[int, int], float]:
    """The pairs (i, j), i < j, of normalised texts that are at least so similar, and how similar they are: all of them.

    By prefix filtering (Bayardo et al. 2007, "Scaling up all pairs similarity search"): of two sets that share so much,
    the rarest elements cannot all be different, so it is enough to compare the rows that share a rare one.
    """
    spaced = [_spaced(text) for text in texts]
    by_words = {row: _words(text) for row, text in enumerate(texts) if spaced[row]}
    by_characters = {row: _characters(text) for row, text in enumerate(texts)}
    nobody = [False] * len(texts)
    return _pairs(by_words, threshold, nobody) | _pairs(by_characters, threshold, spaced)


def _pairs(
    sets: dict[int, set[str]], threshold: float, spaced: Sequence[bool]
) -> dict[tuple[int, int], float]:
    """The pairs of these sets, without those of two spaced texts."""
    exact = Fraction(str(threshold))  # 0.7 is seven tenths, not the float below it
    frequency = Counter(each for members in sets.values() for each in members)
    holders: dict[str, list[int]] = defaultdict(list)
    found = {}
    for row, members in sorted(sets.items()):
        rarest = sorted(members, key=lambda each: (frequency[each], each))
        least = ceil(exact * len(members))
        prefix = rarest[: len(members) - least + 1]
        for other in {other for each in prefix for other in holders[each]}:
            size = len(sets[other])
            if (spaced[row] and spaced[other]) or size < least or len(members) < threshold * size - 1e-6:
                continue
            common = len(members & sets[other])
            value = Fraction(common, len(members) + size - common)
            if value >= exact:
                found[other, row] = float(value)
        for each in prefix:
            holders[each].append(row)
    return found


def _spaced(text: str) -> bool:
    words = len(text.split(" "))
    return words >= 32 and len(text) <= 12 * words


def _words(text: str) -> set[str]:
    words = text.split(" ")
    return {" ".join(words[place : place + 5]) for place in range(max(len(words) - 4, 1))} - {""}


def _characters(text: str) -> set[str]:
    return {text[place : place + 4] for place in range(max(len(text) - 3, 1))} - {""}
