"""Kernels of diagonal state space models: real parts of sums of complex exponentials.

The sum is a product with a Vandermonde matrix of H × M × L complex exponentials. Splitting the exponent,
l = i + L₁ j with L₁ ≈ √L, gives exp(l a) = exp(i a) · exp(j L₁ a): two tables of H × M × √L exponentials
and one real matrix product per feature, in place of the matrix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lra.ops.precision import full_precision


def vandermonde(coefficient: Tensor, exponent: Tensor, length: int) -> Tensor:
    """K[c, h, l] = Re Σ_m coefficient[c, h, m] · exp(l · exponent[h, m]) for l = 0 … length − 1.

    `coefficient` (C, H, M) and `exponent` (H, M) are complex; the result (C, H, L) is real of the same
    precision. Time O(H M √L + C H M L), memory O(H M √L + C H L).
    """
    channels, features, _ = coefficient.shape
    low_size = math.isqrt(length - 1) + 1
    high_size = -(-length // low_size)
    steps = torch.arange(low_size, device=exponent.device, dtype=exponent.real.dtype)
    jumps = low_size * torch.arange(high_size, device=exponent.device, dtype=exponent.real.dtype)
    with full_precision(exponent.device):
        low = torch.exp(exponent.unsqueeze(-1) * steps)  # (H, M, L1)
        high = torch.exp(jumps.unsqueeze(-1) * exponent.unsqueeze(1))  # (H, L2, M)
        high = coefficient.transpose(0, 1).unsqueeze(2) * high.unsqueeze(1)  # (H, C, L2, M)
        # Re(x y) = Re x · Re y − Im x · Im y, as one real product over the stacked parts.
        rows = torch.cat([high.real, -high.imag], dim=-1).flatten(1, 2)
        columns = torch.cat([low.real, low.imag], dim=1)
        kernel = torch.bmm(rows, columns).view(features, channels, high_size * low_size)
    return kernel[..., :length].transpose(0, 1)


def vandermonde_naive(coefficient: Tensor, exponent: Tensor, length: int) -> Tensor:
    """The same sum with the whole H × M × L matrix of exponentials: the formula of S4D, section 3.1."""
    steps = torch.arange(length, device=exponent.device, dtype=exponent.real.dtype)
    powers = torch.exp(exponent.unsqueeze(-1) * steps)
    return torch.einsum("chm,hml->chl", coefficient, powers).real
