"""What many rows begin with (a system message, an instruction, examples), read once for all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ft_assets.training.hardware import Hardware

__all__ = ["Prefix", "read_prefix"]

_LEAST = 16
"""Fewer common tokens are not worth a copy of their keys and values for each row."""
_TOLERANCES = {"fp32": 1e-3, "bf16": 5e-2}
"""Of the largest logit. A model whose logits differ by more when it goes on from a prefix does not do that as expected:
then every row is read whole. Measured with Llama in fp32: 1e-6."""


@dataclass(frozen=True)
class Prefix:
    """The common beginning of rows, and a model's keys and values of it."""

    ids: np.ndarray
    """Token ids, int64; none where nothing is shared."""
    cache: Any
    device: torch.device

    @property
    def length(self) -> int:
        """How many tokens are shared."""
        return len(self.ids)

    def before(self, rows: Sequence[np.ndarray], pad_id: int, *, whole: bool = False) -> dict[str, Any]:
        """The inputs for some rows, padded on the left of what follows the prefix, so that all end at the same place.

        Args:
            rows: token ids of each row, prefix included.
            pad_id: fills up.
            whole: whether input_ids hold the prefix, too, as `generate` wants it.

        Returns:
            input_ids of shape (rows, length), attention_mask of shape (rows, prefix and length), past_key_values where
            there is a prefix; position_ids unless `whole`.
        """
        rests = [row[self.length :] for row in rows]
        longest = max(map(len, rests))
        ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, rest in enumerate(rests):
            ids[i, longest - len(rest) :], mask[i, longest - len(rest) :] = rest, 1
        mask = np.hstack([np.ones((len(rows), self.length), dtype=np.int64), mask])
        if whole:
            ids = np.hstack([np.tile(self.ids, (len(rows), 1)), ids])
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
        }
        if not whole:
            positions = (mask.cumsum(1) - 1).clip(0)[:, self.length :]
            inputs["position_ids"] = torch.from_numpy(positions).to(self.device)
        if self.cache is not None:
            cache = copy.deepcopy(self.cache)
            cache.batch_repeat_interleave(len(rows))
            inputs["past_key_values"] = cache
        return inputs


def read_prefix(
    model: Any,
    rows: Sequence[np.ndarray],
    *,
    leave: int,
    hardware: Hardware,
) -> Prefix:
    """Read what all rows begin with.

    Args:
        model: a causal language model, in evaluation mode.
        rows: token ids of each row.
        leave: so many tokens at the end of each row are no part of the prefix.
        hardware: what it runs on.
    """
    device = hardware.torch_device
    nothing = Prefix(np.zeros(0, dtype=np.int64), None, device)
    length = _common(rows) if len(rows) > 1 else 0
    length = min([length, *(len(row) - leave for row in rows)])
    if length < _LEAST:
        return nothing
    ids = rows[0][:length]
    try:
        with torch.inference_mode(), hardware.autocast():
            cache = model(input_ids=torch.from_numpy(ids)[None].to(device), use_cache=True).past_key_values
        prefix = Prefix(ids, cache, device)
        return prefix if _is_the_same(model, prefix, rows, hardware) else nothing
    except (
        AttributeError,
        RuntimeError,
        TypeError,
        ValueError,
    ):  # a model that keeps something else, or nothing
        return nothing


def _common(rows: Sequence[np.ndarray]) -> int:
    """Tokens that all rows begin with."""
    shortest = min(map(len, rows))
    same = np.ones(shortest, dtype=bool)
    for row in rows[1:]:
        same &= row[:shortest] == rows[0][:shortest]
    return int(shortest if same.all() else same.argmin())


def _is_the_same(
    model: Any,
    prefix: Prefix,
    rows: Sequence[np.ndarray],
    hardware: Hardware,
) -> bool:
    """Whether a short and a padded row end with the logits that they have when they are read whole."""
    pair = sorted(rows, key=len)[:2]
    if len(pair[0]) == len(pair[1]):
        pair = [pair[0][:-1], pair[1]] if len(pair[0]) > prefix.length + 1 else pair
    with torch.inference_mode(), hardware.autocast():
        found = model(**prefix.before(pair, 0), use_cache=True).logits[:, -1].float()
        whole = [
            model(input_ids=torch.from_numpy(row)[None].to(prefix.device)).logits[0, -1].float()
            for row in pair
        ]
    expected = torch.stack(whole)
    return bool((found - expected).abs().max() <= _TOLERANCES[hardware.precision] * expected.abs().max())
