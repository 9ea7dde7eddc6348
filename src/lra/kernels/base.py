"""What every kernel is: parameters in, convolution kernel (C, H, L) out. Read this first.

Shape legend, used in all of `lra`: B batch, L length, H features, N state size, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from lra.errors import UserError


class Rule(NamedTuple):
    """How the optimizer treats a parameter. None means the optimizer's own value; lr 0 freezes it."""

    lr: float | None
    weight_decay: float | None


# The axis of each parameter that runs over the features, or over sets that they use in turn; None where all share it.
# What else a kernel has, buffers included, must be the same in all layers.
Axes = Mapping[str, int | None]


class Kernel(nn.Module, ABC):
    """One single-input single-output sequence map per feature, given as its convolution kernel.

    State space models, x' = A x + B u, y = C x, have a second mode that computes the same map, the recurrence of
    `discretize`, `initial_state` and `step`; other kernels need none. The skip term D u belongs to the convolution.

    Constructors take `features` (H) and `channels` (C) first and everything else by keyword, and raise
    `UserError` for combinations that make no sense. `state_size`, `dt_min` and `dt_max` mean the same in every
    kernel that has them: another kernel in a paper's recipe keeps the recipe's.
    """

    features: int
    channels: int
    feature_axes: ClassVar[Axes] = {}  # of all parameters: with it a GPU generates all layers in one call
    nested: bool = False  # whether a shorter kernel is the beginning of a longer one

    @abstractmethod
    def forward(self, length: int, rate: float = 1.0) -> Tensor:
        """Kernel K (C, H, L) in float32 (or float64 for a float64 module).

        `rate` multiplies the step size Δ: 2.0 reads a signal that was sampled at half the training rate.
        """

    def optimizer_rules(self) -> dict[str, Rule]:
        """Rules of this module's own parameters by name; those not named follow the optimizer's defaults."""
        return {}

    def discretize(self, rate: float = 1.0, length: int | None = None) -> Any:
        """The discrete system (Ā, B̄, C) that `step` needs, computed once and passed to every `step`.

        `length` is that of the whole sequence, for kernels that are normalized over it; others ignore it. Raises
        UserError if the kernel has no recurrence.
        """
        raise UserError(
            f"{type(self).__name__} is a kernel without a recurrence: it convolves whole sequences only. S4 and S4D "
            "run step by step."
        )

    def initial_state(self, batch: int) -> Tensor:
        """The zero state for `batch` sequences. Raises UserError in a kernel that discretizes, but has none."""
        raise UserError(f"{type(self).__name__} discretizes, but has no initial_state. Give it one, or no discretize.")

    def step(self, u: Tensor, state: Tensor, system: Any) -> tuple[Tensor, Tensor]:
        """One step of the recurrence: u (B, H) and the state to y (B, C, H) and the next state.

        The output uses the updated state: y_0 = C B̄ u_0.
        """
        raise UserError(f"{type(self).__name__} discretizes, but has no step. Give it one, or no discretize.")
