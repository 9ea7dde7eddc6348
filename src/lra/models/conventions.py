"""What differs around the blocks between the code of S4 (and of S4D and DSS) and that of S5 (and of LRU).

| | s4 | s5 |
|---|---|---|
| tokens | an embedding, normal of variance 1 | a linear map of one-hot vectors, with bias |
| linear maps start | uniform, PyTorch's own | truncated normal of variance 1/inputs, biases zero |
| after the last pre-norm block | a normalization | nothing |
| padding | to the longest of a batch | to the task's length, which BatchNorm sees |
| GELU of the head for pairs | exact | its approximation by tanh |
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lra.kernels.inits import lecun_normal

Conventions = Literal["s4", "s5"]


class OneHotEncoder(nn.Embedding):
    """(B, L) int64 -> (B, H, L): W one_hot(x) + b, with the columns of W as rows of the table."""

    def __init__(self, tokens: int, features: int) -> None:
        super().__init__(tokens, features)
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + self.bias).transpose(1, 2).contiguous()


@torch.no_grad()
def lecun_(model: nn.Module) -> None:
    """Draw all linear maps of a model anew, as flax does."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, OneHotEncoder)):
            inputs = module.num_embeddings if isinstance(module, OneHotEncoder) else module.in_features
            module.weight.copy_(lecun_normal(*module.weight.shape, fan_in=inputs))
            if module.bias is not None:
                module.bias.zero_()
