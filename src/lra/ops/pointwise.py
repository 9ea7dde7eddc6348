"""The pointwise parts of a layer, in PyTorch: for CPUs, and the twin of the Triton kernels in `lra.ops.fused`.

Signals are (B, H, L), or (H, L) blocks of them; factors of dropout are None or (B, H, 1 or L), or blocks of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def activate(y: Tensor, factor: Tensor | None) -> Tensor:
    """factor · gelu(y)."""
    activated = F.gelu(y)
    return activated if factor is None else activated.mul_(factor)


def activate_backward(grad: Tensor, y: Tensor, factor: Tensor | None, out: Tensor) -> None:
    """The gradient of `activate`, written to `out`. Overwrites grad."""
    if factor is not None:
        grad.mul_(factor)
    torch.ops.aten.gelu_backward.grad_input(grad, y, grad_input=out)


def gate(mixed: Tensor, bias: Tensor, gated: bool, factor: Tensor | None, residual: Tensor | None, out: Tensor) -> None:
    """residual + factor · gate(mixed + bias), written to `out`. Overwrites mixed (B, O, L)."""
    mixed.add_(bias.unsqueeze(1))
    if gated:
        mixed = torch.ops.aten.glu.out(mixed, -2, out=out)
    if factor is not None:
        mixed.mul_(factor)
    if residual is not None:
        torch.add(mixed, residual, out=out)
    elif mixed is not out:
        out.copy_(mixed)


def gate_backward(mixed: Tensor | None, bias: Tensor, grad: Tensor, factor: Tensor | None) -> tuple[Tensor, Tensor]:
    """The gradients of `gate` with respect to mixed and bias. Overwrites mixed; it is None where nothing is gated."""
    if factor is not None:
        grad = grad * factor
    if mixed is not None:
        grad = torch.ops.aten.glu_backward(grad, mixed.add_(bias.unsqueeze(1)), -2)
    return grad, grad.sum(-1).view(-1, len(bias)).sum(0)


def normalize(x: Tensor, weight: Tensor, bias: Tensor, eps: float, y: Tensor, mean: Tensor, scale: Tensor) -> None:
    """Layer norm over the features: writes y, and the mean and 1/√(variance + eps) of every position (…, 1, L)."""
    features = len(weight)
    x = x.to(y.dtype)
    torch.sum(x, -2, keepdim=True, out=mean).div_(features)
    x = x - mean
    scale.copy_((x * x).sum(-2, keepdim=True).div_(features).add_(eps).rsqrt_())
    torch.add(x.mul_(scale).mul_(weight.unsqueeze(1)), bias.unsqueeze(1), out=y)


def normalize_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, out: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of `normalize`: of x to `out`; returns those of weight and bias."""
    features = len(weight)
    normal = (x - mean).mul_(scale)
    product = grad * normal
    by_weight, by_bias = (v.sum(-1).view(-1, features).sum(0) for v in (product, grad))
    average = weight.unsqueeze(0) / -features
    normal.mul_(average @ product).add_(average @ grad).addcmul_(grad, weight.unsqueeze(1))
    torch.mul(normal, scale, out=out)
    return by_weight, by_bias
