"""How kernels hold their parameters: real tensors with a learning rate by role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lra.bounds import LearningRate
from lra.errors import choose
from lra.kernels.base import Rule

Rates = Mapping[str, LearningRate | None]


def learning_rates(lr: Rates | None, roles: Iterable[str]) -> dict[str, float | None]:
    """The learning rate of each role: None, also for those left out, is the optimizer's own; 0 freezes."""
    lr = dict(lr or {})
    for role in lr:
        choose("A name in lr", role, roles)
    return {role: lr.get(role) for role in roles}


def parameter(value: Tensor, lr: float | None = None) -> nn.Parameter:
    """A parameter in the default dtype; frozen if its learning rate is 0."""
    return nn.Parameter(value.to(torch.get_default_dtype()), requires_grad=lr != 0)


def undecayed(roles: Mapping[str, str], lr: Rates) -> dict[str, Rule]:
    """Rules for parameters by name, given their roles: the role's learning rate and no weight decay."""
    return {name: Rule(lr[role], 0.0) for name, role in roles.items()}
