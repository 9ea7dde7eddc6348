"""The Transformer baseline of Long Range Arena (Tay et al., arXiv 2011.04006): a backbone of attention mixers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from lra.bounds import DropoutRate, Layers, Width
from lra.errors import UserError
from lra.mixers.attention import Attention, rotation
from lra.models.backbone import Backbone
from lra.options import checked


class Transformer(Backbone):
    """Pre-norm blocks over fixed sinusoidal positions; padding is neither attended to nor pooled."""

    @checked
    def __init__(
        self,
        *,
        layers: Layers,
        features: Width,
        heads: Width,
        mlp: Width,
        dropout: DropoutRate,
        attention_dropout: DropoutRate,
    ) -> None:
        """Raises UserError if the heads do not divide the features."""
        super().__init__(
            partial(Attention, heads=heads, dropout=attention_dropout, rotary=False, bias=False),
            layers=layers,
            features=features,
            norm="layer",
            prenorm=True,
            dropout=dropout,
            tie_dropout=False,
            mixing="none",
            mlp=mlp,
            bidirectional=True,
            mask_padding=True,
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, rate: float = 1.0) -> Tensor:
        """x (B, H, L) -> (B, H, L); mask (B, 1, L) is 1 on valid positions. Has no notion of a sampling rate."""
        positions = sinusoids(x.shape[-1], self.features, x.device).to(x.dtype)
        return super().forward(self.drop(x + positions.mT), mask, rate)

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> list:
        raise UserError("A Transformer has no recurrent mode: it needs the whole sequence.")


def sinusoids(length: int, features: int, device: torch.device) -> Tensor:
    """Positions (L, H): feature 2 k is sin(l · 10000^(−2 k / H)), feature 2 k + 1 its cosine (Vaswani et al. 2017)."""
    cos, sin = rotation(length, features, device)
    return torch.stack([sin, cos], dim=-1).flatten(1)[:, :features]
