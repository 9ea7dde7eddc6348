"""The FFT convolution equals the sum over all pairs of positions, in values and gradients."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.ops import long_conv as module
from lra.ops.long_conv import long_conv, long_conv_naive

size = st.integers(1, 3)


def signals(batch, channels, features, length, kernel_length, two_sided, dtype=torch.float64):
    generator = torch.Generator().manual_seed(length)
    shapes = (batch, features, length), (channels * (1 + two_sided), features, kernel_length)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def with_gradients(function, inputs):
    y = function(*inputs)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return y, *torch.autograd.grad((y * weight).sum(), inputs)


def assert_equal_to_naive(inputs, two_sided):
    fast, naive = (partial(f, bidirectional=two_sided) for f in (long_conv, long_conv_naive))
    for ours, expected in zip(with_gradients(fast, inputs), with_gradients(naive, inputs), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=60)
@given(size, size, size, st.integers(1, 131), st.integers(1, 140), st.booleans())
def test_equals_naive_twin(batch, channels, features, length, kernel_length, two_sided):
    assert_equal_to_naive(signals(batch, channels, features, length, kernel_length, two_sided), two_sided)


@pytest.mark.parametrize("rows", [1, 5, 10])
@pytest.mark.parametrize("two_sided", [False, True])
def test_blocks_do_not_matter(monkeypatch, rows, two_sided):
    monkeypatch.setattr(module, "CPU_ROWS", rows)
    assert_equal_to_naive(signals(5, 2, 3, 97, 97, two_sided), two_sided)


def test_gradcheck():
    assert torch.autograd.gradcheck(partial(long_conv, bidirectional=True), signals(2, 2, 2, 7, 7, True))


def test_causal_without_a_backward_kernel():
    u, k = signals(1, 1, 2, 50, 50, False)
    late = u.detach().clone()
    late[..., 30:] += 1
    difference = long_conv(late, k) - long_conv(u, k)
    assert difference[..., :30].abs().max() < 1e-12
    assert difference[..., 30].abs().min() > 1e-6


def test_first_entry_of_the_backward_kernel_meets_the_next_sample():
    u, kernel = signals(1, 1, 1, 9, 9, True)
    kernel = torch.zeros_like(kernel)
    kernel[1, :, 0] = 1
    y = long_conv(u, kernel, bidirectional=True)[0, 0]
    torch.testing.assert_close(y[..., :-1], u[0, :, 1:])
    assert y[..., -1].abs().max() < 1e-12


def test_backward_part_is_the_shifted_causal_part_of_the_reversed_signal():
    u, kernel = signals(2, 1, 3, 33, 33, True)
    past, future = kernel.chunk(2)
    backward = torch.nn.functional.pad(long_conv(u.flip(-1), future).flip(-1)[..., 1:], (0, 1))
    torch.testing.assert_close(long_conv(u, kernel, bidirectional=True), long_conv(u, past) + backward)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_signals_are_convolved_in_float32(dtype):
    u, k = signals(2, 1, 2, 100, 100, False, torch.float32)
    low = u.detach().to(dtype).requires_grad_()
    y = long_conv(low, k)
    assert y.dtype == dtype
    torch.testing.assert_close(y, long_conv(low.float(), k).to(dtype), rtol=0, atol=0)
    y.sum().backward()
    assert low.grad.dtype == dtype
    assert k.grad.dtype == torch.float32


def test_linear():
    u, k = signals(3, 1, 2, 61, 61, False)
    total = long_conv(2 * u[:1] - 3 * u[1:2], k)
    torch.testing.assert_close(total, 2 * long_conv(u[:1], k) - 3 * long_conv(u[1:2], k))


@pytest.mark.parametrize("two_sided", [False, True])
def test_skip_and_mask(two_sided):
    u, kernel = signals(3, 2, 4, 37, 37, two_sided)
    skip = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = (torch.arange(37) < torch.tensor([[37], [20], [5]])).unsqueeze(1).double()

    def fast(u, kernel, skip):
        return long_conv(u, kernel, bidirectional=two_sided, skip=skip, mask=mask)

    def naive(u, kernel, skip):
        u = u * mask
        return long_conv_naive(u, kernel, bidirectional=two_sided) + u.unsqueeze(1) * skip.unsqueeze(-1)

    inputs = (u, kernel, skip)
    for ours, expected in zip(with_gradients(fast, inputs), with_gradients(naive, inputs), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 1, 9), (2, 4, 1), (1, 4, 9)])
def test_a_kernel_may_be_shared_by_features_positions_or_directions(shape):
    u = signals(2, 1, 4, 9, 9, True)[0]
    shared = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    fast, naive = (partial(f, bidirectional=True) for f in (long_conv, long_conv_naive))
    expanded = [lambda u, shared, f=f: f(u, shared.expand(2, 4, 9)) for f in (fast, naive)]
    for ours, expected in zip(*(with_gradients(f, (u, shared)) for f in expanded), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
