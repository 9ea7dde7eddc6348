"""Which code computes the parts of a layer on a device: PyTorch's operations, or Triton kernels on CUDA."""

from __future__ import annotations

from types import ModuleType

import torch

_triton = {"usable": True}


def refuse_triton() -> None:
    """Use PyTorch's operations on CUDA, too, from here on."""
    _triton["usable"] = False


def pointwise_on(device: torch.device) -> ModuleType:
    """`lra.ops.fused` on CUDA, `lra.ops.pointwise` elsewhere."""
    if _fuses(device):
        from lra.ops import fused

        return fused
    from lra.ops import pointwise

    return pointwise


def spectra_on(device: torch.device, channels: int) -> ModuleType:
    """`lra.ops.packed` on CUDA, where there is one channel, as in all recipes; `lra.ops.spectra` elsewhere."""
    if _fuses(device) and channels == 1:
        from lra.ops import packed

        return packed
    from lra.ops import spectra

    return spectra


def _fuses(device: torch.device) -> bool:
    return device.type == "cuda" and _triton["usable"]
