"""Attention of packed rows: the same as that of each row alone, with fewer heads for keys, with a window."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from ft_assets.training.attention import borders, packed_attention

LENGTHS = [3, 1, 7, 5]
HEADS, KEY_HEADS, SIZE = 6, 2, 8


class Layer(torch.nn.Module):
    num_key_value_groups = HEADS // KEY_HEADS


@pytest.fixture
def states():
    torch.manual_seed(0)
    tokens = sum(LENGTHS)
    shapes = [(1, heads, tokens, SIZE) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def expected(states, window):
    """By a mask of all tokens by all tokens, as the definition has it."""
    row = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    ago = torch.arange(len(row))[:, None] - torch.arange(len(row))
    mask = (row[:, None] == row) & (ago >= 0) & (ago < (window or len(row)))
    query, key, value = states
    key, value = (each.repeat_interleave(HEADS // KEY_HEADS, dim=1) for each in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 4, 100])
def test_each_row_is_read_by_itself(states, window):
    output, _ = packed_attention(
        Layer(), *states, None, sliding_window=window, **borders(LENGTHS, torch.device("cpu"))
    )
    target = torch.randn(output.shape)
    own = torch.autograd.grad((output * target).sum(), states)
    theirs = torch.autograd.grad((expected(states, window) * target).sum(), states)
    # Both are sums in fp32, in another order.
    torch.testing.assert_close(output, expected(states, window), atol=1e-5, rtol=1e-5)
    for one, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_without_borders_all_is_one_row(states):
    query, key, value = (each[:, :, :7] for each in states)
    output, _ = packed_attention(Layer(), query, key, value, None)
    again, _ = packed_attention(Layer(), query, key, value, None, **borders([7], torch.device("cpu")))
    assert torch.equal(output, again)


def test_what_it_cannot_compute_is_refused(states):
    with pytest.raises(ValueError, match="softcap"):
        packed_attention(Layer(), *states, None, softcap=30.0)
