"""Encoders: tokens or features to (B, H, L). No positional encoding, as in S4, S4D, DSS and S5."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra.data.spec import TaskSpec
from lra.models.conventions import Conventions, OneHotEncoder


class TokenEncoder(nn.Embedding):
    """(B, L) int64 -> (B, H, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(1, 2).contiguous()


class FeatureEncoder(nn.Linear):
    """(B, L, d) -> (B, H, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(self.weight, x.mT) + self.bias.unsqueeze(1)


def make_encoder(spec: TaskSpec, features: int, conventions: Conventions) -> nn.Module:
    """The encoder of a task: an embedding for tokens, a linear map for features or one-hot tokens."""
    if spec.kind == "features":
        return FeatureEncoder(spec.inputs, features)
    return (OneHotEncoder if conventions == "s5" else TokenEncoder)(spec.inputs, features)
