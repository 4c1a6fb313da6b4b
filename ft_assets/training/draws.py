"""Random numbers that depend on a seed and a place in the training alone, whatever was drawn before. So a training that
is resumed, or that several processes share, draws what it would have drawn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["drawing_apart", "seed_generators"]


def seed_generators(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators, those of GPUs included, from some numbers that name the place."""
    draw = _draw(numbers)
    random.seed(draw)
    np.random.seed(draw)
    torch.manual_seed(draw)


@contextmanager
def drawing_apart(*numbers: int) -> Iterator[None]:
    """Inside, the generators of the CPU are seeded from these numbers; after it they are as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.get_rng_state()
    draw = _draw(numbers)
    try:
        random.seed(draw)
        np.random.seed(draw)
        torch.default_generator.manual_seed(draw)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


def _draw(numbers: tuple[int, ...]) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
