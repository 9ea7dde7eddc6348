"""Three independent ways to the DPLR kernel: matrix doubling, dense recursion, generating function."""

import pytest
import torch
from benchmarks.straightforward import generating_function
from hypothesis import given, settings
from hypothesis import strategies as st

from lra.kernels.hippo import normal_plus_low_rank
from lra.ops import dplr


def system(features, channels, modes, rank, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.complex128)

    eigenvalues = normal(features, modes) * 20
    eigenvalues = torch.complex(-0.3 - eigenvalues.real.abs() / 20, eigenvalues.imag)
    dt = torch.rand(features, 1, generator=generator, dtype=torch.float64) / 10 + 0.01
    inputs = [
        eigenvalues,
        normal(rank, features, modes) / 4,  # more would make some systems grow, and their gradients imprecise
        normal(rank, features, modes) / 4,
        normal(features, modes),
        normal(channels, features, modes),
    ]
    return [x.requires_grad_() for x in (*inputs, dt)]


def assert_same(ours, expected, inputs, tolerance):
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)
    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    for a, b in zip(
        *(torch.autograd.grad((y * weight).sum(), inputs, materialize_grads=True) for y in (ours, expected)),
        strict=True,
    ):
        assert (a - b).norm() <= tolerance * max(b.norm(), 1)


sizes = (st.integers(1, 3), st.integers(1, 2), st.integers(1, 6), st.integers(1, 3))


@settings(deadline=None, max_examples=30)
@given(*sizes, st.integers(1, 130))
def test_equals_dense_recursion(features, channels, modes, rank, length):
    inputs = system(features, channels, modes, rank)
    assert_same(dplr.dplr_kernel(*inputs, length), dplr.dplr_kernel_naive(*inputs, length), inputs, 1e-10)


@settings(deadline=None, max_examples=30)
@given(*sizes, st.integers(1, 130))
def test_equals_generating_function(features, channels, modes, rank, length):
    """Which takes C (I − Ā^L) for C; even and odd lengths, with and without the pole at ω = −1."""
    inputs = system(features, channels, modes, rank)
    fast = dplr.dplr_kernel(*inputs, length, truncation=length)
    assert_same(fast, generating_function(*inputs, length), inputs, 1e-10)


@pytest.mark.parametrize("measure", ["legs", "legt", "fout"])
def test_float32_stays_close_at_long_lengths(measure):
    form = normal_plus_low_rank(measure, 64)
    torch.manual_seed(0)
    C = torch.randn(1, 4, 32, dtype=torch.complex128)
    dt = torch.logspace(-3, -1, 4, dtype=torch.float64).unsqueeze(1)
    Lambda = form.eigenvalues - 1e-4 * (form.eigenvalues.real == 0)
    P = form.P.unsqueeze(1).repeat(1, 4, 1)
    inputs = [Lambda.repeat(4, 1), P, P, form.B.repeat(4, 1)]
    exact = dplr.dplr_kernel(*inputs, C, dt, 16384)
    single = dplr.dplr_kernel(*inputs, C.to(torch.complex64), dt, 16384)
    assert single.dtype == torch.float32
    assert ((single - exact).norm(dim=-1) / exact.norm(dim=-1)).max() < 1e-5


def test_truncated_output_and_back():
    eigenvalues, P, Q, _, C, dt = system(2, 2, 4, 2)
    there = dplr.truncated_output(eigenvalues, P, Q, C, dt, 77)
    assert (there - C).norm() > 1e-3 * C.norm()
    torch.testing.assert_close(dplr.untruncated_output(eigenvalues, P, Q, there, dt, 77), C)
