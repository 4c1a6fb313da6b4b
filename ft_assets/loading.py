"""Loading large libraries, and large code locations, without the garbage collector at their heels.

Hundreds of thousands of objects are made while torch, transformers or Great Expectations load, and none of them is
garbage. Looking through them again and again takes a tenth to a fifth of the time, and a second and a half once more
when the process ends.
"""

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["load", "without_collecting"]


@contextmanager
def without_collecting() -> Iterator[None]:
    """The collector rests meanwhile, and leaves alone for good what there is then."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def load(*modules: str) -> None:
    """Import modules by name."""
    with without_collecting():
        for module in modules:
            importlib.import_module(module)
