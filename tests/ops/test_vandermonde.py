"""The factored Vandermonde product equals the product with the whole matrix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.ops.vandermonde import vandermonde, vandermonde_naive


def system(channels: int, features: int, modes: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(channels + 10 * features + 100 * modes)
    coefficient = torch.randn(channels, features, modes, 2, generator=generator, dtype=torch.float64)
    damping = torch.rand(features, modes, generator=generator, dtype=torch.float64)
    frequency = 3 * torch.randn(features, modes, generator=generator, dtype=torch.float64)
    exponent = torch.stack([-damping / 20, frequency], -1)
    return [torch.view_as_complex(x.to(dtype)).requires_grad_() for x in (coefficient, exponent)]


def with_gradients(function, inputs, length, weight):
    K = function(*inputs, length)
    return K, *torch.autograd.grad((K * weight).sum(), inputs)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 16), st.integers(1, 257))
def test_equals_naive_twin(channels, features, modes, length):
    inputs = system(channels, features, modes)
    weight = torch.randn(channels, features, length, generator=torch.Generator().manual_seed(length)).double()
    fast, naive = (with_gradients(f, inputs, length, weight) for f in (vandermonde, vandermonde_naive))
    assert fast[0].shape == (channels, features, length)
    for ours, expected in zip(fast, naive, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_float32_error_is_that_of_the_naive_twin():
    exact = vandermonde_naive(*system(1, 8, 32), 4096)
    single = system(1, 8, 32, torch.float32)
    fast, naive = ((f(*single, 4096) - exact).norm() / exact.norm() for f in (vandermonde, vandermonde_naive))
    assert fast < 1.5 * naive + 1e-6


@pytest.mark.parametrize("length", [1, 2, 64, 101])
def test_stays_in_float32_under_autocast(length):
    inputs = system(1, 2, 4, torch.float32)
    expected = with_gradients(vandermonde, inputs, length, 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = with_gradients(vandermonde, inputs, length, 1.0)
    for a, b in zip(ours, expected, strict=True):
        assert torch.equal(a, b)
