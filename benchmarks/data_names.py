"""Names and postal addresses: how many of those planted are found, how much else is taken for one, and at what speed.

Reported, without a goal: it is the model that decides. `--names MODEL` names the folder of a spaCy pipeline.
"""

import random
import time
from collections import Counter
from pathlib import Path

import polars as pl

from benchmarks.planted_names import SORTS, planted_name
from ft_assets.data.personal.names import NameFinder

__all__ = ["report_names"]


def report_names(number: int, seed: int, model: Path) -> None:
    """Print recall and precision of each kind, on as many texts of it, and as many that hold neither."""
    draw = random.Random(seed)
    values = [planted_name(draw, sort) for sort in (*SORTS, "none") for _ in range(number)]
    texts = [each.text for each in values]
    finder = NameFinder(model, SORTS)
    finder.replace(pl.Series(texts[:64]))  # what is loaded once is not the speed
    started = time.process_time()
    found = finder.spans(texts)
    seconds = time.process_time() - started
    hits, claims, wrong = Counter[str](), Counter[str](), Counter[str]()
    for each, taken in zip(values, found, strict=True):
        first, last = each.start, each.start + len(each.value)
        hits[each.kind] += any(kind == each.kind and a <= first and last <= b for a, b, kind in taken)
        for a, b, kind in taken:
            claims[kind] += 1
            wrong[kind] += kind != each.kind or b <= first or a >= last
    print(f"names: {number:,} texts of each kind and as many of neither, {len(texts) / seconds:,.0f} rows/s")
    print(f"{'kind':<8}{'recall':>8}{'precision':>11}")
    for kind in SORTS:
        print(f"{kind:<8}{hits[kind] / number:>8.3f}{1 - wrong[kind] / max(claims[kind], 1):>11.3f}")
