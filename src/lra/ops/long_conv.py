"""Convolution of long signals with kernels as long as themselves, through the real FFT."""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.precision import at_least_float32

CPU_ROWS = (
    128  # signals transformed together: PyTorch plans every FFT anew, which costs as much as 11 of them
)
CPU_BLOCK = 1 << 21  # numbers: larger blocks fall out of the cache
GPU_BLOCK = 1 << 26  # numbers: bounds the workspace


def long_conv(
    u: Tensor,
    kernel: Tensor,
    backward_kernel: Tensor | None = None,
    *,
    skip: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """y[t] = Σ_{s ≤ t} kernel[t − s] u[s] + Σ_{s > t} backward_kernel[s − t − 1] u[s] + skip u[t], by feature.

    `u` (B, H, L); `kernel` and `backward_kernel` (C, H, K) with any K, cut at L; `skip` (C, H). Result
    (B, C, H, L) in the dtype of `u`; the arithmetic is float32 at least. The backward kernel leaves the present
    step to the forward one: its first entry multiplies u[t + 1], as in the published bidirectional S4 and S4D.
    A `mask` (B, 1, L) of 0 and 1, which gets no gradient, clears positions of `u` first.

    The two directions are one circular convolution, and the skip is part of the kernel's first entry. Only
    `u` and the kernel's spectrum are kept for the gradient, which uses real FFTs throughout. First derivatives
    only.
    """
    length = u.shape[-1]
    kernel = _cut(kernel, length)
    backward_kernel = None if backward_kernel is None else _cut(backward_kernel, length)
    return _CircularConv.apply(u, kernel, backward_kernel, skip, mask)


def long_conv_naive(u: Tensor, kernel: Tensor, backward_kernel: Tensor | None = None) -> Tensor:
    """The same map as a sum over all pairs of positions, O(L²); without skip and mask."""
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


def _cut(kernel: Tensor, length: int) -> Tensor:
    return kernel if kernel.shape[-1] <= length else kernel[..., :length]


class _CircularConv(torch.autograd.Function):
    """Convolution on a circle wide enough for both directions, a block of features at a time."""

    @staticmethod
    def forward(ctx, u: Tensor, kernel: Tensor, backward_kernel: Tensor | None, skip, mask) -> Tensor:
        length, before = u.shape[-1], 0 if backward_kernel is None else backward_kernel.shape[-1]
        widest = max(kernel.shape[-1] - (before == 0), before)
        transform = _PaddedFFT(_fft_size(length + widest), at_least_float32(u, kernel))
        y, spectra = u.new_empty(u.shape[0], *kernel.shape[:2], length), []
        for h in _blocks(u, transform.size):
            spectrum = transform.of_kernel(
                kernel[:, h],
                None if backward_kernel is None else backward_kernel[:, h],
                None if skip is None else skip[:, h],
            )
            signal = transform(u[:, h], mask).unsqueeze(1)
            signal = signal.mul_(spectrum) if len(spectrum) == 1 else signal * spectrum
            y[:, :, h] = transform.inverse(signal)[..., :length]
            spectra.append(spectrum.conj_physical_())
        ctx.save_for_backward(u, mask, *spectra)
        ctx.factors = [None if x is None else (x.shape, x.dtype) for x in (kernel, backward_kernel, skip)]
        ctx.size, ctx.dtype = transform.size, transform.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, mask, *spectra = ctx.saved_tensors
        length, transform = u.shape[-1], _PaddedFFT(ctx.size, ctx.dtype)
        grad_u = torch.empty_like(u)
        grad_kernel, grad_before, grad_skip = (
            None if x is None else u.new_empty(x[0], dtype=x[1]) for x in ctx.factors
        )
        for h, conjugate in zip(_blocks(u, ctx.size), spectra, strict=True):
            g = transform(grad[:, :, h])  # (B, C, H, F)
            signal = transform(u[:, h], mask).conj_physical_().unsqueeze(1)
            by_lag = transform.inverse(_sum_of_products(g, signal))
            grad_kernel[:, h] = by_lag[..., : grad_kernel.shape[-1]]
            if grad_before is not None:
                grad_before[:, h] = by_lag[..., ctx.size - grad_before.shape[-1] :].flip(-1)
            if grad_skip is not None:
                grad_skip[:, h] = by_lag[..., 0]
            g = g.mul_(conjugate)
            g = g.squeeze(1) if len(conjugate) == 1 else g.sum(1)
            result = transform.inverse(g)[..., :length]
            grad_u[:, h] = result if mask is None else result.mul_(mask)
        return grad_u, grad_kernel, grad_before, grad_skip, None


class _PaddedFFT:
    """Real FFTs of `size` points of shorter signals, copied into one buffer whose padding is cleared once."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.size, self.dtype, self.buffers = size, dtype, {}

    def __call__(self, signal: Tensor, mask: Tensor | None = None) -> Tensor:
        """The spectrum of signal (…, L), cleared where the mask is 0."""
        filled = self._buffer(signal)[..., : signal.shape[-1]]
        if mask is None:
            filled.copy_(signal)
        else:
            torch.mul(signal, mask, out=filled)
        return torch.fft.rfft(self._buffer(signal))

    def of_kernel(self, kernel: Tensor, backward_kernel: Tensor | None, skip: Tensor | None) -> Tensor:
        """The spectrum of the circular kernel: lag −1 is the last point."""
        circle = kernel.new_empty(*kernel.shape[:-1], self.size, dtype=self.dtype)
        start, end = (
            kernel.shape[-1],
            self.size - (0 if backward_kernel is None else backward_kernel.shape[-1]),
        )
        circle[..., :start] = kernel
        circle[..., start:end] = 0
        if backward_kernel is not None:
            circle[..., end:] = backward_kernel.flip(-1)
        if skip is not None:
            circle[..., 0] += skip
        return torch.fft.rfft(circle)

    def inverse(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft(spectrum, n=self.size)

    def _buffer(self, signal: Tensor) -> Tensor:
        shape = signal.shape[:-1]
        if shape not in self.buffers:
            self.buffers[shape] = signal.new_empty(*shape, self.size, dtype=self.dtype)
            self.buffers[shape][..., signal.shape[-1] :] = 0
        return self.buffers[shape]


def _fft_size(minimum: int) -> int:
    """The next even length with small prime factors."""
    return 2 * next_fast_len(-(-minimum // 2))


def _blocks(u: Tensor, size: int) -> list[slice]:
    """Features to transform together: what stays in the cache of a CPU, what bounds the workspace of a GPU."""
    batch, features, _ = u.shape
    rows = min(CPU_ROWS, CPU_BLOCK // size) if u.device.type == "cpu" else GPU_BLOCK // size
    step = max(1, rows // batch)
    return [slice(h, h + step) for h in range(0, features, step)]


def _sum_of_products(a: Tensor, b: Tensor) -> Tensor:
    """Σ_b a · b."""
    return a[0] * b[0] if len(a) == 1 else (a * b).sum(0)
