"""The same models from the naive twins: what the published layers do, one operation of PyTorch after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from lra.kernels import s4d
from lra.mixers import convolution as mixer
from lra.models import block, encoder, mixing
from lra.ops import dplr
from lra.ops.channel_norm import channel_norm_naive
from lra.ops.mixing import mix_naive
from lra.ops.vandermonde import vandermonde_naive


@contextmanager
def straightforward() -> Iterator[None]:
    """Models used inside have whole Vandermonde matrices, Cauchy products, and autograd's own FFTs and norms."""
    replaced = [
        (s4d, "vandermonde", lambda c, a, length: vandermonde_naive(c, a.to(c.dtype), length)),
        (dplr, "dplr_kernel", _generating_function),
        (mixer, "joinable", lambda kernels: False),
        (mixer, "long_conv", convolution),
        (mixing, "mix", mix_naive),
        (block, "channel_norm", channel_norm_naive),
        (
            encoder.FeatureEncoder,
            "forward",
            lambda self, x: F.linear(x, self.weight, self.bias).mT.contiguous(),
        ),
    ]
    with ExitStack() as stack:
        for place in replaced:
            stack.enter_context(mock.patch.object(*place))
        yield


def convolution(
    u: Tensor,
    kernel: Tensor,
    *,
    bidirectional: bool = False,
    skip: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The published layers' convolution: pad, transform, multiply, add the skip; see `lra.ops.long_conv`."""
    length = u.shape[-1]
    if mask is not None:
        u = u * mask
    if bidirectional:
        kernel, future = kernel.chunk(2)
        kernel = F.pad(kernel, (0, length)) + F.pad(future.flip(-1), (length, 0))
    spectrum, signal = torch.fft.rfft(kernel, n=2 * length), torch.fft.rfft(u, n=2 * length)
    y = torch.fft.irfft(torch.einsum("bhf,chf->bchf", signal, spectrum), n=2 * length)[..., :length]
    return y if skip is None else y + torch.einsum("bhl,ch->bchl", u, skip)


def _generating_function(
    A: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, dt: Tensor, length: int, truncation: int
) -> Tensor:
    if truncation != length:
        raise ValueError("the generating function is exact for its own length only")
    A, P, Q, B = (x.to(C.dtype) for x in (A, P, Q, B))
    return dplr.dplr_kernel_generating(A, P, Q, B, C, dt.to(C.real.dtype), length)
