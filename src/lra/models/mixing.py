"""What follows a mixer in a block: activation, dropout, channel mixing, dropout, residual. Signals are (B, H, L)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra.errors import UserError
from lra.ops.mixing import mix


class Dropout(nn.Module):
    """Dropout of (B, H, L), given as the factor to multiply with; `tied`: one for all positions of a channel."""

    def __init__(self, rate: float, *, tied: bool) -> None:
        super().__init__()
        self.rate, self.tied = rate, tied

    def factor(self, x: Tensor, features: int) -> Tensor | None:
        """Factors (B, features, 1 or L) for a signal with the batch and length of x; None for no dropout."""
        if not self.training or self.rate == 0:
            return None
        return F.dropout(x.new_ones(len(x), features, 1 if self.tied else x.shape[-1]), self.rate)


class LinearMixing(nn.Module):
    """residual + dropout(W dropout(gelu(y)) + b), with a gate if `gated`: H -> 2H, first half times the sigmoid of
    the second."""

    def __init__(self, inputs: int, features: int, dropout: Dropout, *, gated: bool) -> None:
        super().__init__()
        self.features, self.gated = features, gated
        self.linear = nn.Linear(inputs, 2 * features if gated else features)
        self.dropout = dropout

    def forward(self, y: Tensor, residual: Tensor | None = None) -> Tensor:
        """y (B, O, L) -> (B, H, L). With a `residual` (B, H, L) the second dropout and the sum are part of it."""
        inner = self.dropout.factor(y, y.shape[1])
        outer = None if residual is None else self.dropout.factor(y, self.features)
        weight, bias = self.linear.weight, self.linear.bias
        return mix(y, weight, bias, gated=self.gated, residual=residual, inner=inner, outer=outer)


class S5Mixing(nn.Module):
    """residual + dropout(gate) as in the code of S5, with h = dropout(gelu(y)) and GELU's approximation by tanh.

    The gate is (V h + c) ∘ σ(W h + b) for `full_glu`, h ∘ σ(W h + b) for `half_glu1`, y ∘ σ(W h + b) for
    `half_glu2`.
    """

    def __init__(self, inputs: int, features: int, dropout: Dropout, *, kind: str) -> None:
        super().__init__()
        if kind != "full_glu" and inputs != features:
            raise UserError(
                f"model.mixing={kind} gates the mixer's {inputs} outputs themselves, but the model has {features} "
                "features. Use model.mixing=full_glu."
            )
        self.kind, self.features, self.dropout = kind, features, dropout
        self.linear = nn.Linear(inputs, 2 * features if kind == "full_glu" else features)

    def forward(self, y: Tensor, residual: Tensor | None = None) -> Tensor:
        """As that of `LinearMixing`."""
        h = _dropped(F.gelu(y, approximate="tanh"), self.dropout.factor(y, y.shape[1]))
        mixed = torch.matmul(self.linear.weight, h) + self.linear.bias.unsqueeze(-1)
        if self.kind == "full_glu":
            out = F.glu(mixed, dim=1)
        else:
            out = (h if self.kind == "half_glu1" else y) * mixed.sigmoid()
        if residual is None:
            return out
        return residual + _dropped(out, self.dropout.factor(out, self.features))


class NoMixing(nn.Module):
    """residual + dropout(y), for mixers that mix channels themselves, such as attention."""

    def __init__(self, inputs: int, features: int, dropout: Dropout) -> None:
        super().__init__()
        if inputs != features:
            raise UserError(
                f"model.mixing=none leaves the mixer's {inputs} outputs as they are, but the model has {features} "
                "features. Use model.mixing=linear."
            )
        self.dropout = dropout

    def forward(self, y: Tensor, residual: Tensor | None = None) -> Tensor:
        """As that of `LinearMixing`."""
        if residual is None:
            return y
        return residual + _dropped(y, self.dropout.factor(y, y.shape[1]))


def _dropped(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor


Mixing = Literal["glu", "linear", "none", "full_glu", "half_glu1", "half_glu2"]
MIXINGS: dict[str, Callable[..., nn.Module]] = {
    "glu": partial(LinearMixing, gated=True),
    "linear": partial(LinearMixing, gated=False),
    "none": NoMixing,
    **{kind: partial(S5Mixing, kind=kind) for kind in ("full_glu", "half_glu1", "half_glu2")},
}


def make_mixing(kind: Mixing, inputs: int, features: int, dropout: Dropout) -> nn.Module:
    """The channel mixing of a name, from a mixer's outputs to the model's features."""
    return MIXINGS[kind](inputs, features, dropout)
