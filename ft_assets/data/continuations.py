"""Conversations that go on in another row: logs of requests hold each turn of one with all that was said before it.

Who trains on the longer row has read the shorter one, answer and all, so they share a cluster. As sets of shingles such
rows may have little in common, and of a row the prompt alone is compared there (`near_duplicates`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from ft_assets.data.examples import to_polars
from ft_assets.data.texts import normalised
from ft_assets.spill import slices
from ft_assets.turns import TOOLS, Turn, texts

__all__ = ["SHORTEST", "continuations"]

SHORTEST = 64
"""Characters that a conversation has at least to count: thirteen words. Greetings stand before many."""
_UNHEARD = ("system", TOOLS)
"""Who says nothing in a conversation: the same one goes on under other instructions."""


def continuations(table: pa.Table) -> pl.DataFrame:
    """The pairs of rows of which the second begins with all of the first, its answer included.

    Upper and lower case, white space and what instructs the system do not count.

    Args:
        table: `context`, `text` and `label` of conversations; rows without a label are none.

    Returns:
        `a` and `b`, their places in the table (Int64), in order.
    """
    empty = pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int64})
    if table["context"].null_count == table.num_rows:
        return empty
    whole, begun = [empty.select("a")], [empty.select("b")]
    start = 0
    for part in slices(table.select(["context", "text", "label"])):
        ends, beginnings = _keys(to_polars(part))
        whole.append(_frame(ends, "a", start))
        begun.append(_frame(beginnings, "b", start))
        start += part.num_rows
    both = pl.concat(whole, how="diagonal").join(pl.concat(begun, how="diagonal"), on=["high", "low"])
    return both.select("a", "b").sort("a", "b")


Keys = list[tuple[int, bytes]]
"""Number of a row, and what tells the conversation, or one of its beginnings: 16 bytes."""


def _keys(rows: pl.DataFrame) -> tuple[Keys, Keys]:
    """Of each row the whole conversation, and each beginning of it that ends with an answer."""
    heard = [_heard(*row) for row in rows.select("context", "text", "label").iter_rows()]
    said = normalised(pl.Series([text for turns in heard for _, text in turns], dtype=pl.String))
    following = iter(said)
    ends, beginnings = Keys(), Keys()
    for number, turns in enumerate(heard):
        key, length = b"", 0
        for left, (role, _) in zip(range(len(turns) - 1, -1, -1), turns, strict=True):
            text = next(following)
            length += len(text)
            # One by one, so that a conversation and its beginnings take a pass.
            key = hashlib.sha256(key + role.encode() + b"\0" + text.encode()).digest()[:16]
            if role == "assistant" and length >= SHORTEST:
                (beginnings if left else ends).append((number, key))
    return ends, beginnings


def _heard(context: str | None, text: str, label: str | None) -> list[tuple[str, str]]:
    """Who says what in a row; nothing where it is no conversation."""
    if label is None:
        return []
    turns: list[Turn] = json.loads(context) if context else []
    prompter = turns.pop()["role"] if turns and "stands_for" in turns[-1] else "user"
    said = [(turn["role"], "\n".join(_said(turn))) for turn in turns if turn["role"] not in _UNHEARD]
    return [*said, (prompter, text), ("assistant", label)]


def _said(turn: Turn) -> Iterator[str]:
    """Content and calls of a turn; not which call a tool answers, which the row of its answer may tell otherwise."""
    yield from texts({name: turn[name] for name in ("content", "tool_calls") if turn.get(name)})


def _frame(keys: Keys, name: str, start: int) -> pl.DataFrame:
    words = np.frombuffer(b"".join(key for _, key in keys), "<u8").reshape(-1, 2)
    places = np.array([number for number, _ in keys], np.int64) + start
    return pl.DataFrame({name: places, "high": words[:, 0], "low": words[:, 1]})
