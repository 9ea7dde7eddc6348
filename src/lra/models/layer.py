"""The state space layer: long convolution, skip, activation, dropout, channel mixing. Signals are (B, H, L)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra.errors import choose
from lra.kernels.base import Kernel
from lra.ops.long_conv import long_conv

KernelFactory = Callable[..., Kernel]  # (features=H, channels=C) -> Kernel


class Pointwise(nn.Linear):
    """A linear map of the features, at every position: (B, in, L) -> (B, out, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.weight, x) + self.bias.unsqueeze(-1)


class SSMLayer(nn.Module):
    """y = mix(dropout(gelu(K * u + D u))), the layer of S4 (arXiv 2111.00396, section 3.4).

    `mixing` is "linear" (H -> H) or "glu" (H -> 2H, first half times the sigmoid of the second). A
    bidirectional layer has a second kernel for the future, which leaves out the present step.
    """

    def __init__(
        self,
        features: int,
        kernel: KernelFactory,
        *,
        channels: int = 1,
        bidirectional: bool = False,
        mixing: str = "glu",
        dropout: float = 0.0,
        tie_dropout: bool = True,
    ) -> None:
        super().__init__()
        choose("mixing", mixing, ("glu", "linear"))
        self.channels, self.bidirectional = channels, bidirectional
        self.kernel = kernel(features=features, channels=2 * channels if bidirectional else channels)
        self.D = nn.Parameter(torch.randn(channels, features))
        self.dropout = nn.Dropout1d(dropout) if tie_dropout else nn.Dropout(dropout)
        self.mix = Pointwise(channels * features, 2 * features if mixing == "glu" else features)
        self.activation = nn.GLU(dim=1) if mixing == "glu" else nn.Identity()

    def forward(self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """u (B, H, L) -> (B, H, L). `mask` (B, 1, L) of 0 and 1 clears padded positions of the input."""
        if mask is not None:
            u = u * mask
        kernel = self.kernel(u.shape[-1], rate)
        future = kernel[self.channels :] if self.bidirectional else None
        y = long_conv(u, kernel[: self.channels], future)  # (B, C, H, L)
        y = torch.addcmul(y, u.unsqueeze(1), self.D.unsqueeze(-1))
        return self._output(y.flatten(1, 2))

    def _output(self, y: Tensor) -> Tensor:
        return self.activation(self.mix(self.dropout(F.gelu(y))))

    def step(self, u: Tensor, state: Tensor, system: Any) -> tuple[Tensor, Tensor]:
        """One position of a causal layer: u (B, H) and the kernel's state to y (B, H) and the next state."""
        y, state = self.kernel.step(u, state, system)
        y = y + u.unsqueeze(1) * self.D
        return self._output(y.flatten(1, 2).unsqueeze(-1)).squeeze(-1), state
