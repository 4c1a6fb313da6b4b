"""What splits share that they should not: near duplicates, conversations that go on, and passages.

Looked for in the texts that are to be published; nothing of what was found when clusters were made is used. Not here:
equal ids, clusters and texts, and what follows (`contract_runner`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from ft_assets.data.continuations import continuations
from ft_assets.data.duplicates.corpus import Corpus
from ft_assets.data.duplicates.passages import shares_passage
from ft_assets.data.duplicates.search import near_duplicates
from ft_assets.data.examples import StageTables, to_polars
from ft_assets.data.remembered import Memory
from ft_assets.data.texts import normalised, read_texts
from ft_assets.spill import slices

__all__ = ["continued_across", "near_across", "sharing_a_passage"]

_PASSAGES_OF = 20_000


def near_across(splits: Mapping[str, StageTables], threshold: float, memory: Memory) -> pl.Series:
    """The ids of rows that have a near duplicate in another split."""
    return _once(_near_across, splits, threshold, memory)


def _near_across(splits: Mapping[str, StageTables], threshold: float, memory: Memory) -> pl.Series:
    ids = [to_polars(each.examples.select(["example_id"]))["example_id"] for each in splits.values()]
    where = pl.concat([pl.repeat(place, len(each), eager=True) for place, each in enumerate(ids)])
    rows = pl.DataFrame({"example_id": pl.concat(ids), "split": where})
    texts = Corpus(pa.concat_tables(each.examples for each in splits.values()))
    pairs = near_duplicates(
        rows["example_id"], texts, threshold, across=where.to_numpy(), memory=memory.of_more()
    )
    for side in ("a", "b"):
        named = rows.rename({"example_id": f"example_id_{side}", "split": f"split_{side}"})
        pairs = pairs.join(named, on=f"example_id_{side}")
    across = pairs.filter(pl.col("split_a") != pl.col("split_b"))
    return pl.concat([across["example_id_a"], across["example_id_b"]]).unique()


def continued_across(splits: Mapping[str, StageTables]) -> pl.Series:
    """The ids of rows that begin with a row of another split, or with which one of another split begins."""
    return _once(_continued_across, splits)


def _continued_across(splits: Mapping[str, StageTables]) -> pl.Series:
    rows = pa.concat_tables(each.examples for each in splits.values())
    where = pl.Series(np.repeat(np.arange(len(splits)), [each.examples.num_rows for each in splits.values()]))
    pairs = continuations(rows)
    across = pairs.filter(where.gather(pairs["a"]) != where.gather(pairs["b"]))
    places = pl.concat([across["a"], across["b"]]).unique()
    return to_polars(rows.select(["example_id"]))["example_id"].gather(places)


def sharing_a_passage(tables: StageTables, splits: Mapping[str, StageTables]) -> float:
    """Share of the texts of validation or test that have thirteen words in a row in common with a text in train.

    Of the 20,000 rows with the smallest ids: hashes, so these are as good as drawn by lot, and a share of 0.01 is told
    to 0.0014 (two standard deviations).
    """
    shares = _once(_passages_in_train, splits)
    return next(shares[name] for name, each in splits.items() if each.examples is tables.examples)


def _passages_in_train(splits: Mapping[str, StageTables]) -> dict[str, float]:
    names = ("validation", "test")
    parts = [splits[name].examples.slice(0, _PASSAGES_OF) for name in names]
    texts = pl.concat([text for part in parts for text in _normalised(part)])
    shared = shares_passage(texts, _normalised(splits["train"].examples))
    found = np.split(shared, [parts[0].num_rows])
    return {name: float(each.mean()) if len(each) else 0.0 for name, each in zip(names, found, strict=True)}


_last: dict[Callable[..., Any], tuple[list[weakref.ref[pa.Table]], tuple[Any, ...], Any]] = {}


def _once(make: Callable[..., Any], splits: Mapping[str, StageTables], *given: Any) -> Any:
    """What was last made of these rows, since the contracts of three splits ask for the same."""
    rows = [each.examples for each in splits.values()]
    known, of, made = _last.get(make, ([], (), None))
    if len(known) != len(rows) or of != given or any(a() is not b for a, b in zip(known, rows, strict=True)):
        made = make(splits, *given)
        _last[make] = ([weakref.ref(each) for each in rows], given, made)
    return made


def _normalised(table: pa.Table) -> Iterator[pl.Series]:
    for part in slices(table.select(["context", "text"])):
        yield normalised(read_texts(to_polars(part)))
