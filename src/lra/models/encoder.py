"""Encoders: tokens or features to (B, H, L). No positional encoding, as in S4, S4D and DSS."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra.data.spec import TaskSpec


class TokenEncoder(nn.Embedding):
    """(B, L) int64 -> (B, H, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(1, 2).contiguous()


class FeatureEncoder(nn.Linear):
    """(B, L, d) -> (B, H, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.weight, x.mT) + self.bias.unsqueeze(1)


def make_encoder(spec: TaskSpec, features: int) -> nn.Module:
    """The encoder of a task: an embedding for tokens, a linear map for features."""
    return (TokenEncoder if spec.kind == "tokens" else FeatureEncoder)(spec.inputs, features)
