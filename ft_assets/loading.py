"""Loading large libraries without the garbage collector at their heels.

Hundreds of thousands of objects are made while torch, transformers or Great Expectations load, and none of them is
garbage. Looking through them again and again takes a tenth to a fifth of the time, and a second and a half once more
when the process ends.
"""

import gc
import importlib

__all__ = ["load"]


def load(*modules: str) -> None:
    """Import modules by name; the collector rests meanwhile, and leaves alone what there is then."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        for module in modules:
            importlib.import_module(module)
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
