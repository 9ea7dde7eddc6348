"""Which code computes the parts of a layer on a device: PyTorch's operations, or Triton kernels on CUDA."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch

from lra.errors import in_a_line

_wrong: list[str] = []  # what is wrong with the Triton kernels, once one of them has been found wrong


def pointwise_on(device: torch.device) -> ModuleType:
    """`lra.ops.fused` on CUDA, `lra.ops.pointwise` elsewhere."""
    if device.type == "cuda" and refusal(device) is None:
        from lra.ops import fused

        return fused
    from lra.ops import pointwise

    return pointwise


def spectra_on(device: torch.device, channels: int) -> ModuleType:
    """`lra.ops.packed` on CUDA, where there is one channel, as in all recipes; `lra.ops.spectra` elsewhere."""
    if device.type == "cuda" and channels == 1 and refusal(device) is None:
        from lra.ops import packed

        return packed
    from lra.ops import spectra

    return spectra


def refusal(device: torch.device) -> str | None:
    """Why this process uses no Triton kernels on CUDA, or None."""
    return _wrong[0] if _wrong else _unusable(device)


def refuse(reason: str) -> None:
    """Use PyTorch's operations on CUDA, too, from here on."""
    _wrong.append(reason)


@cache
def _unusable(device: torch.device) -> str | None:
    """Why Triton kernels cannot be used, such as that there is no C compiler to build them with."""
    try:
        from lra.ops import fused

        fused.activate(torch.zeros(1, 1, 1, device=device), None)
    except Exception as error:  # whatever Triton, a compiler or a driver raises
        return in_a_line(error)
    return None
