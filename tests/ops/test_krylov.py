"""Powers by doubling equal powers one by one, in values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.ops.krylov import krylov, krylov_naive, truncate, untruncate


def system(features, channels, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(features, size, size, generator=generator, dtype=torch.float64)
    A = 0.98 * A / torch.linalg.matrix_norm(A, 2)[:, None, None]
    b = torch.randn(features, size, generator=generator, dtype=torch.float64)
    c = torch.randn(channels, features, size, generator=generator, dtype=torch.float64)
    return [x.requires_grad_() for x in (A, b, c)]


def assert_same(ours, expected, inputs, tolerance=1e-10):
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)
    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    for a, b in zip(
        *(torch.autograd.grad((y * weight).sum(), inputs, materialize_grads=True) for y in (ours, expected)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 140))
def test_equals_naive_twin(features, channels, size, length):
    inputs = system(features, channels, size)
    assert_same(krylov(*inputs, length), krylov_naive(*inputs, length), inputs)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 2), st.integers(1, 40), st.integers(1, 70))
def test_truncated_output_vector(channels, length, truncation):
    """c (I − A^T)⁻¹ written out, T below and above the length, with any bits set."""
    A, b, c = inputs = system(2, channels, 3)
    power = torch.linalg.matrix_power(A, truncation)
    plain = torch.linalg.solve(torch.eye(3) - power, c.transpose(0, 1), left=False).transpose(0, 1)
    assert_same(krylov(*inputs, length, truncation), krylov_naive(A, b, plain, length), inputs, 1e-8)


def test_truncate_and_back():
    A, _, c = system(2, 2, 5)
    torch.testing.assert_close(untruncate(truncate(c, A, 37), A, 37), c, rtol=1e-10, atol=1e-10)


def test_float32_output_vector_gives_a_float32_response():
    A, b, c = system(2, 1, 8)
    single = krylov(A, b, c.float(), 300)
    assert single.dtype == torch.float32
    exact = krylov_naive(A, b, c, 300)
    assert (single - exact).norm() < 1e-6 * exact.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_unaffected_by_autocast(dtype):
    A, b, c = system(2, 1, 8)
    c = c.detach().float().requires_grad_()
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            K = krylov(A, b, c, 50, 64)
            results.append((K, *torch.autograd.grad(K.sum(), [A, b, c])))
    for plain, mixed in zip(*results, strict=True):
        assert torch.equal(plain, mixed)
