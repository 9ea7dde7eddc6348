"""The widening half of a Transformer's MLP: a linear map at every position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra.mixers.base import SequenceMixer


class Pointwise(SequenceMixer):
    """W u + b at every position, (B, H, L) -> (B, O, L): a mixer that mixes no positions.

    With activation and a linear channel mixing after it, its block is the MLP of a Transformer.
    """

    ignores_padding = True

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.features, self.outputs = features, outputs
        self.linear = nn.Linear(features, outputs)

    def forward(self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        return torch.matmul(self.linear.weight, u) + self.linear.bias.unsqueeze(-1)

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> None:
        """Nothing is carried from position to position."""

    def step(self, u: Tensor, state: None) -> tuple[Tensor, None]:
        return self.linear(u), None
