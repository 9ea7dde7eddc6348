"""The residual block: normalization, mixer, channel mixing. Signals are (B, H, L)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from lra.mixers.base import SequenceMixer, mixed
from lra.ops.channel_norm import channel_norm


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the features of (B, H, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.weight, self.bias, self.eps)


Norm = Literal["batch", "layer"]
NORMS: dict[Norm, Callable[..., nn.Module]] = {"batch": nn.BatchNorm1d, "layer": ChannelNorm}


class ResidualBlock(nn.Module):
    """x + mixing(mixer(norm x)) if `prenorm`, else norm(x + mixing(mixer x))."""

    def __init__(self, mixer: SequenceMixer, mixing: nn.Module, norm: nn.Module, *, prenorm: bool) -> None:
        super().__init__()
        self.mixer, self.mixing, self.norm, self.prenorm = mixer, mixing, norm, prenorm

    def forward(self, x: Tensor, mask: Tensor | None = None, rate: float = 1.0, **prepared: Any) -> Tensor:
        """`prepared` is what the mixer's `prepare` gave for it. Raises UserError for what no mixer gives."""
        z = self.norm(x) if self.prenorm else x
        x = self.mixing(mixed(self.mixer, z, mask, rate, **prepared), residual=x)
        return x if self.prenorm else self.norm(x)

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> Any:
        """The mixer's zero state. Raises UserError if it has no recurrent mode."""
        return self.mixer.start(batch, rate, length)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The block at one position, (B, H); in evaluation mode."""
        y, state = self.mixer.step(self._norm_one(x) if self.prenorm else x, state)
        x = self.mixing(y.unsqueeze(-1), residual=x.unsqueeze(-1)).squeeze(-1)
        return (x if self.prenorm else self._norm_one(x)), state

    def _norm_one(self, x: Tensor) -> Tensor:
        return self.norm(x.unsqueeze(-1)).squeeze(-1)
