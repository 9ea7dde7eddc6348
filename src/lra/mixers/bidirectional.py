"""Mixers for a model that reads one direction or both."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from lra.errors import UserError
from lra.mixers.base import MixerFactory, SequenceMixer, mixed, outputs_of


def make_mixer(factory: MixerFactory, features: int, channels: int = 1, bidirectional: bool = False) -> SequenceMixer:
    """A mixer for a model of these sizes; two of them where it is to read both directions and cannot alone.

    Raises UserError if the model has several channels and the mixer has none.
    """
    takes = inspect.signature(factory).parameters
    given: dict[str, Any] = {"features": features}
    if "channels" in takes:
        given["channels"] = channels
    elif channels != 1:
        raise UserError(f"model.channels is {channels}, but this mixer has no channels. Use model.channels=1.")
    if "bidirectional" in takes:
        return factory(**given, bidirectional=bidirectional)
    return Bidirectional(factory, **given) if bidirectional else factory(**given)


class Bidirectional(SequenceMixer):
    """The sum of a mixer and of another that reads the valid positions backwards; both see the present one."""

    def __init__(self, factory: MixerFactory, features: int, **given: Any) -> None:
        super().__init__()
        self.past, self.future = (factory(features=features, **given) for _ in range(2))
        self.features, self.outputs = features, outputs_of(self.past)

    def forward(self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        order = _backwards(u, mask)
        future = mixed(self.future, _reorder(u, order), mask, rate)
        return mixed(self.past, u, mask, rate) + _reorder(future, order)


def _backwards(u: Tensor, mask: Tensor | None) -> Tensor:
    """Positions (B, 1, L) in reverse order within the valid part; padding stays where it is. Its own inverse."""
    position = torch.arange(u.shape[-1], device=u.device).view(1, 1, -1)
    if mask is None:
        return position.flip(-1).expand(len(u), 1, -1)
    last = mask.sum(-1, keepdim=True).long() - 1
    return torch.where(position <= last, last - position, position)


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(-1, order.expand(-1, x.shape[1], -1))
