"""Spectra of real signals as those of complex ones of half the length, with Triton kernels: see `lra.ops.spectra`.

z[n] = x[2n] + i x[2n + 1] of a signal x of 2M numbers is x itself as it lies in the memory. With its spectrum Z (M)
and w = exp(−iπ/M), that of x is

    X[k] = E + w^k O,   conj X[M − k] = E − w^k O,   2 E = Z[k] + conj Z[M − k],   2i O = Z[k] − conj Z[M − k],

for k = 0 … M/2, where Z[M] is Z[0]. A program reads Z at k and M − k, multiplies X at both, and writes the packed
product back. An inverse real transform would first be copied by PyTorch, since cuFFT overwrites its input; a complex
one is not.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lra.ops.fused import exact, launch

BLOCK = 256  # pairs of frequencies in a program


def transform(signal: Tensor) -> Tensor:
    """The packed spectrum (…, M) of a signal (…, 2M), which is contiguous."""
    return torch.fft.fft(torch.view_as_complex(signal.unflatten(-1, (-1, 2))))


def inverse(spectrum: Tensor) -> Tensor:
    """2M times the signal (…, 2M) of a packed spectrum that `convolve` or `correlate` made."""
    return torch.view_as_real(torch.fft.ifft(spectrum, norm="forward")).flatten(-2)


def convolve(signal: Tensor, kernel: Tensor) -> Tensor:
    """The packed products (B, 1, H, M) of signals (B, H, 2M) with a kernel (1, H, M + 1). Overwrites signal."""
    batch, features, half = signal.shape
    spectra = [torch.view_as_real(x) for x in (signal, kernel.contiguous())]
    launch(_convolve, _grid(features, half), *spectra, batch, features, half, exact(spectra[0]), BLOCK)
    return signal.unsqueeze(1)


def correlate(grad: Tensor, signal: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_b conj(signal) grad (1, H, M + 1), not packed, and conj(kernel) grad (B, H, M), packed. Overwrites grad."""
    batch, features, half = signal.shape
    by_kernel = torch.empty_like(kernel, memory_format=torch.contiguous_format)
    spectra = [torch.view_as_real(x) for x in (grad, signal, kernel.contiguous(), by_kernel)]
    launch(_correlate, _grid(features, half), *spectra, batch, features, half, exact(spectra[0]), BLOCK)
    return by_kernel, grad.squeeze(1)


def _grid(features: int, half: int) -> tuple[int, int]:
    return features, triton.cdiv(half // 2 + 1, BLOCK)


@triton.jit
def _complex(pointer, at, inside, EXACT: tl.constexpr):
    real, imag = tl.load(pointer + 2 * at, mask=inside, other=0), tl.load(pointer + 2 * at + 1, mask=inside, other=0)
    return (real.to(tl.float64), imag.to(tl.float64)) if EXACT else (real, imag)


@triton.jit
def _store(pointer, at, real, imag, inside):
    tl.store(pointer + 2 * at, real, mask=inside)
    tl.store(pointer + 2 * at + 1, imag, mask=inside)


@triton.jit
def _pairs(half, EXACT: tl.constexpr, BLOCK: tl.constexpr):
    """k, the place of Z[M − k], which k exist, which have a partner of their own, and w^−k."""
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    angle = (k.to(tl.float64) if EXACT else k.to(tl.float32)) / half * 3.141592653589793
    return k, (half - k) % half, 2 * k <= half, (k > 0) & (2 * k < half), tl.cos(angle), tl.sin(angle)


@triton.jit
def _unpack(z, k, partner, inside, cos, sin, EXACT: tl.constexpr):
    """X[k] and conj X[M − k]."""
    a_real, a_imag = _complex(z, k, inside, EXACT)
    b_real, b_imag = _complex(z, partner, inside, EXACT)
    even_real, even_imag = 0.5 * (a_real + b_real), 0.5 * (a_imag - b_imag)
    odd_real, odd_imag = 0.5 * (a_imag + b_imag), 0.5 * (b_real - a_real)
    odd_real, odd_imag = cos * odd_real + sin * odd_imag, cos * odd_imag - sin * odd_real
    return even_real + odd_real, even_imag + odd_imag, even_real - odd_real, even_imag - odd_imag


@triton.jit
def _pack(z, k, partner, inside, both, cos, sin, a_real, a_imag, b_real, b_imag):
    """Writes twice the packed spectrum of X[k] = a and conj X[M − k] = b."""
    even_real, even_imag = a_real + b_real, a_imag + b_imag
    odd_real, odd_imag = a_real - b_real, a_imag - b_imag
    odd_real, odd_imag = cos * odd_real - sin * odd_imag, cos * odd_imag + sin * odd_real
    _store(z, k, even_real - odd_imag, even_imag + odd_real, inside)
    _store(z, partner, even_real + odd_imag, odd_real - even_imag, both)


# The batch is part of the code: Triton's interpreter does not count to a number that is an argument.
@triton.jit
def _convolve(signal, kernel, BATCH: tl.constexpr, features, half, EXACT: tl.constexpr, BLOCK: tl.constexpr):
    feature = tl.program_id(0).to(tl.int64)
    k, partner, inside, both, cos, sin = _pairs(half, EXACT, BLOCK)
    row = kernel + 2 * feature * (half + 1)
    k_real, k_imag = _complex(row, k, inside, EXACT)
    m_real, m_imag = _complex(row, half - k, inside, EXACT)
    z = signal + 2 * feature * half
    for _ in range(BATCH):
        a_real, a_imag, b_real, b_imag = _unpack(z, k, partner, inside, cos, sin, EXACT)
        _pack(
            z, k, partner, inside, both, cos, sin,
            a_real * k_real - a_imag * k_imag, a_real * k_imag + a_imag * k_real,
            b_real * m_real + b_imag * m_imag, b_imag * m_real - b_real * m_imag,
        )  # fmt: skip
        z += 2 * features * half


@triton.jit
def _correlate(
    grad, signal, kernel, by_kernel, BATCH: tl.constexpr, features, half, EXACT: tl.constexpr, BLOCK: tl.constexpr
):
    feature = tl.program_id(0).to(tl.int64)
    k, partner, inside, both, cos, sin = _pairs(half, EXACT, BLOCK)
    row = 2 * feature * (half + 1)
    k_real, k_imag = _complex(kernel + row, k, inside, EXACT)
    m_real, m_imag = _complex(kernel + row, half - k, inside, EXACT)
    k_sum_real, k_sum_imag = tl.zeros_like(k_real), tl.zeros_like(k_real)
    m_sum_real, m_sum_imag = tl.zeros_like(k_real), tl.zeros_like(k_real)
    z, s = grad + 2 * feature * half, signal + 2 * feature * half
    for _ in range(BATCH):
        a_real, a_imag, b_real, b_imag = _unpack(z, k, partner, inside, cos, sin, EXACT)
        c_real, c_imag, d_real, d_imag = _unpack(s, k, partner, inside, cos, sin, EXACT)
        k_sum_real += c_real * a_real + c_imag * a_imag
        k_sum_imag += c_real * a_imag - c_imag * a_real
        m_sum_real += d_real * b_real + d_imag * b_imag  # of the conjugates
        m_sum_imag += d_imag * b_real - d_real * b_imag
        _pack(
            z, k, partner, inside, both, cos, sin,
            a_real * k_real + a_imag * k_imag, a_imag * k_real - a_real * k_imag,
            b_real * m_real - b_imag * m_imag, b_real * m_imag + b_imag * m_real,
        )  # fmt: skip
        z += 2 * features * half
        s += 2 * features * half
    _store(by_kernel + row, k, k_sum_real, k_sum_imag, inside)
    _store(by_kernel + row, half - k, m_sum_real, m_sum_imag, 2 * k < half)
