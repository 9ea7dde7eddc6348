"""The pointwise parts of a layer, in PyTorch: for CPUs, and the twin of the Triton kernels in `lra.ops.fused`.

Signals are (B, H, L), or (H, L) blocks of them; factors of dropout are None or (B, H, 1 or L), or blocks of them.
"""

from __future__ import annotations

from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

_fused = {"usable": True}


def refuse_fused() -> None:
    """Use this module on CUDA, too, from here on."""
    _fused["usable"] = False


def backend(device: torch.device) -> ModuleType:
    """The module with these functions for a device: `lra.ops.fused` on CUDA, this one elsewhere."""
    if device.type == "cuda" and _fused["usable"]:
        from lra.ops import fused

        return fused
    from lra.ops import pointwise

    return pointwise


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


def gate_backward(mixed: Tensor, bias: Tensor, grad: Tensor, factor: Tensor | None) -> Tensor:
    """The gradient of the gate with respect to mixed. Overwrites mixed."""
    if factor is not None:
        grad = grad * factor
    return torch.ops.aten.glu_backward(grad, mixed.add_(bias.unsqueeze(1)), -2)


def correlate(grad: Tensor, signal: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of a convolution in spectra: Σ_b conj(signal) grad (C, H, F) and Σ_c conj(kernel) grad (B, H, F).

    Overwrites grad (B, C, H, F) and signal (B, H, F).
    """
    one = grad.shape[1] == 1
    signal = signal.conj_physical_().unsqueeze(1)
    product = signal.mul_(grad) if one else signal * grad
    by_kernel = product[0] if len(product) == 1 else product.sum(0)
    grad = grad.mul_(kernel.conj())
    return by_kernel, grad.squeeze(1) if one else grad.sum(1)


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
