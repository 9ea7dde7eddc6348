"""The backbone: a stack of residual blocks around state space layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lra.bounds import Count, DropoutRate
from lra.errors import UserError, choose
from lra.models.layer import KernelFactory, SSMLayer
from lra.ops.channel_norm import channel_norm


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the features of (B, H, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.weight, self.bias, self.eps)


NORMS = {"batch": nn.BatchNorm1d, "layer": ChannelNorm}


class ResidualBlock(nn.Module):
    """x + drop(layer(norm x)) if `prenorm`, else norm(x + drop(layer x))."""

    def __init__(self, layer: SSMLayer, norm: nn.Module, *, prenorm: bool) -> None:
        super().__init__()
        self.layer, self.norm, self.prenorm = layer, norm, prenorm

    def forward(self, x: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        z = self.norm(x) if self.prenorm else x
        x = self.layer(z, mask, rate, residual=x)
        return x if self.prenorm else self.norm(x)

    def step(self, x: Tensor, state: Tensor, system: Any) -> tuple[Tensor, Tensor]:
        """The block at one position, (B, H); in evaluation mode."""
        z = self._norm_one(x) if self.prenorm else x
        z, state = self.layer.step(z, state, system)
        x = x + z
        return (x if self.prenorm else self._norm_one(x)), state

    def _norm_one(self, x: Tensor) -> Tensor:
        return self.norm(x.unsqueeze(-1)).squeeze(-1)


class SSMBackbone(nn.Module):
    """`layers` residual blocks of H features; a last normalisation follows if the blocks are pre-norm."""

    def __init__(
        self,
        kernel: KernelFactory | None,
        *,
        layers: Count,
        features: Count,
        norm: str,
        prenorm: bool,
        dropout: DropoutRate,
        tie_dropout: bool,
        mixing: str,
        bidirectional: bool,
        mask_padding: bool,
        channels: Count = 1,
    ) -> None:
        """`mask_padding` clears padded positions of every layer's input, as the cosine recipe does."""
        super().__init__()
        if kernel is None:
            raise UserError(
                "A state space model needs a kernel, but kernel=none. Choose one, e.g. kernel=s4d."
            )
        make_norm = NORMS[choose("norm", norm, NORMS)]
        self.features, self.bidirectional, self.mask_padding = features, bidirectional, mask_padding
        self.blocks = nn.ModuleList(
            ResidualBlock(
                SSMLayer(
                    features,
                    kernel,
                    channels=channels,
                    bidirectional=bidirectional,
                    mixing=mixing,
                    dropout=dropout,
                    tie_dropout=tie_dropout,
                ),
                make_norm(features),
                prenorm=prenorm,
            )
            for _ in range(layers)
        )
        self.norm = make_norm(features) if prenorm else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor, rate: float = 1.0) -> Tensor:
        """x (B, H, L) -> (B, H, L); mask (B, 1, L) is 1 on valid positions."""
        for block in self.blocks:
            x = block(x, mask if self.mask_padding else None, rate)
        return self.norm(x)

    def start(
        self, batch: int, rate: float = 1.0, length: int | None = None
    ) -> tuple[list[Tensor], list[Any]]:
        """States and discrete systems of all layers, for `step`. Raises UserError if not causal."""
        if self.bidirectional:
            raise UserError(
                "A bidirectional model needs the whole sequence and has no recurrent mode. "
                "Use a causal recipe (model.bidirectional=false)."
            )
        kernels = [block.layer.kernel for block in self.blocks]
        return [k.initial_state(batch) for k in kernels], [k.discretize(rate, length) for k in kernels]

    def step(self, x: Tensor, states: list[Tensor], systems: list[Any]) -> tuple[Tensor, list[Tensor]]:
        """One position: x (B, H) and the states of all layers to the output (B, H) and the next states."""
        following = []
        for block, state, system in zip(self.blocks, states, systems, strict=True):
            x, state = block.step(x, state, system)
            following.append(state)
        return self.norm(x.unsqueeze(-1)).squeeze(-1), following
