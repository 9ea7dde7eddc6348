"""S5: one multi-input multi-output state space model a layer (Smith et al., "Simplified State Space Layers for
Sequence Modeling", arXiv 2208.04933)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from lra.bounds import StateSize, StepSize, Width
from lra.errors import UserError
from lra.kernels.base import Rule
from lra.kernels.discretize import bilinear, zoh
from lra.kernels.hippo import normal_plus_low_rank
from lra.kernels.inits import lecun_normal, log_step_sizes
from lra.kernels.parameters import Rate, learning_rates, parameter
from lra.mixers.linear import LinearRecurrence, System
from lra.ops.precision import as_complex, as_pair
from lra.options import checked

DISCRETIZATIONS = {"zoh": zoh, "bilinear": bilinear}
OutputInit = Literal["trunc_standard_normal", "lecun_normal", "complex_normal"]
Role = Literal["Lambda", "dt", "B", "C", "D"]
DECAYED: list[Role] = ["C", "D"]
STABLE = -1e-4  # largest real part where `clip_eigs` holds them down


class S5(LinearRecurrence):
    """P = `state_size` states in conjugate pairs, of which P/2 are kept: y = 2 Re(C x) + D u.

    They start as `blocks` copies of the diagonalized HiPPO-LegS matrix of size P/blocks, one step size each.
    Parameters, all real: Lambda_real, Lambda_imag, log_dt (P/2,), B (P/2, H, 2), C (1 or 2, H, P/2, 2), D (H,).
    """

    @checked
    def __init__(
        self,
        features: int,
        bidirectional: bool = False,
        *,
        state_size: StateSize = 64,
        blocks: Width = 1,
        C_init: OutputInit = "trunc_standard_normal",
        discretization: Literal["zoh", "bilinear"] = "zoh",
        clip_eigs: bool = False,
        dt_min: StepSize = 0.001,
        dt_max: StepSize = 0.1,
        lr: Mapping[Role, Rate] | None = None,
        decay: Sequence[Role] = DECAYED,
    ) -> None:
        """`clip_eigs` keeps Re Λ below zero, which nothing else does.

        `lr` gives Lambda, dt, B, C and D their learning rates (None, or left out: the optimizer's own; 0 freezes),
        `decay` names those with weight decay. Raises UserError for unknown names and sizes that do not fit.
        """
        super().__init__()
        if state_size % blocks or (state_size // blocks) % 2:
            raise UserError(
                f"state_size is {state_size} and blocks is {blocks}; each block needs the same even number of states. "
                f"Use a multiple of {2 * blocks} states."
            )
        self.features = self.outputs = features
        self.bidirectional, self.clip_eigs = bidirectional, clip_eigs
        self.discretization = discretization
        self.lr = learning_rates(lr, get_args(Role))
        self.decay = tuple(decay)
        block = normal_plus_low_rank("legs", state_size // blocks)
        eigenvalues, V = block.eigenvalues.repeat(blocks), torch.block_diag(*[block.V] * blocks)
        B = V.mH @ lecun_normal(state_size, features, fan_in=state_size).to(V)
        C = torch.stack([output(features, V, C_init) for _ in range(2 if bidirectional else 1)])
        self.Lambda_real = parameter(eigenvalues.real, self.lr["Lambda"])
        self.Lambda_imag = parameter(eigenvalues.imag, self.lr["Lambda"])
        self.log_dt = parameter(log_step_sizes(state_size // 2, dt_min, dt_max), self.lr["dt"])
        self.B = parameter(as_pair(B), self.lr["B"])
        self.C = parameter(as_pair(C), self.lr["C"])
        self.D = parameter(torch.randn(features), self.lr["D"])

    def system(self, rate: float = 1.0) -> System:
        real = self.Lambda_real.clamp(max=STABLE) if self.clip_eigs else self.Lambda_real
        eigenvalues = torch.complex(real.double(), self.Lambda_imag.double())
        dt = rate * self.log_dt.double().exp()
        exponent, gain = DISCRETIZATIONS[self.discretization](eigenvalues, torch.ones_like(eigenvalues), dt)
        B = as_complex(self.B)
        return System(exponent, gain.to(B.dtype).unsqueeze(1) * B, 2 * as_complex(self.C))

    def optimizer_rules(self) -> dict[str, Rule]:
        roles = {"Lambda_real": "Lambda", "Lambda_imag": "Lambda", "log_dt": "dt", "B": "B", "C": "C", "D": "D"}
        return {n: Rule(self.lr[role], None if role in self.decay else 0.0) for n, role in roles.items()}


def output(features: int, V: Tensor, init: OutputInit) -> Tensor:
    """C (H, P/2): drawn beside V (P, P/2) and projected; `complex_normal` is drawn where it is used.

    The names are the published code's. `trunc_standard_normal` has no unit variance but 1/P a part, and the fan-in
    of `lecun_normal` is P H.
    """
    states, half = V.shape
    if init == "complex_normal":
        return torch.complex(*math.sqrt(0.5) * torch.randn(2, features, half, dtype=torch.float64))
    fan_in = states * (features if init == "lecun_normal" else 1)
    return torch.complex(*lecun_normal(2, features, states, fan_in=fan_in)) @ V
