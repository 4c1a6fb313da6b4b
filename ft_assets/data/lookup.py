"""Many numbers looked up in a long array."""

from __future__ import annotations

import numpy as np

__all__ = ["nearest_places"]


def nearest_places(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The place of each value in an array in rising order; of one that is not there any place.

    Looked up in their order, or each is found in another place of the memory: among ten million numbers that is 3.5
    times as slow.

    Args:
        ascending: Not empty.
    """
    order = np.argsort(values)
    places = np.empty(len(values), np.int64)
    places[order] = np.searchsorted(ascending, values[order])
    return np.minimum(places, len(ascending) - 1)
