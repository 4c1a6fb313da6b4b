"""Rows as the model reads them: tokenised once, without padding; what does not fit the window is cut and
counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig
from ft_assets.training.token_cache import Arrays, TokenCache, flat, split, texts_hash, tokenizer_hash
from ft_assets.versions import code_version

__all__ = ["Rows", "by_length", "model_window", "read_columns", "read_rows", "refuse_long", "tokenised"]

_SHOWN_IDS = 5
_NO_LIMIT = 10**6  # tokenizers without a window say about 10^30


@dataclass(frozen=True)
class Rows:
    """Tokenised rows; all members have one entry a row, in the order of the file."""

    example_ids: list[str]
    input_ids: list[list[int]]
    labels: np.ndarray
    """Index of the label, int64; empty where no labels were asked for."""
    truncated: np.ndarray
    """True where the text was longer than the window."""
    dropped: int = 0
    """Rows that were left out because they are longer than the window."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64."""
        return np.fromiter(map(len, self.input_ids), dtype=np.int64, count=len(self.input_ids))

    def __len__(self) -> int:
        return len(self.input_ids)

    def truncation(self, name: str, window: int) -> str:
        """What was cut, as a sentence; empty if nothing was."""
        cut = int(self.truncated.sum())
        return f"{cut} of {len(self)} {name} rows are longer than {window} tokens and were cut" if cut else ""


def model_window(tokenizer: Any, model_config: Any, max_length: int | None = None) -> int:
    """Most tokens of a row: the smallest of the tokenizer's limit, the model's positions and `max_length`."""
    limits = [limit for limit in (max_length, tokenizer.model_max_length) if limit and limit < _NO_LIMIT]
    positions = getattr(model_config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa and its kin count positions from the padding index on, so two of the 514 are never reached.
        offset = (model_config.pad_token_id or 0) + 1 if "roberta" in model_config.model_type else 0
        limits.append(positions - offset)
    return min(limits) if limits else _NO_LIMIT


def refuse_long(long: Sequence[str], rows: int, window: int, where: str) -> None:
    """What `too_long: error` does.

    Args:
        long: ids of the rows that are longer than the window.
        rows: how many rows there are.
        window: most tokens of a row.
        where: whose rows these are.

    Raises:
        UserError: there are some.
    """
    if not long:
        return
    raise UserError(
        f"{len(long)} of {rows} rows are longer than {window} tokens, such as {', '.join(long[:_SHOWN_IDS])}",
        where=where,
        do="raise training.max_length, or set training.too_long to cut or drop",
    )


def by_length(rows: Rows, config: TrainingConfig, window: int, where: str) -> Rows:
    """The rows that are trained on, by `too_long`: all, cut to the window, or only those that fit.

    Raises:
        UserError: some are longer, and that is to be an error.
    """
    if config.too_long == "cut" or not rows.truncated.any():
        return rows
    if config.too_long == "error":
        refuse_long([rows.example_ids[i] for i in rows.truncated.nonzero()[0]], len(rows), window, where)
    kept = (~rows.truncated).nonzero()[0]
    return Rows(
        example_ids=[rows.example_ids[i] for i in kept],
        input_ids=[rows.input_ids[i] for i in kept],
        labels=rows.labels[kept] if len(rows.labels) else rows.labels,
        truncated=rows.truncated[kept],
        dropped=len(rows) - len(kept),
    )


def read_rows(
    path: Path,
    tokenizer: Any,
    window: int,
    labels: list[str] | None = None,
    cache: TokenCache | None = None,
) -> Rows:
    """Read a Parquet file with example_id, text (and label, if `labels` are given) and tokenise it.

    Args:
        path: the file.
        tokenizer: a transformers tokenizer.
        window: most tokens of a row.
        labels: names of the classes; None: labels are not read.
        cache: where tokenised rows are kept.

    Raises:
        UserError: no such file, a column is missing, a text or label is null, or a label is not in `labels`.
    """
    wanted = ["example_id", "text"] + (["label"] if labels is not None else [])
    table = read_columns(path, wanted)
    texts = table["text"].to_pylist()
    input_ids, truncated = (
        tokenised(texts, tokenizer, window) if cache is None else _cached(texts, tokenizer, window, cache)
    )
    ids = [str(value) for value in table["example_id"].to_pylist()]
    indices = np.zeros(0, dtype=np.int64)
    if labels is not None:
        indices = _label_indices(table["label"].to_pylist(), labels, path)
    return Rows(example_ids=ids, input_ids=input_ids, labels=indices, truncated=truncated)


def read_columns(path: Path, wanted: list[str], nullable: list[str] | None = None) -> pa.Table:
    """Columns of a Parquet file; only the `nullable` ones may hold null values.

    Raises:
        UserError: no such file, a column is missing, or a value is null.
    """
    columns = [*wanted, *(nullable or [])]
    try:
        # Not pq.read_table: that loads pyarrow.dataset and pandas, most of a second.
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            missing = [name for name in columns if name not in present]
            if missing:
                raise UserError(
                    f"no column {', '.join(missing)}; it has {', '.join(present)}", where=str(path)
                )
            table = file.read(columns=columns)
    except FileNotFoundError as error:
        raise UserError("the file with the rows does not exist", where=str(path)) from error
    nulls = [name for name in wanted if table[name].null_count]
    if nulls:
        raise UserError(f"null values in {', '.join(nulls)}", where=str(path))
    return table


def tokenised(texts: list[str], tokenizer: Any, window: int) -> tuple[list[list[int]], np.ndarray]:
    """Token ids of each text, at most `window` and without padding, and which texts were cut (bool, one a text)."""
    if not texts:
        return [], np.zeros(0, dtype=bool)
    arguments = {"padding": False, "return_attention_mask": False, "return_token_type_ids": False}
    encoded: list[list[int]] = tokenizer(texts, truncation=False, verbose=False, **arguments)["input_ids"]
    too_long = [i for i, ids in enumerate(encoded) if len(ids) > window]
    truncated = np.zeros(len(texts), dtype=bool)
    if too_long:
        # Cut by the tokenizer, which keeps the special tokens at the end.
        cut = tokenizer([texts[i] for i in too_long], truncation=True, max_length=window, **arguments)[
            "input_ids"
        ]
        for i, ids in zip(too_long, cut, strict=True):
            encoded[i] = ids
        truncated[too_long] = True
    return encoded, truncated


def _cached(
    texts: list[str], tokenizer: Any, window: int, cache: TokenCache
) -> tuple[list[list[int]], np.ndarray]:
    """As `tokenised`, unless that has been done before."""

    def make() -> Arrays:
        ids, truncated = tokenised(texts, tokenizer, window)
        return flat(ids) | {"truncated": truncated.astype(np.uint8)}

    made_of = {
        "rows": texts_hash(texts),
        "tokenizer": tokenizer_hash(tokenizer),
        "window": window,
        "code": code_version(__name__),
    }
    found = cache.get(made_of, make)
    return [row.tolist() for row in split(found)], found["truncated"].astype(bool)


def _label_indices(values: list[str], labels: list[str], path: Path) -> np.ndarray:
    index = {name: i for i, name in enumerate(labels)}
    unknown = sorted(set(values) - set(index))
    if unknown:
        raise UserError(
            f"{len(unknown)} label(s) outside the set: {', '.join(map(repr, unknown[:5]))}",
            where=str(path),
            do=f"the labels of this task are {', '.join(labels)}; map or add the others",
        )
    return np.array([index[value] for value in values], dtype=np.int64)
