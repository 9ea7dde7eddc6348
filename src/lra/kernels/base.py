"""What every state space kernel is: parameters in, convolution kernel (C, H, L) out. Read this first.

Shape legend, used in all of `lra`: B batch, L length, H features, N state size, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn


class Rule(NamedTuple):
    """How the optimiser treats a parameter. None means the optimiser's own value; lr 0 freezes it."""

    lr: float | None
    weight_decay: float | None


class Kernel(nn.Module, ABC):
    """One single-input single-output state space model per feature, x' = A x + B u, y = C x.

    A kernel has two modes that compute the same map: `forward` gives the convolution kernel, and
    `discretize` / `initial_state` / `step` the recurrence. The skip term D u belongs to the layer.

    Constructors take `features` (H) and `channels` (C) first and everything else by keyword, and raise
    `UserError` for combinations that make no sense.
    """

    features: int
    channels: int

    @abstractmethod
    def forward(self, length: int, rate: float = 1.0) -> Tensor:
        """Kernel K (C, H, L) in float32 (or float64 for a float64 module).

        `rate` multiplies the step size Δ: 2.0 reads a signal that was sampled at half the training rate.
        """

    @abstractmethod
    def optimizer_rules(self) -> dict[str, Rule]:
        """Rules of this module's own parameters by name; those not named follow the optimiser's defaults."""

    @abstractmethod
    def discretize(self, rate: float = 1.0, length: int | None = None) -> Any:
        """The discrete system (Ā, B̄, C) that `step` needs, computed once and passed to every `step`.

        `length` is that of the whole sequence, for kernels that are normalised over it; others ignore it.
        """

    @abstractmethod
    def initial_state(self, batch: int) -> Tensor:
        """The zero state for `batch` sequences."""

    @abstractmethod
    def step(self, u: Tensor, state: Tensor, system: Any) -> tuple[Tensor, Tensor]:
        """One step of the recurrence: u (B, H) and the state to y (B, C, H) and the next state.

        The output uses the updated state: y_0 = C B̄ u_0.
        """
