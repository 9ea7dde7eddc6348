"""How kernels hold their parameters: real tensors with a learning rate by role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lra.bounds import LearningRate
from lra.kernels.base import Rule

Rate = LearningRate | None  # None: the optimizer's own; 0 freezes


def learning_rates(lr: Mapping[Any, Rate] | None, roles: Iterable[str]) -> dict[str, Rate]:
    """The learning rate of each role, the optimizer's own for those left out."""
    return {role: (lr or {}).get(role) for role in roles}


def parameter(value: Tensor, lr: float | None = None) -> nn.Parameter:
    """A parameter in the default dtype; frozen if its learning rate is 0."""
    return nn.Parameter(value.to(torch.get_default_dtype()), requires_grad=lr != 0)


def of_each_feature(sets: Tensor, features: int, axis: int = 0) -> Tensor:
    """The values of `features` features from those of sets that they use in turn: feature h has set h mod S."""
    repeats = [1] * sets.dim()
    repeats[axis] = features // sets.shape[axis]
    return sets if repeats[axis] == 1 else sets.repeat(repeats)


def undecayed(roles: Mapping[str, str], lr: Mapping[str, Rate]) -> dict[str, Rule]:
    """Rules for parameters by name, given their roles: the role's learning rate and no weight decay."""
    return {name: Rule(lr[role], 0.0) for name, role in roles.items()}
