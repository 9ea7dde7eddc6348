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
        (dplr, "dplr_kernel", _dplr_kernel),
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


def _dplr_kernel(
    A: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, dt: Tensor, length: int, truncation: int
) -> Tensor:
    if truncation != length:
        raise ValueError("the generating function is exact for its own length only")
    A, P, Q, B = (x.to(C.dtype) for x in (A, P, Q, B))
    return generating_function(A, P, Q, B, C, dt.to(C.real.dtype), length)


def generating_function(
    eigenvalues: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, dt: Tensor, length: int
) -> Tensor:
    """The published kernel of S4: the truncated generating function at the roots of unity, by Cauchy products.

    C stands for C (I − Ā^L) with the L asked for (S4, arXiv 2111.00396, algorithm 1). Precision of C.
    """
    count = length // 2 + 1
    omega = torch.exp(-2j * torch.pi * torch.arange(count, device=dt.device, dtype=torch.float64) / length)
    regular = slice(None, -1) if length % 2 == 0 else slice(None)  # ω = −1 is a pole of z
    omega = omega[regular].to(C.dtype)
    z = 2 * (1 - omega) / (1 + omega)
    left = torch.cat([C, Q.conj()]).unsqueeze(1)  # (C + R, 1, H, M)
    right = dt * torch.cat([B.unsqueeze(0), P])  # (1 + R, H, M)
    products = _cauchy(left * right, z, dt * eigenvalues)  # (C + R, 1 + R, H, F)
    channels, identity = len(C), torch.eye(len(P), dtype=C.dtype, device=C.device)
    corner = identity + products[channels:, 1:].permute(2, 3, 0, 1)  # (H, F, R, R)
    inner = torch.linalg.solve(corner, products[channels:, 0].permute(1, 2, 0))  # (H, F, R)
    spectrum = products[:channels, 0] - torch.einsum("crhf,hfr->chf", products[:channels, 1:], inner)
    spectrum = 2 / (1 + omega) * spectrum
    if length % 2 == 0:  # its value at ω = −1 is Δ Re Σ C B: the low-rank part drops out
        nyquist = (dt * (C * B).sum(-1, keepdim=True).real).to(C.dtype)
        spectrum = torch.cat([spectrum, nyquist], dim=-1)
    return torch.fft.irfft(spectrum, n=length)


def _cauchy(weight: Tensor, z: Tensor, poles: Tensor) -> Tensor:
    """Σ_m weight[..., m] / (z − poles[m]) and the same of the conjugates, at every z; all terms in memory."""
    weight, poles = weight.unsqueeze(-1), poles.unsqueeze(-1)
    return (weight / (z - poles) + weight.conj() / (z - poles.conj())).sum(-2)
