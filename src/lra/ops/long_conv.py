"""Convolution of long signals with kernels as long as themselves, through the real FFT."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.precision import at_least_float32

CPU_BLOCK = 1 << 19  # numbers in the FFTs of one block: a block and its spectrum stay in the cache


def long_conv(u: Tensor, kernel: Tensor, backward_kernel: Tensor | None = None) -> Tensor:
    """y[t] = Σ_{s ≤ t} kernel[t − s] u[s] + Σ_{s > t} backward_kernel[s − t − 1] u[s], for each feature.

    `u` (B, H, L); `kernel` and `backward_kernel` (C, H, K) with any K, cut at L. Result (B, C, H, L) in the
    dtype of `u`; the arithmetic is float32 at least. The backward kernel leaves the present step to the
    forward one: its first entry multiplies u[t + 1], as in the published bidirectional S4 and S4D.

    The two directions are one circular convolution. Only `u` and the kernel's spectrum are kept for the
    gradient, which uses real FFTs throughout. First derivatives only.
    """
    length = u.shape[-1]
    kernel = kernel[..., :length]
    if backward_kernel is None:
        return _CircularConv.apply(u, kernel, _fft_size(length + kernel.shape[-1] - 1))
    backward_kernel = backward_kernel[..., :length]
    size = _fft_size(length + max(kernel.shape[-1], backward_kernel.shape[-1]))
    gap = kernel.new_zeros(*kernel.shape[:-1], size - kernel.shape[-1] - backward_kernel.shape[-1])
    return _CircularConv.apply(u, torch.cat([kernel, gap, backward_kernel.flip(-1)], dim=-1), size)


def long_conv_naive(u: Tensor, kernel: Tensor, backward_kernel: Tensor | None = None) -> Tensor:
    """The same map as a sum over all pairs of positions, O(L²)."""
    length = u.shape[-1]
    lag = torch.arange(length).unsqueeze(1) - torch.arange(length)  # t − s
    matrix = _gather(kernel, lag)
    if backward_kernel is not None:
        matrix = matrix + _gather(backward_kernel, -lag - 1)
    return torch.einsum("chts,bhs->bcht", matrix, u)


def _gather(kernel: Tensor, index: Tensor) -> Tensor:
    """kernel[..., index], zero where the index lies outside the kernel."""
    inside = (index >= 0) & (index < kernel.shape[-1])
    return kernel[..., index.clamp(0, kernel.shape[-1] - 1)] * inside


def _fft_size(minimum: int) -> int:
    """The next even length with small prime factors."""
    return 2 * next_fast_len(-(-minimum // 2))


def _blocks(u: Tensor, size: int) -> Iterator[tuple[slice, slice]]:
    """Slices (batch, features) of `u` to transform together: cache-sized on a CPU, everything on a GPU."""
    batch, features, _ = u.shape
    rows = max(1, CPU_BLOCK // size) if u.device.type == "cpu" else batch * features
    feature_step, batch_step = min(rows, features), max(1, rows // features)
    for h in range(0, features, feature_step):
        for b in range(0, batch, batch_step):
            yield slice(b, b + batch_step), slice(h, h + feature_step)


class _CircularConv(torch.autograd.Function):
    """First L outputs of the circular convolution of `size` points; a shorter kernel is zero-padded."""

    @staticmethod
    def forward(ctx, u: Tensor, kernel: Tensor, size: int) -> Tensor:
        dtype = at_least_float32(u, kernel)
        spectrum = torch.fft.rfft(kernel.to(dtype), n=size)  # (C, H, F)
        y = u.new_empty(u.shape[0], *kernel.shape[:2], u.shape[-1])
        for b, h in _blocks(u, size):
            signal = torch.fft.rfft(u[b, h].to(dtype), n=size).unsqueeze(1)
            signal = signal.mul_(spectrum[:, h]) if len(spectrum) == 1 else signal * spectrum[:, h]
            y[b, :, h] = torch.fft.irfft(signal, n=size)[..., : u.shape[-1]]
        ctx.save_for_backward(u, spectrum)
        ctx.size, ctx.dtype, ctx.kernel_dtype, ctx.kernel_length = size, dtype, kernel.dtype, kernel.shape[-1]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, spectrum = ctx.saved_tensors
        conjugate = spectrum.conj().resolve_conj()
        grad_u, grad_spectrum = torch.empty_like(u), torch.zeros_like(spectrum)
        for b, h in _blocks(u, ctx.size):
            g = torch.fft.rfft(grad[b, :, h].to(ctx.dtype), n=ctx.size)  # (B, C, H, F)
            signal = torch.fft.rfft(u[b, h].to(ctx.dtype), n=ctx.size).conj_physical_().unsqueeze(1)
            if len(g) == 1:
                grad_spectrum[:, h].addcmul_(g[0], signal[0])
            else:
                grad_spectrum[:, h] += (g * signal).sum(0)
            total = g.mul_(conjugate[:, h])
            total = total.squeeze(1) if len(spectrum) == 1 else total.sum(1)
            grad_u[b, h] = torch.fft.irfft(total, n=ctx.size)[..., : u.shape[-1]]
        grad_kernel = torch.fft.irfft(grad_spectrum, n=ctx.size)[..., : ctx.kernel_length]
        return grad_u, grad_kernel.to(ctx.kernel_dtype), None
