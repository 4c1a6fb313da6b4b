"""Attention for rows that stand one after the other in one pass, each seeing itself alone.

transformers would lay a mask of all tokens by all tokens over them: what rows may not see of each other is computed all
the same, and thrown away. Here each row is computed by itself: on a GPU by one kernel for rows of any lengths, where
the arithmetic allows it, else row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

__all__ = ["PACKED", "borders", "packed_attention", "reads_packed_rows"]

PACKED = "packed_rows"
"""Name under which transformers knows it. No mask is made for it, so it is for packed rows only."""


def borders(lengths: list[int], device: torch.device) -> dict[str, Any]:
    """Where packed rows begin and end, by the names that transformers' attention functions know."""
    cumulated = torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)
    longest = max(lengths)
    return {
        "cu_seq_lens_q": cumulated,
        "cu_seq_lens_k": cumulated,
        "max_length_q": longest,
        "max_length_k": longest,
    }


@contextmanager
def reads_packed_rows(model: Any, *, packed: bool) -> Iterator[None]:
    """Inside, the model reads packed rows by `packed_attention`, if its architecture lets the attention be chosen."""
    former = model.config._attn_implementation
    if packed:
        model.set_attn_implementation(PACKED)
    try:
        yield
    finally:
        if packed:
            model.set_attn_implementation(former)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention in each row.

    Args:
        module: the layer.
        query, key, value: shape (1, heads, tokens, size); keys and values may have fewer heads.
        attention_mask: none is made.
        dropout: probability.
        scaling: of the scores. None: by the root of the size.
        sliding_window: how many tokens one sees, itself included. None: all before it.
        cu_seq_lens_q: where rows begin, and the end of the last, int32. None: all is one row.
        max_length_q: tokens of the longest row.
        **kwargs: what else a model gives to attention functions.

    Returns:
        Shape (1, tokens, heads, size); no weights.

    Raises:
        ValueError: the model wants something that is not computed here, such as a cap on the scores.
    """
    if cu_seq_lens_q is not None and _has_kernel(query, dropout, kwargs):
        groups = getattr(module, "num_key_value_groups", 1)
        states = (query, repeat_kv(key, groups), repeat_kv(value, groups))
        longest = max_length_q or query.shape[2]
        return _in_one(states, cu_seq_lens_q, longest, scaling=scaling, window=sliding_window), None
    lengths = [query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.diff().tolist()
    outputs = []
    kwargs |= {"dropout": dropout, "scaling": scaling, "is_causal": True}
    rows = (states.split(lengths, dim=2) for states in (query, key, value))
    for own_query, own_key, own_value in zip(*rows, strict=True):
        mask = _window(own_query.shape[2], sliding_window, query.device)
        output, _ = sdpa_attention_forward(module, own_query, own_key, own_value, mask, **kwargs)
        outputs.append(output)
    return torch.cat(outputs, dim=1), None


AttentionInterface.register(PACKED, packed_attention)


def _window(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """The mask of a row that is longer than what a token sees; None: it sees all before it."""
    if window is None or length <= window:
        return None
    ago = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    return ((ago >= 0) & (ago < window))[None, None]


def _has_kernel(query: torch.Tensor, dropout: float, kwargs: dict[str, Any]) -> bool:
    """Whether torch's FlashAttention for rows of any lengths can do it: in half precision, on Ampere or newer."""
    return (
        query.is_cuda
        and not dropout
        and kwargs.get("softcap") is None
        and (torch.is_autocast_enabled("cuda") or query.dtype in (torch.bfloat16, torch.float16))
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _in_one(
    states: tuple[torch.Tensor, ...],
    starts: torch.Tensor,
    longest: int,
    *,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # What autocast does for torch's own attention, it does not for this one.
    autocast = torch.is_autocast_enabled("cuda")
    dtype = torch.get_autocast_dtype("cuda") if autocast else states[0].dtype
    query, key, value = (each[0].transpose(0, 1).to(dtype).contiguous() for each in states)
    seen = (-1 if window is None else window - 1, 0)
    output: Any = varlen_attn(
        query, key, value, starts, starts, longest, longest, scale=scaling, window_size=seen
    )
    return output[None]
