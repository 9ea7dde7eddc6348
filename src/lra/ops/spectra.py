"""Spectra of real signals and their products, in PyTorch: for CPUs, and the twin of `lra.ops.packed`.

Signals are (…, 2M), their spectra (…, M + 1) complex, those of kernels (C, H, M + 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def transform(signal: Tensor) -> Tensor:
    """The spectrum of a signal."""
    return torch.fft.rfft(signal)


def inverse(spectrum: Tensor) -> Tensor:
    """2M times the signal of a spectrum: what multiplied it was divided by that, where it was small."""
    return torch.fft.irfft(spectrum, norm="forward")


def convolve(signal: Tensor, kernel: Tensor) -> Tensor:
    """The products (B, C, H, M + 1) of the spectra of signals (B, H, 2M) with those of kernels. Overwrites signal."""
    signal = signal.unsqueeze(1)
    return signal.mul_(kernel) if len(kernel) == 1 else signal * kernel


def correlate(grad: Tensor, signal: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `convolve`: Σ_b conj(signal) grad of kernels and Σ_c conj(kernel) grad of signals.

    Overwrites grad, of (B, C, H, 2M), and signal.
    """
    one = len(kernel) == 1
    signal = signal.conj_physical_().unsqueeze(1)
    product = signal.mul_(grad) if one else signal * grad
    by_kernel = product[0] if len(product) == 1 else product.sum(0)
    grad = grad.mul_(kernel.conj())
    return by_kernel, grad.squeeze(1) if one else grad.sum(1)
