"""What a layer does after its convolution: activation, dropout, channel mixing, gate, dropout, residual."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.backend import pointwise_on
from lra.ops.blocks import plus, position_blocks
from lra.ops.product import product


def mix(
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    gated: bool,
    residual: Tensor | None = None,
    inner: Tensor | None = None,
    outer: Tensor | None = None,
) -> Tensor:
    """residual + outer · gate(weight (inner · gelu(y)) + bias), at every position.

    y (B, I, L), weight (O, I), bias (O,). The gate, if there is one, is the first half of its input times the
    sigmoid of the second. `inner` (B, I, 1 or L) and `outer` (B, H, 1 or L) are the factors of dropout, without
    gradient; `residual` and the result are (B, H, L). GELU is the exact one.

    Keeps y alone: what follows is recomputed for the gradient, a block at a time, from the cache. First
    derivatives only. Under autocast the matrix products have its dtype, everything else that of the result.
    """
    kind = y.device.type
    product_dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else y.dtype
    with torch.autocast(kind, enabled=False):
        return _Mix.apply(y, weight, bias, residual, inner, outer, gated, product_dtype)


def mix_naive(y, weight, bias, *, gated, residual=None, inner=None, outer=None) -> Tensor:
    """The same, one operation of PyTorch after the other."""
    y = F.gelu(y) if inner is None else F.gelu(y) * inner
    y = torch.matmul(weight, y) + bias.unsqueeze(-1)
    y = F.glu(y, dim=1) if gated else y
    y = y if outer is None else y * outer
    return y if residual is None else residual + y


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, weight, bias, residual, inner, outer, gated, dtype):
        y = y.contiguous()
        ctx.save_for_backward(y, weight, bias, inner, outer)
        ctx.gated, ctx.has_residual, ctx.dtype = gated, residual is not None, dtype
        features = len(weight) // 2 if gated else len(weight)
        out = y.new_empty(len(y), features, y.shape[2])
        pointwise = pointwise_on(y.device)
        for at in position_blocks(y):
            mixed = _product(weight, pointwise.activate(y[at], _cut(inner, at)), dtype)
            pointwise.gate(mixed, bias, gated, _cut(outer, at), _cut(residual, at), out[at])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        y, weight, bias, inner, outer = ctx.saved_tensors
        grad_y, grad_weight, grad_bias = torch.empty_like(y), None, None
        transposed = weight.mT.contiguous()
        pointwise = pointwise_on(y.device)
        for at in position_blocks(y):
            activated = pointwise.activate(y[at], _cut(inner, at))
            mixed = _product(weight, activated, ctx.dtype) if ctx.gated else None
            g, by_bias = pointwise.gate_backward(mixed, bias, grad[at], _cut(outer, at))
            grad_bias = plus(grad_bias, by_bias)
            by_weight = _product(g, activated.mT, ctx.dtype).view(-1, *weight.shape).sum(0)
            grad_weight = plus(grad_weight, by_weight)
            g = _product(transposed, g, ctx.dtype)
            pointwise.activate_backward(g, y[at], _cut(inner, at), grad_y[at])
        return grad_y, grad_weight, grad_bias, grad if ctx.has_residual else None, *[None] * 4


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a b, computed in `dtype`, in the dtype of b."""
    return product(a.to(dtype), b.to(dtype)).to(b.dtype)


def _cut(x: Tensor | None, at: tuple) -> Tensor | None:
    """A block of a tensor that may be missing, or the same at all positions."""
    if x is None:
        return None
    return x[at] if x.shape[-1] > 1 else x[at[0]]
