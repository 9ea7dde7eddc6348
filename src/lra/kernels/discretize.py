"""Discretization of a diagonal system: x' = A x + B u, sampled at step size Δ, to x_t = Ā x_{t−1} + B̄ u_t.

The rules return log Ā in place of Ā, which keeps the precision of a small Δ A and is what the Vandermonde
product needs. A, B (H, M) complex; Δ (H, 1), or (H, M) for a step size of each mode.

`softmax_gain` and `softmax_kernel` are a third way, that of DSS: powers normalized over the length.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lra.ops.vandermonde import vandermonde

Gradient = Literal["published", "exact"]  # of the softmax
EPSILON = 1e-7  # keeps the softmax finite where a sum of powers vanishes, as in the published code


def zoh(A: Tensor, B: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-order hold: log Ā = Δ A, B̄ = (exp(Δ A) − 1) / A · B. Exact for stepwise inputs."""
    log_A = dt * A
    return log_A, torch.expm1(log_A) / A * B


def bilinear(A: Tensor, B: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear (Tustin): Ā = (1 + Δ A/2) / (1 − Δ A/2), B̄ = Δ B / (1 − Δ A/2)."""
    half = dt * A / 2
    return 2 * torch.atanh(half), dt * B / (1 - half)


def as_discrete(A: Tensor, B: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing to discretize: log Ā = Δ A and B̄ = B, for systems that are given as discrete ones."""
    return dt * A, B


def softmax_gain(A: Tensor, log_A: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """What DSS multiplies each mode with, and which modes grow: (H, M) complex and bool.

    The softmax over exp(0 · log Ā) … exp((L − 1) · log Ā) divides by their sum, (exp(L log Ā) − 1) /
    (exp(log Ā) − 1). Where Re A > 0 the sequence is read from its other end, so that nothing overflows
    (DSS, arXiv 2203.14343, appendix A.2). A (H, M) or (M,), log_A (H, M).
    """
    growing = (A.real > 0).expand(log_A.shape)
    decay = torch.where(growing, -log_A, log_A)
    total = torch.expm1(decay * length) * A
    return torch.expm1(decay) * total.conj() / (total.abs().square() + EPSILON), growing


def softmax_kernel(A: Tensor, log_A: Tensor, weight: Tensor, length: int, gradient: Gradient = "published") -> Tensor:
    """K[c, h, l] = Re Σ_m weight[c, h, m] / A[m] · softmax_l(l · log_A[h, m]), the kernel (C, H, L) of DSS.

    Normalized over `length`, on which the values depend. For modes that grow, the published code takes the
    maximum (L − 1) log_A that it subtracts in the exponent as a constant, so its gradient ('published') is not
    the derivative of this formula ('exact'). Without growing modes the two are the same.
    """
    gain, growing = softmax_gain(A, log_A, length)
    if gradient == "published":  # a factor of 1 that takes the maximum's derivative away
        gain = gain * torch.exp((length - 1) * (log_A - log_A.detach()) * growing)
    coefficient = (weight * gain).to(weight.dtype)
    if growing.device.type == "cpu" and not growing.any():  # a GPU would have to be waited for
        return vandermonde(coefficient, log_A, length)
    both = torch.cat([coefficient.masked_fill(growing, 0), coefficient.masked_fill(~growing, 0)])
    forward, reverse = vandermonde(both, torch.where(growing, -log_A, log_A), length).chunk(2)
    return forward + reverse.flip(-1)
