"""Layer normalisation over the features of (B, H, L), without a transposed copy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.blocks import position_blocks
from lra.ops.precision import at_least_float32


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x − mean) / √(var + eps) · weight + bias, mean and variance over the H features of every position.

    x (B, H, L), weight and bias (H,). The result is float32 at least, as that of layer norm under autocast.
    Keeps x and two numbers a position for the gradient. First derivatives only.
    """
    if torch.compiler.is_compiling():  # the compiler fuses plain operations by itself
        return channel_norm_naive(x, weight, bias, eps)
    return _ChannelNorm.apply(x, weight, bias, eps)


def channel_norm_naive(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The same by PyTorch's layer norm, which wants the features last."""
    return torch.nn.functional.layer_norm(x.mT, weight.shape, weight, bias, eps).mT


class _ChannelNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        batch, features, length = x.shape
        y = torch.empty_like(x, dtype=at_least_float32(x, weight))
        mean, scale = y.new_empty(2, batch, 1, length)
        for at in position_blocks(x):
            block = x[at].to(y.dtype)
            mean[at] = block.sum(-2, keepdim=True) / features
            block = block - mean[at]
            scale[at] = ((block * block).sum(-2, keepdim=True) / features + eps).rsqrt_()
            block.mul_(scale[at]).mul_(weight.unsqueeze(1))
            torch.add(block, bias.unsqueeze(1), out=y[at])
        ctx.save_for_backward(x, weight, mean, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, scale = ctx.saved_tensors
        features, grad_x = len(weight), torch.empty_like(x)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for at in position_blocks(x):
            normal = (x[at] - mean[at]).mul_(scale[at])
            g = grad[at]
            grad_bias += g.sum(-1).view(-1, features).sum(0)
            grad_weight += (g * normal).sum(-1).view(-1, features).sum(0)
            g = g * weight.unsqueeze(1)  # with respect to the normalised x
            along = (g * normal).sum(-2, keepdim=True) / features
            g.sub_(g.sum(-2, keepdim=True) / features).addcmul_(normal, along, value=-1)
            torch.mul(g, scale[at], out=grad_x[at])
        return grad_x, grad_weight, grad_bias, None
