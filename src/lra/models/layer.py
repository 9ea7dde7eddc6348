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
from lra.ops.mixing import mix

KernelFactory = Callable[..., Kernel]  # (features=H, channels=C) -> Kernel


class Dropout(nn.Module):
    """Dropout of (B, H, L), given as the factor to multiply with; `tied`: one for all positions of a channel."""

    def __init__(self, rate: float, *, tied: bool) -> None:
        super().__init__()
        self.rate, self.tied = rate, tied

    def factor(self, x: Tensor, features: int) -> Tensor | None:
        """Factors (B, features, 1 or L) for a signal with the batch and length of x; None for no dropout."""
        if not self.training or self.rate == 0:
            return None
        return F.dropout(x.new_ones(len(x), features, 1 if self.tied else x.shape[-1]), self.rate)


class SSMLayer(nn.Module):
    """y = mix(dropout(gelu(K * u + D u))), the layer of S4 (arXiv 2111.00396, section 3.4).

    `mixing` is "linear" (H -> H) or "glu" (H -> 2H, first half times the sigmoid of the second). A
    bidirectional layer has a second kernel for the future, which leaves out the present step. In a residual
    block, dropout of the same rate follows.
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
        self.gated = choose("mixing", mixing, ("glu", "linear")) == "glu"
        self.features, self.bidirectional = features, bidirectional
        self.kernel = kernel(features=features, channels=2 * channels if bidirectional else channels)
        self.D = nn.Parameter(torch.randn(channels, features))
        self.mix = nn.Linear(channels * features, 2 * features if self.gated else features)
        self.dropout = Dropout(dropout, tied=tie_dropout)

    def forward(
        self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0, residual: Tensor | None = None
    ) -> Tensor:
        """u (B, H, L) -> (B, H, L). `mask` (B, 1, L) of 0 and 1 clears padded positions of the input.

        With a `residual` (B, H, L): residual + dropout(y).
        """
        kernel = self.kernel(u.shape[-1], rate)
        y = long_conv(u, kernel, bidirectional=self.bidirectional, skip=self.D, mask=mask)  # (B, C, H, L)
        return self.mixing(y.flatten(1, 2), residual)

    def mixing(self, y: Tensor, residual: Tensor | None = None) -> Tensor:
        """Activation, dropout and channel mixing: y (B, C H, L) -> (B, H, L)."""
        inner = self.dropout.factor(y, y.shape[1])
        outer = None if residual is None else self.dropout.factor(y, self.features)
        options = {"gated": self.gated, "residual": residual, "inner": inner, "outer": outer}
        return mix(y, self.mix.weight, self.mix.bias, **options)

    def step(self, u: Tensor, state: Tensor, system: Any) -> tuple[Tensor, Tensor]:
        """One position of a causal layer: u (B, H) and the kernel's state to y (B, H) and the next state."""
        y, state = self.kernel.step(u, state, system)
        y = y + u.unsqueeze(1) * self.D
        return self.mixing(y.flatten(1, 2).unsqueeze(-1)).squeeze(-1), state
