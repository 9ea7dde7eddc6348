"""Which code computes the parts of a layer on a device: PyTorch's operations, or Triton kernels on CUDA."""

from __future__ import annotations

from types import ModuleType

import torch

_known: dict[
    str, str | None
] = {}  # under "refusal" why Triton kernels are not used, or None; empty until they are tried


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
    """Why this process uses no Triton kernels on CUDA, such as that there is no C compiler to build them with."""
    if not _known:
        try:
            from lra.ops import fused

            fused.activate(torch.zeros(1, 1, 1, device=device), None)
            _known["refusal"] = None
        except Exception as error:  # whatever Triton, a compiler or a driver raises
            refuse(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    return _known["refusal"]


def refuse(reason: str) -> None:
    """Use PyTorch's operations on CUDA, too, from here on."""
    _known["refusal"] = reason
