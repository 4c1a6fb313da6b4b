"""How rows become batches: order by length, padding, and the parts in which a batch is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from ft_assets.training.draws import drawing_apart

__all__ = [
    "LengthGroupedSampler",
    "NumberedBatches",
    "PadBatch",
    "batches_by_tokens",
    "rows_per_pass",
]

_POOL_BATCHES = 50
"""Batches whose rows are sorted together. 50 as in transformers' own sampler: little padding, batches still
mixed."""


class LengthGroupedSampler(Sampler[int]):
    """Random order in which every run of `batch_size` rows has rows of like length.

    Unlike the one in transformers the batches themselves are shuffled (there they run from long to short,
    fifty at a time, so that neighbouring steps see alike rows), and the order depends on seed and epoch
    alone.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Another order for each epoch; the data loader calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(len(self._lengths))
        # The rows that fill no batch are a random draw and come last: the loader cuts every batch_size rows.
        full = len(order) // self._batch_size * self._batch_size
        order, rest = order[:full], order[full:]
        pool = self._batch_size * _POOL_BATCHES
        grouped = [
            part[np.argsort(self._lengths[part], kind="stable")]
            for part in (order[start : start + pool] for start in range(0, full, pool))
        ]
        batches = np.concatenate(grouped).reshape(-1, self._batch_size) if grouped else order.reshape(0, 1)
        batches = batches[rng.permutation(len(batches))]
        return iter([*batches.ravel().tolist(), *rest.tolist()])


class NumberedBatches:
    """A collator whose draws depend on the seed and the batch's number alone: a training that is resumed sees the same
    batches, though the loop reads ahead and skips what was done.

    Args:
        collator: makes the batch; it may draw from Python's, numpy's and torch's generators.
        seed: of the training.
    """

    def __init__(self, collator: Callable[[Any], Any], seed: int) -> None:
        self._collator = collator
        self._seed = seed
        self.number = 0
        """Of the next batch, counted from the first one of the training."""

    def __call__(self, features: Sequence[Any]) -> Any:
        """The batch; the generators are left as they were."""
        try:
            with drawing_apart(self._seed, self.number):
                return self._collator(features)
        finally:
            self.number += 1


class PadBatch:
    """Collator: pads token ids to the longest row of the batch and makes the mask."""

    def __init__(self, pad_id: int, *, left: bool = False) -> None:
        self._pad_id = pad_id
        self._left = left

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Features with `input_ids` (and `labels`) → tensors of shape (rows, longest) (and (rows,))."""
        batch = self.pad([feature["input_ids"] for feature in features])
        if "labels" in features[0]:
            batch["labels"] = torch.tensor([feature["labels"] for feature in features])
        return batch

    def pad(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, int64, of shape (rows, longest)."""
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            place = slice(longest - len(row), longest) if self._left else slice(0, len(row))
            ids[i, place] = row
            mask[i, place] = 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def rows_per_pass(rows: int, length: int, tokens_per_pass: int) -> int:
    """Rows of a padded batch (`rows` times `length`) in each of the equal parts that keep within
    `tokens_per_pass`."""
    parts = -(-rows * length // tokens_per_pass)
    return max(1, -(-rows // max(1, parts)))


def batches_by_tokens(lengths: np.ndarray, tokens_per_pass: int) -> Iterator[np.ndarray]:
    """Indices of rows in batches, longest first, each of at most `tokens_per_pass` tokens with its
    padding."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens_per_pass // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
