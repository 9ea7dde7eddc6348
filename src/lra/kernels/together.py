"""The kernels of all layers of a model in one call: a GPU waits for launches more than for these few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from lra.kernels.base import Kernel
from lra.kernels.parameters import of_each_feature


def joinable(kernels: Sequence[Kernel]) -> bool:
    """Whether `together` is possible, and pays: on a CPU it does not, where one kernel stays in the cache.

    A class that inherits from one with `feature_axes` states them anew, for it may add to what depends on the features.
    """
    first = kernels[0]
    if "feature_axes" not in vars(type(first)) or next(first.parameters()).device.type == "cpu":
        return False
    return all(_kind(kernel) == _kind(first) for kernel in kernels[1:])


def together(kernels: Sequence[Kernel], length: int, rate: float = 1.0) -> Tensor:
    """The kernels of G modules that differ in the values of their parameters only, side by side: (C, G · H, L).

    The map of a feature depends on its own parameters, so they are those of a module with the features of all.
    """
    first = kernels[0]
    joined = {
        name: _joined([getattr(kernel, name) for kernel in kernels], axis, first.features)
        for name, axis in first.feature_axes.items()
    }
    return functional_call(first, joined, (length, rate))


def _joined(values: list[Tensor], axis: int | None, features: int) -> Tensor:
    """A parameter of several kernels, the features of one behind those of the other along its axis."""
    if axis is None:  # one value for all features
        values, axis = [value.unsqueeze(0) for value in values], 0
    return of_each_feature(torch.stack(values, axis), features, axis + 1).flatten(axis, axis + 1)


def _kind(kernel: Kernel) -> tuple[Any, ...]:
    """All that a kernel is, but for the values of its parameters; a tensor that is none of them is like no other."""
    own = {name: value for name, value in vars(kernel).items() if not name.startswith("_")}
    settings = {name: id(value) if isinstance(value, Tensor) else value for name, value in own.items()}
    return type(kernel), settings, [(name, p.shape, p.dtype) for name, p in kernel.named_parameters()]
