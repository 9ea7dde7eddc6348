"""Linear recurrences that all features share: S5 and LRU. One diagonal system with full B and C in place of one
small system for each feature.

x[t] = Λ x[t − 1] + B u[t],  y[t] = Re(C x[t]) + D u[t],  with P complex states.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lra.errors import UserError
from lra.mixers.base import SequenceMixer
from lra.ops.precision import at_least_float32
from lra.ops.recurrence import recurrence


class System(NamedTuple):
    """The discrete system: log Λ (P,) complex128; B (P, H) and C (1 or 2, H, P) complex."""

    exponent: Tensor
    B: Tensor
    C: Tensor


class LinearRecurrence(SequenceMixer):
    """A mixer of one shared linear recurrence; subclasses hold the parameters of `system` and D (H,).

    With a second C there is a second recurrence, of the same Λ and B, from the last position to the first. Whether it
    counts the present position, which the first one has counted already, is `present_twice`.
    """

    D: Tensor
    bidirectional: bool
    present_twice: ClassVar[bool] = True

    @abstractmethod
    def system(self, rate: float = 1.0) -> System:
        """The discrete system; `rate` multiplies the step size. Raises UserError if there is none to multiply."""

    def forward(self, u: Tensor, mask: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """u (B, H, L) -> (B, H, L); `mask` (B, 1, L) of 0 and 1 clears padded positions first."""
        system = self.system(rate)
        batch, features, length = u.shape
        states = len(system.exponent)
        if mask is not None:
            u = u * mask
        dtype = at_least_float32(u, self.D)
        flat = u.transpose(0, 1).reshape(features, -1)  # (H, B L): one product for all positions
        v = (torch.cat([system.B.real, system.B.imag]) @ flat).to(dtype).view(2, states, batch, length)
        y = self.D.unsqueeze(1) * flat
        for reverse, C in enumerate(system.C):
            x = recurrence(v, system.exponent, reverse=bool(reverse))
            if reverse and not self.present_twice:
                x = torch.nn.functional.pad(x[..., 1:], (0, 1))
            y = y + torch.cat([C.real, -C.imag], dim=1) @ x.reshape(2 * states, -1)
        return y.view(features, batch, length).transpose(0, 1).to(u.dtype)

    def start(self, batch: int, rate: float = 1.0, length: int | None = None) -> tuple[Tensor, System]:
        if self.bidirectional:
            raise UserError(
                f"A bidirectional {type(self).__name__} needs the whole sequence and has no recurrent mode. "
                "Use a causal recipe (model.bidirectional=false)."
            )
        system = self.system(rate)
        return system.B.new_zeros(batch, len(system.exponent)), system

    def step(self, u: Tensor, state: tuple[Tensor, System]) -> tuple[Tensor, tuple[Tensor, System]]:
        x, system = state
        x = system.exponent.exp().to(x.dtype) * x + u.to(x.dtype) @ system.B.mT
        return (x @ system.C[0].mT).real + self.D * u, (x, system)
