"""Convolution of long signals with kernels as long as themselves, through the real FFT."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lra.ops.backend import spectra_on
from lra.ops.precision import at_least_float32

CPU_ROWS = 256  # signals of one FFT call: PyTorch plans each anew, which costs as much as 11 of them
CPU_BLOCK = 1 << 22  # numbers: bounds the workspace
GPU_BLOCK = 1 << 26  # numbers: bounds the workspace


def long_conv(
    u: Tensor,
    kernel: Tensor,
    *,
    bidirectional: bool = False,
    skip: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """y[t] = Σ_{s ≤ t} kernel[t − s] u[s] + skip u[t], for each feature; and the future, if bidirectional.

    `u` (B, H, L), `kernel` (C, H, K) with any K, cut at L, `skip` (C, H). Result (B, C, H, L) in the dtype of
    `u`; the arithmetic is float32 at least. A `mask` (B, 1, L) of 0 and 1, which gets no gradient, clears
    positions of `u` first.

    A bidirectional `kernel` (2C, H, K) has those of the past, then those of the future, which add
    Σ_{s > t} future[s − t − 1] u[s]: the present step is left to the past ones, and the first entry of the others
    multiplies u[t + 1], as in the published bidirectional S4 and S4D.

    The two directions are one circular convolution, and the skip is part of the kernel's first entry. Only
    `u` and the kernel's spectrum are kept for the gradient, which uses real FFTs throughout. First derivatives
    only.
    """
    kernel = kernel.to(at_least_float32(u, kernel))
    spectrum = kernel_spectrum(kernel, u.shape[-1], bidirectional=bidirectional, skip=skip)
    return circular_conv(u, spectrum, mask)


def kernel_spectrum(kernel: Tensor, length: int, *, bidirectional: bool = False, skip: Tensor | None = None) -> Tensor:
    """What `long_conv` multiplies the spectra of signals of a length with, (C, H, F) complex: for `circular_conv`.

    Made for several layers at once it spares a GPU their launches. Its gradient has the mirrored frequencies, which a
    real transform leaves out, counted in.
    """
    return _KernelSpectrum.apply(kernel[..., :length], length, bidirectional, skip)


def circular_conv(u: Tensor, spectrum: Tensor, mask: Tensor | None = None) -> Tensor:
    """`long_conv` with the `kernel_spectrum` of its kernel and skip: (B, H, L) and (C, H, F) to (B, C, H, L)."""
    return _CircularConv.apply(u, spectrum, mask)


def long_conv_naive(u: Tensor, kernel: Tensor, *, bidirectional: bool = False) -> Tensor:
    """The same map as a sum over all pairs of positions, O(L²); without skip and mask."""
    length = u.shape[-1]
    position = torch.arange(length, device=u.device)
    lag = position.unsqueeze(1) - position  # t − s
    past, *future = kernel.chunk(2 if bidirectional else 1)
    matrix = _gather(past, lag)
    if bidirectional:
        matrix = matrix + _gather(future[0], -lag - 1)
    return torch.einsum("chts,bhs->bcht", matrix, u)


def _gather(kernel: Tensor, index: Tensor) -> Tensor:
    """kernel[..., index], zero where the index lies outside the kernel."""
    inside = (index >= 0) & (index < kernel.shape[-1])
    return kernel[..., index.clamp(0, kernel.shape[-1] - 1)] * inside


class _KernelSpectrum(torch.autograd.Function):
    """The spectrum of a circle wide enough for both directions."""

    @staticmethod
    def forward(ctx, kernel: Tensor, length: int, bidirectional: bool, skip: Tensor | None) -> Tensor:
        reach = kernel.shape[-1]
        ctx.channels = len(kernel) // 2 if bidirectional else len(kernel)
        ctx.size = _fft_size(length + (reach if bidirectional else reach - 1))
        ctx.like = torch.empty_like(kernel, device="meta")  # its layout, or a dense one where it repeats itself
        ctx.skip_dtype = None if skip is None else skip.dtype
        circle = _circle(kernel, ctx.channels, ctx.size)
        if skip is not None:
            circle[..., 0] += skip
        return torch.fft.rfft(circle, norm="forward")  # divided by the size, here where it is small

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        by_lag = torch.fft.irfft(grad, n=ctx.size)
        grad_kernel = torch.empty_like(ctx.like, device=grad.device)
        reach = grad_kernel.shape[-1]
        grad_kernel[: ctx.channels] = by_lag[..., :reach]
        if ctx.channels < len(grad_kernel):
            grad_kernel[ctx.channels :] = by_lag[..., ctx.size - reach :].flip(-1)
        return grad_kernel, None, None, None if ctx.skip_dtype is None else by_lag[..., 0].to(ctx.skip_dtype)


class _CircularConv(torch.autograd.Function):
    """Products of spectra, a block of features at a time."""

    @staticmethod
    def forward(ctx, u: Tensor, spectrum: Tensor, mask: Tensor | None) -> Tensor:
        (channels, _, frequencies), length = spectrum.shape, u.shape[-1]
        ctx.size, ctx.dtype = 2 * (frequencies - 1), at_least_float32(u, spectrum.real)
        spectra, padded = spectra_on(u.device, channels), _Padded(ctx.size, ctx.dtype)
        y = u.new_empty(u.shape[0], channels, *u.shape[1:])
        for h in _blocks(u, ctx.size):
            product = spectra.convolve(spectra.transform(padded(u[:, h], mask)), spectrum[:, h])
            y[:, :, h] = spectra.inverse(product)[..., :length]
        ctx.save_for_backward(u, spectrum, mask)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, spectrum, mask = ctx.saved_tensors
        spectra, padded = spectra_on(u.device, len(spectrum)), _Padded(ctx.size, ctx.dtype)
        grad_u, by_spectra = torch.empty_like(u), []
        for h in _blocks(u, ctx.size):
            g = spectra.transform(padded(grad[:, :, h]))
            by_spectrum, by_signal = spectra.correlate(g, spectra.transform(padded(u[:, h], mask)), spectrum[:, h])
            by_spectra.append(by_spectrum)
            result = spectra.inverse(by_signal)[..., : u.shape[-1]]
            if mask is None:
                grad_u[:, h] = result
            else:
                torch.mul(result, mask, out=grad_u[:, h])
        return grad_u, by_spectra[0] if len(by_spectra) == 1 else torch.cat(by_spectra, dim=1), None


class _Padded:
    """Copies signals of one length into a buffer of `size` points, whose padding is cleared once."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.size, self.dtype = size, dtype
        self.buffers: dict[int, Tensor] = {}

    def __call__(self, signal: Tensor, mask: Tensor | None = None) -> Tensor:
        """A signal (…, size) of one (…, L), cleared where the mask is 0; the next of as many rows overwrites it."""
        *shape, length = signal.shape
        rows = math.prod(shape)
        if rows not in self.buffers:
            self.buffers[rows] = signal.new_empty(rows, self.size, dtype=self.dtype)
            self.buffers[rows][:, length:].zero_()
        padded = self.buffers[rows].view(*shape, self.size)
        if mask is None:
            padded[..., :length].copy_(signal)
        else:
            torch.mul(signal, mask, out=padded[..., :length])
        return padded


@cache
def _fft_size(minimum: int) -> int:
    """The next even length without prime factors above 5."""
    size = minimum + minimum % 2
    while 30 ** size.bit_length() % size:
        size += 2
    return size


def _blocks(u: Tensor, size: int) -> list[slice]:
    """Features to transform together: what stays in the cache of a CPU, what bounds the workspace of a GPU."""
    batch, features, _ = u.shape
    rows = min(CPU_ROWS, CPU_BLOCK // size) if u.device.type == "cpu" else GPU_BLOCK // size
    step = max(1, rows // batch)
    return [slice(h, h + step) for h in range(0, features, step)]


def _circle(kernel: Tensor, channels: int, size: int) -> Tensor:
    """The circular kernel (C, H, size): lag 0 is the first point, lag −1 the last."""
    circle = kernel.new_empty(channels, kernel.shape[1], size, dtype=at_least_float32(kernel))
    reach = kernel.shape[-1]
    end = size - reach if channels < len(kernel) else size
    circle[..., :reach] = kernel[:channels]
    circle[..., reach:end].zero_()
    if channels < len(kernel):
        circle[..., end:] = kernel[channels:].flip(-1)
    return circle
