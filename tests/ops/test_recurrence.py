"""Chunked recurrences against the loop over positions: values, gradients, float32, growth."""

import pytest
import torch

from lra.ops.recurrence import CHUNK, recurrence, recurrence_naive


def system(length: int, batch: int = 2, states: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(length)
    v = torch.randn(2, states, batch, length, dtype=torch.float64)
    exponent = torch.complex(-torch.rand(states).double() / 4, 3 * torch.randn(states).double())
    return v.requires_grad_(), exponent.requires_grad_()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 2 * CHUNK**2 + 5])
def test_values_and_gradients_are_those_of_the_loop(length, reverse):
    v, exponent = system(length)
    weight = torch.randn_like(v)
    found, wanted = [], []
    for function, results in ((recurrence, found), (recurrence_naive, wanted)):
        x = function(v, exponent, reverse=reverse)
        results += [x, *torch.autograd.grad((weight * x).sum(), (v, exponent))]
    for ours, loop in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, loop, rtol=1e-12, atol=1e-12)


def test_float32_is_close_to_float64():
    v, exponent = system(4096)
    exact = recurrence(v, exponent).detach()
    single = recurrence(v.detach().float(), exponent)
    assert single.dtype == torch.float32
    assert ((single - exact).norm() / exact.norm()) < 1e-6


def test_growing_factors_are_exact():
    v, exponent = system(3 * CHUNK)
    exponent = torch.complex(exponent.real + 0.5, exponent.imag)
    torch.testing.assert_close(recurrence(v, exponent), recurrence_naive(v, exponent), rtol=1e-10, atol=1e-9)


def test_autocast_does_not_touch_it():
    v, exponent = system(100)
    v = v.detach().float()
    plain = recurrence(v, exponent)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(recurrence(v, exponent), plain)
