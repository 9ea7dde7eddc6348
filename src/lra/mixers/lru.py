"""LRU: a linear recurrence initialized on a ring inside the unit circle (Orvieto et al., "Resurrecting Recurrent
Neural Networks for Long Sequences", arXiv 2303.06349)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch

from lra.bounds import Width
from lra.errors import UserError
from lra.kernels.base import Rule
from lra.kernels.parameters import Rate, learning_rates, parameter, undecayed
from lra.mixers.linear import LinearRecurrence, System
from lra.ops.precision import as_complex
from lra.options import checked


class LRU(LinearRecurrence):
    """N = `state_size` complex states, λ = exp(−exp(nu_log) + i exp(theta_log)), inputs scaled by exp(gamma_log).

    |λ|² starts uniform between r_min² and r_max², the phase uniform in [0, max_phase], and the scale at √(1 − |λ|²).
    Parameters, all real: nu_log, theta_log, gamma_log (N,), B (N, H, 2), C (1 or 2, H, N, 2), D (H,).
    """

    present_twice: ClassVar[bool] = False  # "as S4", says the paper of its two directions: the second starts at t + 1

    @checked
    def __init__(
        self,
        features: int,
        bidirectional: bool = False,
        *,
        state_size: Width = 64,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        lr: Mapping[Literal["Lambda", "gamma", "B"], Rate] | None = None,
    ) -> None:
        """`lr` gives Lambda, gamma and B their learning rates: None (or left out) is the optimizer's own, 0 freezes.

        None of the three is decayed. Raises UserError for a ring that is none.
        """
        super().__init__()
        if not 0 <= r_min < r_max <= 1:
            raise UserError(
                f"r_min is {r_min} and r_max is {r_max}; a ring inside the unit circle needs 0 <= r_min < r_max <= 1."
            )
        if max_phase <= 0:
            raise UserError(f"max_phase is {max_phase}; it must be above 0 (2π is the whole ring).")
        self.features = self.outputs = features
        self.bidirectional = bidirectional
        self.lr = learning_rates(lr, ("Lambda", "gamma", "B"))
        squared = r_min**2 + (r_max**2 - r_min**2) * torch.rand(state_size, dtype=torch.float64)
        phase = max_phase * torch.rand(state_size, dtype=torch.float64)
        B = torch.randn(state_size, features, 2) / math.sqrt(2 * features)
        C = torch.randn(2 if bidirectional else 1, features, state_size, 2) / math.sqrt(state_size)
        self.nu_log = parameter((-squared.log() / 2).log(), self.lr["Lambda"])
        self.theta_log = parameter(phase.log(), self.lr["Lambda"])
        self.gamma_log = parameter((1 - squared).log() / 2, self.lr["gamma"])
        self.B = parameter(B, self.lr["B"])
        self.C = parameter(C)
        self.D = parameter(torch.randn(features))

    def system(self, rate: float = 1.0) -> System:
        if rate != 1.0:
            raise UserError("LRU has no step size, so it cannot read a signal at another sampling rate; use rate=1.")
        exponent = torch.complex(-self.nu_log.double().exp(), self.theta_log.double().exp())
        B = self.gamma_log.exp().unsqueeze(1) * as_complex(self.B)
        return System(exponent, B, as_complex(self.C))

    def optimizer_rules(self) -> dict[str, Rule]:
        roles = {"nu_log": "Lambda", "theta_log": "Lambda", "gamma_log": "gamma", "B": "B"}
        return undecayed(roles, self.lr)
