"""MinHash signatures, and the bands that they are cut into (Broder 1997; Leskovec et al., Mining of Massive Datasets,
sections 3.3 and 3.4).

The smallest value that a random function takes on a set is the same for two sets with a chance of their similarity s.
A band of r such values agrees with s^r, and at least one of b bands with 1 - (1 - s^r)^b: an S-curve. At the default
threshold 0.7 there are 40 bands of 5:

| similarity | 0.2 | 0.3 | 0.5 | 0.6 | 0.7 | 0.8 | 0.9 |
|---|---|---|---|---|---|---|---|
| chance to be found | 0.013 | 0.093 | 0.719 | 0.961 | 0.9994 | 0.9999999 | 1 |

What is found is verified (`search`), so bands decide about recall and time only.
"""

from __future__ import annotations

import numpy as np

from ft_assets.data.duplicates.shingles import Shingles, mixed

__all__ = ["FUNCTIONS", "RECALL", "band_hashes", "chance", "rows_of_band"]

FUNCTIONS = 200
"""Values of a signature. 128 is what other tools take; these cost 4 µs a text more, and keep recall up to the
threshold instead of behind it."""
RECALL = 0.999
"""Chance that a pair at the threshold itself is found, at least."""


def chance(similarity: float, rows: int) -> float:
    """That a pair of this similarity agrees in a band, of so many rows each."""
    return 1 - (1 - similarity**rows) ** (FUNCTIONS // rows)


def rows_of_band(threshold: float) -> int:
    """Rows of a band: as many as `RECALL` at the threshold allows, since more of them mean fewer false candidates."""
    return max(rows for rows in range(1, FUNCTIONS + 1) if rows == 1 or chance(threshold, rows) >= RECALL)


def band_hashes(sets: Shingles, rows: int) -> np.ndarray:
    """Hashes of the bands of each set.

    The random functions are x → a·x + b modulo 2^32, with odd a; x is 32 bits of a shingle's hash.

    Args:
        sets: None is empty.
        rows: Rows of a band.

    Returns:
        uint32, one line a band and one column a set.
    """
    starts = sets.offsets[:-1]
    found = np.zeros((FUNCTIONS // rows, len(starts)), np.uint32)
    if not len(starts):
        return found
    x = (sets.values >> np.uint64(20)).astype(np.uint32)
    draws = mixed(np.arange(1, 2 * FUNCTIONS + 1, dtype=np.uint64))
    factors, shifts = (draws >> np.uint64(32)).astype(np.uint32).reshape(2, -1)
    values = np.empty_like(x)
    for band, line in enumerate(found):
        together = np.zeros(len(starts), np.uint64)
        for place in range(band * rows, (band + 1) * rows):
            np.multiply(x, factors[place] | np.uint32(1), out=values)
            values += shifts[place]
            together = mixed(together ^ np.minimum.reduceat(values, starts))
        line[:] = together >> np.uint64(32)
    return found
