"""Training of models that write: TRL's trainer with our batches and loss.

Rows of a pass stand one after the other, without padding, each seeing itself alone ("packed"), and the head, a fifth of
a small model, is computed only where a token is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from ft_assets.training.attention import borders
from ft_assets.training.batches import batches_by_tokens
from ft_assets.training.conversations import Encoded
from ft_assets.training.processes import add_up, own_share
from ft_assets.training.trainer import MeasuredTraining

__all__ = [
    "LanguageModelTrainer",
    "PadConversations",
    "mean_loss",
    "packing_difference",
    "passes",
    "summed_losses",
]

IGNORED = -100
"""Label of a token that is not learnt, as transformers has it."""


class PadConversations:
    """Collator: token ids, attention mask and labels, int64, of shape (rows, longest).

    Padding is masked by its place, never by its id: with many models padding and end are one token, and the end must
    be learnt.
    """

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(feature["input_ids"]) for feature in features)
        shape = (len(features), longest)
        ids, labels = np.full(shape, self.pad_id), np.full(shape, IGNORED)
        mask = np.zeros(shape, dtype=np.int64)
        for i, feature in enumerate(features):
            length = len(feature["input_ids"])
            ids[i, :length], labels[i, :length], mask[i, :length] = feature["input_ids"], feature["labels"], 1
        arrays = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass(frozen=True)
class Pass:
    """What one forward pass reads."""

    inputs: dict[str, Any]
    labels: torch.Tensor
    """Shape of the token ids."""


def passes(batch: dict[str, torch.Tensor], tokens_per_pass: int, *, packed: bool) -> Iterator[Pass]:
    """A padded batch in parts of at most `tokens_per_pass` tokens (at least one row each).

    Args:
        batch: input_ids, attention_mask and labels of shape (rows, longest).
        tokens_per_pass: padding counts where there is any.
        packed: whether the rows of a part stand one after the other as one row, whose positions begin anew with each
            of them: that is how transformers knows that they must not see each other.
    """
    lengths = batch["attention_mask"].sum(-1).tolist()
    start = 0
    while start < len(lengths):
        end, total, longest = start, 0, 0
        while end < len(lengths):
            longest_then = max(longest, lengths[end])
            total_then = total + lengths[end] if packed else longest_then * (end + 1 - start)
            if end > start and total_then > tokens_per_pass:
                break
            end, total, longest = end + 1, total_then, longest_then
        part = {name: tensor[start:end, :longest] for name, tensor in batch.items()}
        start = end
        if packed:
            yield _packed(part)
        else:
            yield Pass({name: part[name] for name in ("input_ids", "attention_mask")}, part["labels"])


def _packed(part: dict[str, torch.Tensor]) -> Pass:
    mask = part["attention_mask"].bool()
    positions = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    # The first token of a row is never learnt, so no row's last token answers for the next row's first one.
    inputs = {"input_ids": part["input_ids"][mask][None], "position_ids": positions[mask][None]}
    inputs |= borders(mask.sum(-1).tolist(), mask.device)
    return Pass(inputs, part["labels"][mask][None])


def summed_losses(model: Any, each: Pass, *, fused: bool = False) -> torch.Tensor:
    """The summed cross-entropy of the learnt tokens of a pass, in nats: a 0-d tensor.

    Args:
        model: a causal language model.
        each: the pass.
        fused: by the head that TRL has put into the model: in tiles, for a GPU and a large vocabulary.
    """
    if fused:
        out = model(**each.inputs, labels=each.labels, fused_lm_head=True)
        return -out.log_probs.sum()
    targets = each.labels[:, 1:]
    if "position_ids" in each.inputs:
        # What a token is told comes from the one before it.
        places = (targets[0] != IGNORED).nonzero()[:, 0]
        logits = model(**each.inputs, use_cache=False, logits_to_keep=places).logits[0]
        return cross_entropy(logits.float(), targets[0][places], reduction="sum")
    # Prompt tuning puts vectors before the row, and gives logits for them, too.
    logits = model(**each.inputs, use_cache=False).logits[:, -each.labels.shape[1] : -1]
    return cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def packing_difference(model: Any, rows: Sequence[Encoded], device: torch.device) -> float:
    """How far the losses of some rows, packed into one pass, are from those of each row alone: the largest share of a
    row's own loss. Where rows see each other, or positions count on, it is far above rounding."""
    pad = PadConversations(0)
    features = [_feature(row) for row in rows]
    training = model.training
    model.eval()
    with torch.inference_mode():
        alone = [_row_losses(model, pad([feature]), device, packed=False) for feature in features]
        together = _row_losses(model, pad(features), device, packed=True)
    model.train(training)
    apart = torch.cat(alone)
    return float(((together - apart).abs() / apart.abs().clamp(min=1e-6)).max())


def _row_losses(
    model: Any, batch: dict[str, torch.Tensor], device: torch.device, *, packed: bool
) -> torch.Tensor:
    """The summed loss of each row, shape (rows,)."""
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    (each,) = passes(batch, 10**9, packed=packed)
    logits = model(**each.inputs, use_cache=False).logits.float()
    losses = cross_entropy(logits[0, :-1], each.labels[0, 1:], ignore_index=IGNORED, reduction="none")
    lengths = batch["attention_mask"].sum(-1).tolist()
    # A row's losses stand at its tokens but the last one; the loss at the border to the next row is 0.
    padded = torch.cat([losses, losses.new_zeros(1)])
    return torch.stack([part.sum() for part in padded.split(lengths)])


def _feature(row: Encoded) -> dict[str, Any]:
    return {"input_ids": row.ids, "labels": np.where(row.learnt, row.ids, IGNORED)}


class LanguageModelTrainer(MeasuredTraining, SFTTrainer):
    """TRL's trainer of language models, with our batches, loss and evaluation. The loss of a batch is the mean over its
    learnt tokens.

    Args:
        rows, validation: tokenised rows.
        pad_id: id that fills batches up.
        packed: whether rows of a pass are packed.
        **kwargs: as for `MeasuredTraining` and `trl.SFTTrainer`.
    """

    def __init__(
        self,
        *,
        rows: Sequence[Encoded],
        validation: Sequence[Encoded],
        pad_id: int,
        packed: bool,
        **kwargs: Any,
    ) -> None:
        self._packed = packed
        self._pad = PadConversations(pad_id)
        self._validation = validation
        super().__init__(train_dataset=_dataset(rows), data_collator=self._pad, **kwargs)

    def _passes(self, batch: dict[str, torch.Tensor]) -> Iterator[Pass]:
        return passes(batch, self.tokens_per_pass, packed=self._packed)

    def _summed_loss(self, model: Any, each: Pass) -> torch.Tensor:
        return summed_losses(model, each, fused=self._fused)

    def _scale(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        # The first token of a row has no prediction.
        return (batch["labels"][:, 1:] != IGNORED).sum()

    def _at_worst(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Every token is learnt, and the head computed for it."""
        learnt = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
        return batch | {"labels": learnt}

    @property
    def _fused(self) -> bool:
        return self.args.device.type == "cuda"

    def _scores(self, model: Any, most: int | None = None) -> dict[str, float]:
        """Mean loss of the validation rows' learnt tokens, and its perplexity."""
        loss = mean_loss(
            model,
            self._validation,
            self.tokens_per_pass,
            packed=self._packed,
            pad_id=self._pad.pad_id,
            fused=self._fused,
            most=most,
        )
        # e^700 is about the largest number that a float holds.
        return {"loss": loss, "perplexity": float(np.exp(min(loss, 700.0)))}


def mean_loss(
    model: Any,
    rows: Sequence[Encoded],
    tokens_per_pass: int,
    *,
    packed: bool,
    pad_id: int,
    fused: bool = False,
    most: int | None = None,
) -> float:
    """Mean cross-entropy of the learnt tokens of some rows, in nats; no logits are kept.

    Args:
        model: a causal language model.
        rows: tokenised rows.
        tokens_per_pass: most tokens in one pass, padding counted.
        packed: whether rows of a pass are packed.
        pad_id: id that fills batches up.
        fused: as for `summed_losses`.
        most: only so many passes, the longest rows first; None: all.
    """
    pad, device = PadConversations(pad_id), next(model.parameters()).device
    lengths = np.array([len(row.ids) for row in rows])
    sums = torch.zeros(2, dtype=torch.float64, device=device)  # of losses, and of learnt tokens
    with torch.no_grad():
        for places, counts in own_share(list(islice(batches_by_tokens(lengths, tokens_per_pass), most))):
            batch = pad([_feature(rows[i]) for i in places])
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            (each,) = passes(batch, batch["input_ids"].numel(), packed=packed)
            loss = summed_losses(model, each, fused=fused)
            if counts:
                sums[0] += loss.double()
                sums[1] += (batch["labels"][:, 1:] != IGNORED).sum()
        loss, learnt = add_up(sums).tolist()
    return float(loss) / max(learnt, 1.0)


def _dataset(rows: Sequence[Encoded]) -> Any:
    from datasets import Dataset

    features = [_feature(row) for row in rows]
    return Dataset.from_dict(
        {name: [feature[name] for feature in features] for name in ("input_ids", "labels")}
    )
