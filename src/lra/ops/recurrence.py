"""Diagonal linear recurrences over whole signals, in matrix products instead of a step at a time.

A recurrence with a constant factor is a convolution with its powers. A chunk of T positions is one T × T triangular
product; what a chunk leaves to the next is a recurrence over the chunks, T times shorter, with the factor's T-th power.
Unlike an FFT it is exact where factors grow, and no power is taken over more than T positions at a time.

Complex numbers are pairs of real tensors here: products of real matrices are faster, and go well with the real
projections before and after.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.precision import full_precision

CHUNK = 32


def recurrence(v: Tensor, exponent: Tensor, *, reverse: bool = False) -> Tensor:
    """x[t] = exp(exponent) x[t − 1] + v[t] with x[−1] = 0; from the last position to the first, if `reverse`.

    `v` (2, P, B, L) real: the real, then the imaginary parts. `exponent` (P,) complex; complex128 is worth having
    for float32 signals, as powers are made in it. The result is like `v`. Time O(P B L · CHUNK), and only the result
    is kept for the gradient. First derivatives only.
    """
    return _Recurrence.apply(v, exponent, reverse)


def recurrence_naive(v: Tensor, exponent: Tensor, *, reverse: bool = False) -> Tensor:
    """The same, one position after the other."""
    factor = exponent.exp().unsqueeze(-1)
    signal = torch.complex(*v).unbind(-1)
    state, states = torch.zeros_like(signal[0]), []
    for position in reversed(signal) if reverse else signal:
        state = factor * state + position
        states.append(state)
    x = torch.stack(states[::-1] if reverse else states, dim=-1)
    return torch.stack([x.real, x.imag])


class _Recurrence(torch.autograd.Function):
    """The gradient of a recurrence is one in the other direction, with the conjugate factor."""

    @staticmethod
    def forward(ctx, v: Tensor, exponent: Tensor, reverse: bool) -> Tensor:
        exact = exponent.to(torch.complex128)
        with full_precision(v.device):
            x = _scan(v.contiguous(), exact, reverse)
        ctx.save_for_backward(x, exponent)
        ctx.reverse = reverse
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, exponent = ctx.saved_tensors
        exact = exponent.to(torch.complex128)
        with full_precision(grad.device):
            w = _scan(grad.contiguous(), exact.conj().resolve_conj(), not ctx.reverse)
            now, before = (w[..., :-1], x[..., 1:]) if ctx.reverse else (w[..., 1:], x[..., :-1])
            products = torch.einsum("ipbl,jpbl->ijp", now, before).to(exact.real.dtype)
        by_factor = torch.complex(products[0, 0] + products[1, 1], products[1, 0] - products[0, 1])
        return w, (exact.exp().conj() * by_factor).to(exponent.dtype), None


def _scan(v: Tensor, exponent: Tensor, reverse: bool) -> Tensor:
    """The recurrence of v (2, P, B, L), contiguous; chunk by chunk if L is longer than one."""
    _, states, batch, length = v.shape
    size = min(CHUNK, length)
    count = -(-length // size)
    if excess := count * size - length:
        v = torch.nn.functional.pad(v, (0, excess))
    x = _product(v.view(2, states, batch * count, size), _triangle(exponent, size, reverse, v.dtype))
    x = x.view(2, states, batch, count, size)
    if count > 1:
        ends = x[..., 0 if reverse else -1].contiguous()
        carried = _scan(ends, size * exponent, reverse)
        there, origin = (slice(0, -1), slice(1, None)) if reverse else (slice(1, None), slice(0, -1))
        steps = torch.arange(1, size + 1, device=v.device)
        powers = _powers(exponent, steps.flip(0) if reverse else steps, v.dtype)  # (2, P, T)
        real, imag = powers.view(2, states, 1, 1, size)
        carried_real, carried_imag = carried[..., origin].unsqueeze(-1)
        x[0, :, :, there].addcmul_(carried_real, real).addcmul_(carried_imag, imag, value=-1)
        x[1, :, :, there].addcmul_(carried_real, imag).addcmul_(carried_imag, real)
    return x.view(2, states, batch, count * size)[..., :length]


def _product(v: Tensor, matrix: Tensor) -> Tensor:
    """The complex product of v (2, P, N, T) and matrix (2, P, T, T), in four real ones."""
    (v_real, v_imag), (real, imag) = v, matrix
    return torch.stack(
        [
            torch.baddbmm(torch.bmm(v_real, real), v_imag, imag, alpha=-1),
            torch.baddbmm(torch.bmm(v_real, imag), v_imag, real),
        ]
    )


def _triangle(exponent: Tensor, size: int, reverse: bool, dtype: torch.dtype) -> Tensor:
    """Powers (2, P, T, T): [s, t] holds exp((t − s) exponent) from position s to every later one, else 0."""
    position = torch.arange(size, device=exponent.device)
    lag = position - position.unsqueeze(1)
    lag = -lag if reverse else lag
    return _powers(exponent, lag.clamp(min=0), dtype) * (lag >= 0)


def _powers(exponent: Tensor, steps: Tensor, dtype: torch.dtype) -> Tensor:
    """exp(steps · exponent) as (2, P, *steps.shape) of the real dtype."""
    powers = torch.exp(exponent.view(-1, *[1] * steps.dim()) * steps)
    return torch.stack([powers.real, powers.imag]).to(dtype)
