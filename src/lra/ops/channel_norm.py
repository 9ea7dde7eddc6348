"""Layer normalization over the features of (B, H, L), without a transposed copy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.backend import pointwise_on
from lra.ops.blocks import plus, position_blocks
from lra.ops.precision import at_least_float32


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, mean and variance over the H features of every position.

    x (B, H, L), weight and bias (H,). The result is float32 at least, as that of layer norm under autocast.
    Keeps x and two numbers a position for the gradient. First derivatives only.
    """
    return _ChannelNorm.apply(x, weight, bias, eps)


def channel_norm_naive(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The same by PyTorch's layer norm, which wants the features last."""
    return torch.nn.functional.layer_norm(x.mT, weight.shape, weight, bias, eps).mT


class _ChannelNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        y = torch.empty_like(x, dtype=at_least_float32(x, weight))
        mean, scale = y.new_empty(2, len(x), 1, x.shape[-1])
        pointwise = pointwise_on(x.device)
        for at in position_blocks(x):
            pointwise.normalize(x[at], weight, bias, eps, y[at], mean[at], scale[at])
        ctx.save_for_backward(x, weight, mean, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, scale = ctx.saved_tensors
        grad_x, grad_weight, grad_bias = torch.empty_like(x), None, None
        pointwise = pointwise_on(x.device)
        for at in position_blocks(x):
            by_weight, by_bias = pointwise.normalize_backward(grad[at], x[at], weight, mean[at], scale[at], grad_x[at])
            grad_weight, grad_bias = plus(grad_weight, by_weight), plus(grad_bias, by_bias)
        return grad_x, grad_weight, grad_bias, None
