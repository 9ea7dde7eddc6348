"""Kernels of diagonal state space models: real parts of sums of complex exponentials.

The sum is a product with a Vandermonde matrix of H × M × L complex exponentials. Splitting the exponent,
l = i + L₁ j with L₁ ≈ √L, gives exp(l a) = exp(i a) · exp(j L₁ a): two tables of H × √L × M powers
and one real matrix product per feature, in place of the matrix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.precision import full_precision


def vandermonde(coefficient: Tensor, exponent: Tensor, length: int) -> Tensor:
    """K[c, h, l] = Re Σ_m coefficient[c, h, m] · exp(l · exponent[h, m]) for l = 0 … length − 1.

    `coefficient` (C, H, M) and `exponent` (H, M) are complex; the result (C, H, L) is real, of the precision
    of `coefficient`. Phases l · Im(exponent) grow with l, so a complex128 exponent is worth having even for a
    complex64 result: the tables are made in complex128 in any case. First derivatives only.
    Time O(C H M L) in one batched matrix product, memory O(C H M √L + C H L).
    """
    return _Vandermonde.apply(coefficient, exponent, length)


def vandermonde_naive(coefficient: Tensor, exponent: Tensor, length: int) -> Tensor:
    """The same sum with the whole H × M × L matrix of exponentials: the formula of S4D, section 3.1."""
    steps = torch.arange(length, device=exponent.device, dtype=exponent.real.dtype)
    powers = torch.exp(exponent.unsqueeze(-1) * steps)
    return torch.einsum("chm,hml->chl", coefficient, powers).real


class _Vandermonde(torch.autograd.Function):
    """With z[c, j] = coefficient[c] · high[j]: K[c, i + L₁ j] = Re Σ_m z[c, j, m] · low[i, m].

    Complex arrays (…, M) viewed as real (…, 2M) turn Re(z · low) into the real inner product of z and the
    conjugate of low, so the products need neither copies nor complex arithmetic.
    """

    @staticmethod
    def forward(ctx, coefficient: Tensor, exponent: Tensor, length: int) -> Tensor:
        low_size = math.isqrt(length - 1) + 1
        high_size = -(-length // low_size)
        exact = exponent.to(torch.complex128)
        low = _powers(exact.conj(), low_size, coefficient.dtype)  # (H, L1, M), conjugated
        high = _powers(low_size * exact, high_size, coefficient.dtype)  # (H, L2, M)
        with full_precision(exponent.device):
            z = _stacked(_scaled(coefficient, high))  # (H, C L2, 2M)
            product = torch.bmm(z, _stacked(low).mT)  # (H, C L2, L1)
        ctx.save_for_backward(coefficient, low, high, z)
        ctx.length, ctx.exponent_dtype = length, exponent.dtype
        return product.view(-1, len(coefficient), high_size * low_size)[..., :length].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        coefficient, low, high, z = ctx.saved_tensors
        (channels, features, modes), low_size, high_size = coefficient.shape, low.shape[1], high.shape[1]
        if excess := high_size * low_size - ctx.length:
            grad = torch.nn.functional.pad(grad, (0, excess))
        grad = grad.transpose(0, 1).reshape(features, channels * high_size, low_size)
        with full_precision(grad.device):
            grad_z = torch.bmm(grad, _stacked(low))
            grad_low = torch.bmm(grad.mT, z)
            grad_z = torch.view_as_complex(grad_z.view(features, channels, high_size, modes, 2))
            grad_low = torch.view_as_complex(grad_low.view(features, low_size, modes, 2))
            # exp(j L1 a) has the derivative j L1 exp(j L1 a); likewise low, a conjugate table.
            grad_coefficient, by_jump = _moments(grad_z * high.unsqueeze(1).conj())
            _, by_step = _moments(grad_low.conj() * low)
        grad_exponent = low_size * (by_jump * coefficient.transpose(0, 1).conj()).sum(1) + by_step
        return grad_coefficient.transpose(0, 1), grad_exponent.to(ctx.exponent_dtype), None


def _powers(exponent: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """exp(0 · exponent) … exp((count − 1) · exponent), (H, count, M), as products of two shorter tables."""
    size = math.isqrt(count - 1) + 1
    base = exponent.exp().unsqueeze(1)
    fine = _first_powers(base, size)
    coarse = _first_powers(fine[:, -1:] * base, size).to(dtype)
    return (coarse.unsqueeze(2) * fine.to(dtype).unsqueeze(1)).flatten(1, 2)[:, :count]


def _first_powers(base: Tensor, count: int) -> Tensor:
    """base⁰ … base^(count − 1), (H, count, M), of base (H, 1, M); exponentials would cost far more."""
    return torch.cat([torch.ones_like(base), base.expand(-1, count - 1, -1)], dim=1).cumprod(1)


def _scaled(coefficient: Tensor, high: Tensor) -> Tensor:
    """coefficient · high, (H, C L2, M)."""
    return (coefficient.transpose(0, 1).contiguous().unsqueeze(2) * high.unsqueeze(1)).flatten(1, 2)


def _stacked(value: Tensor) -> Tensor:
    """Complex (..., M) as real (..., 2M)."""
    return torch.view_as_real(value).flatten(-2)


def _moments(table: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_j table[…, j, :] and Σ_j j · table[…, j, :]."""
    index = torch.arange(table.shape[-2], device=table.device, dtype=table.real.dtype)
    sums = torch.matmul(torch.stack([torch.ones_like(index), index]), _stacked(table))
    sums = torch.view_as_complex(sums.unflatten(-1, (-1, 2)))
    return sums[..., 0, :], sums[..., 1, :]
