"""Full precision inside mixed-precision training: kernels and FFTs are float32 at least."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def at_least_float32(*tensors: Tensor) -> torch.dtype:
    """The widest real dtype among `tensors`, and never narrower than float32 (there is no bfloat16 FFT)."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def as_complex(pair: Tensor) -> Tensor:
    """View a real tensor (..., 2) of (real, imaginary) pairs as a complex tensor (...)."""
    return torch.view_as_complex(pair.to(at_least_float32(pair)))


def as_pair(value: Tensor) -> Tensor:
    """The reverse of `as_complex`: complex (...) to a contiguous real tensor (..., 2)."""
    return torch.view_as_real(value.resolve_conj()).contiguous()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch autocast and TF32 matrix products off: powers of a transition matrix magnify their rounding."""
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    with torch.autocast(device.type, enabled=False):
        products.fp32_precision = "ieee"
        try:
            yield
        finally:
            products.fp32_precision = before
