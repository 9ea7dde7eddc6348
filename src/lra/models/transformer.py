"""The Transformer baseline of Long Range Arena (Tay et al., arXiv 2011.04006): pre-norm encoder blocks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra.bounds import Count, DropoutRate
from lra.errors import UserError


class TransformerBlock(nn.Module):
    """x + attention(norm x), then x + mlp(norm x); x is (B, L, H)."""

    def __init__(self, features: int, heads: int, mlp: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.qkv = nn.Linear(features, 3 * features, bias=False)
        self.out = nn.Linear(features, features, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(features, mlp),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp, features),
            nn.Dropout(dropout),
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, attend: Tensor) -> Tensor:
        """`attend` (B, 1, 1, L) is true on the positions that may be looked at."""
        batch, length, features = x.shape
        split = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, features // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        rate = self.attention_dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=attend, dropout_p=rate)
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(batch, length, features)))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """`layers` blocks over fixed sinusoidal positions; padding is neither attended to nor pooled."""

    def __init__(
        self,
        kernel: None,
        *,
        layers: Count,
        features: Count,
        heads: Count,
        mlp: Count,
        dropout: DropoutRate,
        attention_dropout: DropoutRate,
    ) -> None:
        """Raises UserError if a kernel is given or if the heads do not divide the features."""
        super().__init__()
        if kernel is not None:
            raise UserError("The Transformer has no state space kernel. Use kernel=none.")
        if features % heads:
            raise UserError(f"model.heads={heads} does not divide model.features={features}.")
        self.features = features
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(features, heads, mlp, dropout, attention_dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(features)

    def forward(self, x: Tensor, mask: Tensor, rate: float = 1.0) -> Tensor:
        """x (B, H, L) -> (B, H, L); mask (B, 1, L) is 1 on valid positions. Has no notion of a sampling rate."""
        if rate != 1.0:
            raise UserError(
                "A Transformer cannot read a signal at another sampling rate; only rate=1 is possible."
            )
        x = x.transpose(1, 2)
        x = self.drop(x + sinusoids(x.shape[1], self.features, x.device).to(x.dtype))
        attend = mask.bool().unsqueeze(1)
        for block in self.blocks:
            x = block(x, attend)
        return self.norm(x).transpose(1, 2)


def sinusoids(length: int, features: int, device: torch.device) -> Tensor:
    """Positions (L, H): sines in the first half of the features, cosines in the second (Vaswani et al. 2017)."""
    half = (features + 1) // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / max(1, half - 1)))
    angles = torch.arange(length, device=device).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :features]
