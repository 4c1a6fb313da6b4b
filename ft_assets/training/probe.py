"""Training the head of a classifier alone: the encoder does not move, so it reads each row once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ft_assets.training.batches import PadBatch, batches_by_tokens
from ft_assets.training.hardware import Hardware

__all__ = ["cached_features"]

MOST_BYTES = 2 * 2**30
"""Features are held in memory up to this size; beyond it the encoder reads each row every time."""


@contextmanager
def cached_features(
    model: Any, rows: Sequence[Sequence[int]], pad: PadBatch, hardware: Hardware
) -> Iterator[bool]:
    """Let the encoder read all rows once; inside the block the model takes what it said from memory.

    Args:
        model: a `PreTrainedModel` with a classification head; only what stands outside of its encoder is trained.
        rows: token ids of all rows that will be asked for.
        pad: makes batches, as in training.
        hardware: what it runs on.

    Yields:
        Whether it is so: not if a part of the encoder is trained, or the features would not fit.
    """
    name = model.base_model_prefix
    encoder = getattr(model, name)
    needed = sum(map(len, rows)) * model.config.hidden_size * 4
    if any(weight.requires_grad for weight in encoder.parameters()) or needed > MOST_BYTES:
        yield False
        return
    cache = _Cache(encoder)
    cache.fill(rows, pad, hardware)
    setattr(model, name, cache)
    try:
        yield True
    finally:
        setattr(model, name, encoder)


class _Cache(torch.nn.Module):
    """Stands in an encoder's place and gives what that said of the same rows.

    Features are those of the encoder without dropout. A row is known by its token ids.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self._hidden: dict[bytes, torch.Tensor] = {}
        self._pooled: dict[bytes, torch.Tensor] = {}
        # In a list, so that it is no part of this module: its weights are neither trained nor kept as trained ones.
        self._encoder = [encoder]
        self._output: Any = None

    def fill(self, rows: Iterable[Sequence[int]], pad: PadBatch, hardware: Hardware) -> None:
        """Read all rows."""
        (encoder,) = self._encoder
        encoder.to(hardware.device).eval()
        unique = list({bytes(np.asarray(row, dtype=np.int64)): row for row in rows}.items())
        lengths = np.array([len(row) for _, row in unique])
        for places in batches_by_tokens(lengths, hardware.tokens_per_pass):
            batch = pad.pad([unique[i][1] for i in places])
            batch = {name: tensor.to(hardware.device) for name, tensor in batch.items()}
            with torch.no_grad(), hardware.autocast():
                output = encoder(**batch)
            self._output = type(output)
            mask = batch["attention_mask"].bool()
            for place, i in enumerate(places):
                self._hidden[unique[i][0]] = output.last_hidden_state[place][mask[place]].float()
                if output.get("pooler_output") is not None:
                    self._pooled[unique[i][0]] = output.pooler_output[place].float()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        """What the encoder said: last_hidden_state of shape (rows, length, size), 0 where there is padding; and
        pooler_output of shape (rows, size), if it has one."""
        mask = attention_mask.bool()
        keys = [ids[own].cpu().numpy().tobytes() for ids, own in zip(input_ids, mask, strict=True)]
        first = self._hidden[keys[0]]
        hidden = first.new_zeros((*input_ids.shape, first.shape[-1]))
        hidden[mask] = torch.cat([self._hidden[key] for key in keys])
        found = {"last_hidden_state": hidden}
        if self._pooled:
            found["pooler_output"] = torch.stack([self._pooled[key] for key in keys])
        return self._output(**found)
