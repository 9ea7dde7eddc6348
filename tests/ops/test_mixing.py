"""The fused end of a layer equals the chain of PyTorch's operations, in values and gradients."""

from functools import partial

import pytest
import torch

from lra.ops import blocks
from lra.ops.mixing import mix, mix_naive

B, WIDTH, H, L = 3, 5, 4, 17
GATED = pytest.mark.parametrize("gated", [True, False])
FACTORS = pytest.mark.parametrize("positions", [None, 1, L])


def inputs(gated, residual, positions, dtype=torch.float64):
    """Tensors with gradients, and the function's other arguments."""
    torch.manual_seed(0)
    out = 2 * H if gated else H
    tensors = [torch.randn(s, dtype=dtype).requires_grad_() for s in ((B, WIDTH, L), (out, WIDTH), (out,), (B, H, L))]
    if not residual:
        tensors.pop()
    factors = {}
    if positions is not None:
        factors = {
            "inner": torch.randint(2, (B, WIDTH, positions)) * torch.tensor(1.25, dtype=dtype),
            "outer": torch.randint(2, (B, H, positions)) * torch.tensor(1.5, dtype=dtype),
        }
    return tensors, {"gated": gated, **factors}


def call(function, options, y, weight, bias, residual=None):
    return function(y, weight, bias, residual=residual, **options)


def with_gradients(function, tensors, options):
    y = call(function, options, *tensors)
    return y, *torch.autograd.grad((y * torch.arange(y.numel()).view_as(y)).sum(), tensors)


@GATED
@FACTORS
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("block", [1, 7 * WIDTH, 1 << 17])
def test_equals_naive_twin(monkeypatch, gated, positions, residual, block):
    monkeypatch.setattr(blocks, "CPU_BLOCK", block)
    tensors, options = inputs(gated, residual, positions)
    pairs = zip(with_gradients(mix, tensors, options), with_gradients(mix_naive, tensors, options), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@GATED
def test_gradcheck(gated):
    tensors, options = inputs(gated, True, 1)
    assert torch.autograd.gradcheck(partial(call, mix, options), tensors)


def test_only_the_input_is_kept():
    (y, weight, bias, residual), options = inputs(True, True, 1)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        mix(y, weight, bias, residual=residual, **options)
    large = {x.data_ptr() for x in kept if x.numel() >= y.numel()}
    assert large == {y.data_ptr()}


@GATED
def test_autocast_multiplies_in_its_dtype_and_returns_float32(gated):
    tensors, options = inputs(gated, True, 1, torch.float32)
    exact = with_gradients(mix_naive, tensors, options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = with_gradients(mix, tensors, options)
    for ours, expected in zip(low, exact, strict=True):
        assert ours.dtype == torch.float32
        difference = float((ours - expected).detach().norm() / expected.detach().norm())
        assert 1e-5 < difference < 2e-2 or torch.equal(ours, expected)
