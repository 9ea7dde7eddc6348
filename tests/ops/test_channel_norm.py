"""Layer norm over the features equals PyTorch's on the transposed signal, in values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.ops import blocks
from lra.ops.channel_norm import channel_norm, channel_norm_naive


def inputs(batch, features, length):
    torch.manual_seed(length)
    shapes = [(batch, features, length), (features,), (features,)]
    return [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes]


def with_gradients(function, tensors):
    y = function(*tensors, 1e-5)
    return y, *torch.autograd.grad((y * torch.arange(y.numel()).view_as(y)).sum(), tensors)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 40), st.sampled_from([1, 64, 1 << 17]))
def test_equals_naive_twin(batch, features, length, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CPU_BLOCK", block)
        tensors = inputs(batch, features, length)
        pairs = zip(with_gradients(channel_norm, tensors), with_gradients(channel_norm_naive, tensors), strict=True)
        for ours, expected in pairs:
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-7)


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda *x: channel_norm(*x, 1e-5), inputs(2, 4, 5))


def test_large_means_keep_their_digits():
    x = torch.randn(2, 64, 100) + 1000
    one, zero = torch.ones(64), torch.zeros(64)
    exact = channel_norm_naive(x.double(), one.double(), zero.double(), 1e-5)
    torch.testing.assert_close(channel_norm(x, one, zero, 1e-5).double(), exact, rtol=0, atol=1e-3)


def test_low_precision_is_normalized_in_float32():
    x = torch.randn(2, 8, 10).bfloat16()
    assert channel_norm(x, torch.ones(8), torch.zeros(8), 1e-5).dtype == torch.float32
