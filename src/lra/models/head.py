"""Heads: pool over the valid positions, then map to the outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra.data.spec import TaskSpec
from lra.models.conventions import Conventions
from lra.vocabulary import Pooling


def pool(x: Tensor, mask: Tensor, lengths: Tensor, how: Pooling) -> Tensor:
    """(B, H, L) -> (B, H): the mean over valid positions, or the last valid position."""
    if how == "mean":
        return (x * mask).sum(-1) / lengths.unsqueeze(1)
    index = (lengths - 1).view(-1, 1, 1).expand(-1, x.shape[1], 1)
    return x.gather(-1, index).squeeze(-1)


class PairHead(nn.Sequential):
    """Pooled pairs (2B, H) to outputs (B, K): [x1, x2, x1 − x2, x1 ∘ x2] -> H -> GELU -> K.

    The head of Nyströmformer's port of the arena, which all state space papers use (LRA's own differs).
    """

    def __init__(self, features: int, outputs: int, approximate: str) -> None:
        gelu = nn.GELU(approximate)
        super().__init__(nn.Linear(4 * features, features), gelu, nn.Linear(features, outputs))

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2)
        return super().forward(torch.cat([a, b, a - b, a * b], dim=1))


def make_head(spec: TaskSpec, features: int, conventions: Conventions) -> nn.Module:
    """The head of a task: pooled features (B, H), or pairs of them, to outputs (B, K)."""
    if spec.paired:
        return PairHead(features, spec.outputs, "tanh" if conventions == "s5" else "none")
    return nn.Linear(features, spec.outputs)
