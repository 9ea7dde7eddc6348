"""Attention over all positions (Vaswani et al., arXiv 1706.03762), with rotary positions if asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra.bounds import DropoutRate, Width
from lra.errors import UserError
from lra.mixers.base import SequenceMixer
from lra.options import checked


class Attention(SequenceMixer):
    """Multi-head softmax attention, output projection included; O = H.

    Causal unless `bidirectional`. `rotary` turns queries and keys by their positions (RoFormer, arXiv 2104.09864);
    without it the mixer knows no positions. Raises UserError if the heads do not divide the features, or leave an
    odd number of features to rotate.
    """

    ignores_padding = True

    @checked
    def __init__(
        self,
        features: int,
        bidirectional: bool = False,
        *,
        heads: Width = 8,
        dropout: DropoutRate = 0.0,
        rotary: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if features % heads:
            raise UserError(f"heads={heads} does not divide model.features={features}.")
        if rotary and features // heads % 2:
            raise UserError(
                f"Rotary positions turn pairs, but heads={heads} leaves {features // heads} of {features} features "
                "to a head. Use a number of heads that leaves an even number."
            )
        self.features = self.outputs = features
        self.bidirectional, self.heads, self.dropout, self.rotary = bidirectional, heads, dropout, rotary
        self.qkv = nn.Linear(features, 3 * features, bias=bias)
        self.out = nn.Linear(features, features, bias=bias)

    def forward(self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        if rate != 1.0:
            raise UserError("Attention cannot read a signal at another sampling rate; only rate=1 is possible.")
        batch, features, length = u.shape
        split = self.qkv(u.mT).view(batch, length, 3, self.heads, features // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # (B, heads, L, H / heads) each
        if self.rotary:
            turn = rotation(length, q.shape[-1], u.device)
            q, k = rotate(q, turn), rotate(k, turn)
        dropout = self.dropout if self.training else 0.0
        # Padding lies behind the valid positions: causal attention never looks at it from one of them.
        causal = not self.bidirectional
        attend = None if mask is None or causal else mask.bool().unsqueeze(1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=attend, dropout_p=dropout, is_causal=causal)
        return self.out(y.transpose(1, 2).reshape(batch, length, features)).mT.contiguous()


def rotation(length: int, features: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (L, features / 2) of l · 10000^(−2 i / features), float32."""
    rates = 10_000.0 ** (-torch.arange(0, features, 2, device=device) / features)
    angles = torch.arange(length, device=device).unsqueeze(1) * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """x (…, L, features), of which feature i and feature i + features / 2 are a pair, turned by the angles."""
    cos, sin = (part.to(x.dtype) for part in turn)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
