"""Rows of a model that writes text: conversations as tokens, each with the part that is learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ft_assets.errors import UserError
from ft_assets.training.config import PromptConfig, TrainingConfig
from ft_assets.training.conversations import Conversation, Encoded, Encoder, conversation
from ft_assets.training.rows import read_columns, refuse_long

__all__ = ["Conversations", "Sequences", "encode_rows", "read_conversations", "smallest"]


@dataclass(frozen=True)
class Conversations:
    """Rows of a file, in its order."""

    example_ids: list[str]
    conversations: list[Conversation]

    def __len__(self) -> int:
        return len(self.example_ids)

    def only(self, places: Sequence[int]) -> Conversations:
        """The rows at these places."""
        return Conversations([self.example_ids[i] for i in places], [self.conversations[i] for i in places])


@dataclass(frozen=True)
class Sequences:
    """Tokenised rows that have something to learn, and what became of the others."""

    example_ids: list[str]
    rows: list[Encoded]
    cut: int
    """Rows that were cut to the window."""
    dropped: int
    """Rows left out because they are longer than the window (too_long: drop)."""
    without_answer: int
    """Rows left out because nothing of them is left to learn."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64."""
        return np.fromiter((len(row.ids) for row in self.rows), dtype=np.int64, count=len(self.rows))

    @property
    def learnt_tokens(self) -> int:
        return int(sum(int(row.learnt.sum()) for row in self.rows))

    def __len__(self) -> int:
        return len(self.rows)


def read_conversations(path: Path, prompt: PromptConfig, most: int | None = None) -> Conversations:
    """Read a Parquet file with example_id, context, text, label.

    Args:
        path: the file.
        prompt: what stands around each row's prompt.
        most: read so many rows, those that `smallest` picks; None: all.

    Raises:
        UserError: no such file, or a column is missing, or an id or text is null.
    """
    table = read_columns(path, ["example_id", "text"], ["context", "label"])
    ids = [str(value) for value in table["example_id"].to_pylist()]
    columns = zip(*(table[name].to_pylist() for name in ("context", "text", "label")), strict=True)
    made = [conversation(context, text, answer, prompt) for context, text, answer in columns]
    rows = Conversations(ids, made)
    return rows if most is None else rows.only(smallest(ids, most))


def smallest(ids: Sequence[str], most: int) -> list[int]:
    """Places of the `most` ids whose SHA-256 is the smallest, in their order: a draw that hardly changes when rows
    come and go."""
    ranked = sorted(range(len(ids)), key=lambda i: hashlib.sha256(ids[i].encode()).digest())
    return sorted(ranked[:most])


def encode_rows(
    rows: Conversations, encoder: Encoder, window: int, config: TrainingConfig, where: str
) -> Sequences:
    """Tokenise rows for training.

    Args:
        rows: the rows.
        encoder: of the model.
        window: most tokens of a row.
        config: `too_long` and `max_unsupervised` are read.
        where: whose rows these are, for errors.

    Raises:
        UserError: a row is longer than the window and that is to be an error, or too many rows have nothing left to
            learn.
    """
    encoded = encoder.encode(rows.conversations)
    long = [i for i, row in enumerate(encoded) if len(row.ids) > window]
    if config.too_long == "error":
        refuse_long([rows.example_ids[i] for i in long], len(rows), window, where)
    dropped = set(long) if config.too_long == "drop" else set()
    kept = [
        (rows.example_ids[i], Encoded(row.ids[:window], row.learnt[:window]))
        for i, row in enumerate(encoded)
        if i not in dropped
    ]
    useful = [(example_id, row) for example_id, row in kept if row.learnt.any()]
    empty = len(kept) - len(useful)
    if empty > config.max_unsupervised * max(len(rows), 1) or not useful:
        raise UserError(
            f"{empty} of {len(rows)} rows have no token left to learn (at most "
            f"{config.max_unsupervised:.0%} are allowed): their answers begin after token {window}, or they have none",
            where=where,
            do="raise training.max_length, shorten the prompts, or look at how the rows were read (the forms that "
            "raw_examples shows)",
        )
    return Sequences(
        example_ids=[example_id for example_id, _ in useful],
        rows=[row for _, row in useful],
        cut=0 if config.too_long == "drop" else len(long),
        dropped=len(dropped),
        without_answer=empty,
    )
