"""Semantic duplicates: rows of validation and test that say what a row of an earlier split says, in other words.

Texts are compared by their embeddings (Abbas et al. 2023, SemDeDup: so much alike by cosine is one). Each pair is
compared, none is left out by an index; what is held does not grow with their number. Not here: how a text becomes a
vector (the worker does it), and what is made of the outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.data.examples import to_polars
from ft_assets.data.remembered import KEY, Memory, exact_keys
from ft_assets.spill import slices
from ft_assets.turns import TOOLS, texts

__all__ = ["EARLIER", "Nearest", "SemanticDuplicates", "nearest", "said", "semantic_duplicates", "vectors_of"]

EARLIER = {"validation": ("train",), "test": ("train", "validation")}
"""Which splits are looked at for each: what has been learnt, then what has been chosen by."""

_BLOCK = 4_096
"""Rows on either side of one matrix product: its 16 million cosines take 64 MiB."""
_AT_ONCE = 50_000
_ROUNDING = 1e-6
"""What a cosine in float32 may lack: equal vectors reach a threshold of 1."""
_TEXTS = pa.schema([("text", pa.string())])


def said(frame: pl.DataFrame) -> pl.Series:
    """What is embedded of each row: its text, then what was said before it, the last turn first.

    In this order, since models cut what is too long at its end. System messages and lists of tools, which many rows
    have in common, would make them all alike; they are left out.

    Args:
        frame: has the columns context and text.
    """
    found = [
        text if context is None else "\n".join([text, *_turns(context)])
        for context, text in frame.select("context", "text").iter_rows()
    ]
    return pl.Series("text", found, dtype=pl.String)


def _turns(context: str) -> Iterator[str]:
    for turn in reversed(json.loads(context)):
        if turn["role"] not in ("system", TOOLS):
            yield from texts(turn)


def vectors_of(
    splits: Mapping[str, pa.Table],
    size: int,
    embed: Callable[[Path], np.ndarray],
    memory: Memory,
    scratch: Path,
) -> dict[str, np.ndarray]:
    """A vector of length 1 of each row, float16, of shape (rows, size), by split; on disk, however many there are.

    A half holds a cosine to about 0.0001, which is less than a threshold is known by. What is remembered and what is
    new are rounded alike, so nothing depends on which is which.

    Args:
        splits: tables with the columns context and text.
        size: components of a vector.
        embed: gives the vectors, of shape (rows, size), of the texts in a Parquet file (column text); called once, if
            there are texts whose vectors are not known.
        memory: of the model.
        scratch: an existing folder; has to outlive the vectors.

    Raises:
        OSError: there is no room left on the disk.
    """
    rows = sum(table.num_rows for table in splits.values())
    vectors = np.empty((0, size), np.float16)
    if rows:
        vectors = np.memmap(scratch / "vectors", np.float16, "w+", shape=(rows, size))
    record = np.dtype([("vector", "<f2", (size,))])
    remembered = memory.of("embeddings", record)
    unknown, keys, start = [np.empty(0, np.int64)], [np.empty(0, KEY)], 0
    file = scratch / "texts.parquet"
    with pq.ParquetWriter(file, _TEXTS, compression="zstd") as writer:
        for part in (part for table in splits.values() for part in _parts(table)):
            read = said(part)
            key = exact_keys(read)
            known, found = remembered.find(key)
            places = start + np.arange(len(read))
            vectors[places[known]] = found["vector"]
            writer.write_table(
                pa.table([read.filter(pl.Series(~known)).to_arrow().cast(pa.string())], _TEXTS)
            )
            unknown.append(places[~known])
            keys.append(key[~known])
            start += len(read)
    places, key = np.concatenate(unknown), np.concatenate(keys)
    if len(places):
        new = embed(file)
        for first in range(0, len(places), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            made = np.empty(len(places[some]), record)
            made["vector"] = new[some]
            vectors[places[some]] = made["vector"]
            remembered.add(key[some], made)
        remembered.settle()
    ends = np.cumsum([table.num_rows for table in splits.values()])
    return dict(zip(splits, np.split(vectors, ends[:-1]), strict=True))


def _parts(table: pa.Table) -> Iterator[pl.DataFrame]:
    for part in slices(table.select(["context", "text"])):
        if part.num_rows:
            yield to_polars(part)


@dataclass(frozen=True)
class Nearest:
    """The nearest of other vectors, for each of some.

    Attributes:
        cosine: With the nearest one, float32; -inf where there was none to compare with.
        place: Which one it is, int64; -1 where there was none.
    """

    cosine: np.ndarray
    place: np.ndarray


def nearest(vectors: np.ndarray, among: np.ndarray) -> Nearest:
    """The nearest of `among` for each of `vectors`, by cosine; of equally near ones the first.

    Exact: each with each, in blocks of float32, so memory is bounded whatever their number; time is its product.

    Args:
        vectors: of length 1, of shape (rows, size), of any float type.
        among: the same, of shape (others, size).
    """
    cosine = np.full(len(vectors), -np.inf, np.float32)
    place = np.full(len(vectors), -1, np.int64)
    for first in range(0, len(vectors), _BLOCK):
        some = slice(first, first + _BLOCK)
        own = _unit(vectors[some])
        for start in range(0, len(among), _BLOCK):
            product = own @ _unit(among[start : start + _BLOCK]).T
            best = product.argmax(1)
            found = product[np.arange(len(own)), best]
            nearer = found > cosine[some]
            cosine[some][nearer], place[some][nearer] = found[nearer], start + best[nearer]
    return Nearest(cosine, place)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """As float32, of length 1 again where they were rounded; one without direction stays 0."""
    exact = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths == 0, 1, lengths)


@dataclass(frozen=True)
class SemanticDuplicates:
    """What was found of one split.

    Attributes:
        checked: Its rows.
        pairs: Its rows with a partner in an earlier split, the nearest first: example_id, partner (its example_id),
            partner_split, cosine. A row stands once: with its nearest partner in the first split that has one.
        by_split: How many of these are with each earlier split.
        nearest: Cosine of each row with the nearest one of all earlier splits, float32; empty where these are.
    """

    checked: int
    pairs: pl.DataFrame
    by_split: dict[str, int]
    nearest: np.ndarray


def semantic_duplicates(
    split: str, ids: Mapping[str, pl.Series], vectors: Mapping[str, np.ndarray], threshold: float
) -> SemanticDuplicates:
    """Rows of a split with a partner in an earlier one (`EARLIER`) from the threshold on, that included.

    Args:
        split: validation or test.
        ids: example_id of each row, by split.
        vectors: of each row, by split, as `vectors_of` gives them.
        threshold: cosine.
    """
    free = np.ones(len(ids[split]), bool)
    largest = np.full(len(ids[split]), -np.inf, np.float32)
    pairs = []
    for earlier in EARLIER[split]:
        found = nearest(vectors[split], vectors[earlier])
        rows = np.flatnonzero(free & (found.cosine >= threshold - _ROUNDING))
        free[rows] = False
        np.maximum(largest, found.cosine, out=largest)
        pairs.append(
            pl.DataFrame(
                {
                    "example_id": ids[split].gather(rows),
                    "partner": ids[earlier].gather(found.place[rows]),
                    "partner_split": pl.repeat(earlier, len(rows), eager=True, dtype=pl.String),
                    "cosine": found.cosine[rows],
                }
            )
        )
    by_split = {earlier: each.height for earlier, each in zip(EARLIER[split], pairs, strict=True)}
    together = pl.concat(pairs).sort(["cosine", "example_id"], descending=[True, False])
    return SemanticDuplicates(len(free), together, by_split, largest[np.isfinite(largest)])
