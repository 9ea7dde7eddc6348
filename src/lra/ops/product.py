"""Matrix products, by the faster of the two libraries that PyTorch brings for CPUs.

PyTorch multiplies float32 matrices with MKL, which leaves half the width of an AMD processor's AVX-512 units unused;
oneDNN uses it (docs/performance.md).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from lra import cpu


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b, of (…, M, K) and (…, K, L) tensors of one dtype. For use inside autograd functions: no gradient."""
    a, b = a.detach(), b.detach()  # or PyTorch folds the batch of a parameter's product, with transposed copies
    single = a.device.type == "cpu" and a.dtype == torch.float32 and a.dim() == b.dim() == 2
    if single and _prefers_onednn():  # as a linear layer's x Wᵀ, in the way of torch.compile
        return torch.ops.mkldnn._linear_pointwise(a, b.mT, None, "none", [], "")
    return torch.matmul(a, b)


@cache
def _prefers_onednn() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and cpu.model_name().startswith("AMD")
    )
