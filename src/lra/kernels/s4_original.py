"""S4 as first published (arXiv 2111.00396; the authors' code, tag v1): A = Λ − P Q* with Λ, P and Q free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lra.bounds import Count, StateSize, StepSize
from lra.errors import UserError
from lra.kernels import inits
from lra.kernels.base import Axes, Kernel, Rule
from lra.kernels.hippo import normal_plus_low_rank
from lra.kernels.parameters import Rate, learning_rates, parameter, undecayed
from lra.kernels.s4 import DPLRSystem
from lra.ops import dplr
from lra.ops.precision import as_complex, as_pair
from lra.options import checked


class S4Original(Kernel):
    """N/2 complex modes a feature, kept as conjugate pairs and coupled by a low-rank P Q*; bilinear.

    One Λ, with a free real part, is shared by all features; B, P and Q belong to each. The parameter C stands for
    C (I − Ā^T), T the longest length, and starts as drawn. Parameters, all real: log_dt (H,), A_real and A_imag
    (N/2,) with Λ = A_real − i A_imag, P and Q (R, H, N/2, 2), B (H, N/2, 2), C (C, H, N/2, 2).
    """

    feature_axes: ClassVar[Axes] = {"log_dt": 0, "A_real": None, "A_imag": None, "P": 1, "Q": 1, "B": 0, "C": 1}
    nested = True

    @checked
    def __init__(
        self,
        features: int,
        channels: int = 1,
        *,
        state_size: StateSize = 64,
        init: Literal["legs", "legt"] = "legs",
        length: Count | None = None,
        C_init: inits.OutputInit = "code",
        dt_min: StepSize = 0.001,
        dt_max: StepSize = 0.1,
        lr: Mapping[Literal["A", "B", "dt"], Rate] | None = None,
    ) -> None:
        """`init` is a HiPPO measure, legs or legt. `length` is T.

        `lr` gives A, B (and P) and dt their learning rates: None is the optimizer's own, 0 freezes. Q lies in the
        tensor of C there and so has the optimizer's rate and decay, as C has.
        Raises UserError for unknown names and a missing length.
        """
        super().__init__()
        if length is None:
            raise UserError(
                "kernel.length is None; the first S4 trains C (I − Ā^T) and needs a T. Set kernel.length to "
                "the longest sequence of the task."
            )
        self.features, self.channels, self.length = features, channels, length
        self.lr = learning_rates(lr, ("A", "B", "dt"))
        form = normal_plus_low_rank(init, state_size)
        P = as_pair(form.P).unsqueeze(1).repeat(1, features, 1, 1)
        self.log_dt = parameter(inits.log_step_sizes(features, dt_min, dt_max), self.lr["dt"])
        self.A_real = parameter(form.eigenvalues.real, self.lr["A"])
        self.A_imag = parameter(-form.eigenvalues.imag, self.lr["A"])
        self.P = parameter(P, self.lr["B"])
        self.Q = parameter(P)
        self.B = parameter(as_pair(form.B).repeat(features, 1, 1), self.lr["B"])
        self.C = parameter(as_pair(inits.output_vectors(channels, features, state_size // 2, C_init=C_init)))

    def continuous(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Λ (H, M), P and Q (R, H, M), B (H, M), C (C, H, M) and dt (H, 1); all but C in double precision."""
        eigenvalues = torch.complex(self.A_real.double(), -self.A_imag.double())
        P, Q, B = (as_complex(x.double()) for x in (self.P, self.Q, self.B))
        dt = self.log_dt.double().exp().unsqueeze(1)
        return eigenvalues.expand(len(self.log_dt), -1), P, Q, B, as_complex(self.C), dt

    def forward(self, length: int, rate: float = 1.0) -> Tensor:
        A, P, Q, B, C, dt = self.continuous()
        return dplr.dplr_kernel(A, P, Q, B, C, dt * rate, length, round(self.length / rate))

    def optimizer_rules(self) -> dict[str, Rule]:
        """Λ, B, P and Δ: their own rate, no decay. C and Q follow the optimizer, decay included."""
        return undecayed({"log_dt": "dt", "A_real": "A", "A_imag": "A", "P": "B", "B": "B"}, self.lr)

    def discretize(self, rate: float = 1.0, length: int | None = None) -> DPLRSystem:
        A, P, Q, B, C, dt = self.continuous()
        C = dplr.untruncated_output(A, P, Q, C, dt * rate, round(self.length / rate))
        return DPLRSystem.of(A, P, Q, B, C, dt * rate)

    def initial_state(self, batch: int) -> Tensor:
        return as_complex(self.C).new_zeros(batch, self.features, self.C.shape[2])

    def step(self, u: Tensor, state: Tensor, system: DPLRSystem) -> tuple[Tensor, Tensor]:
        return system.step(u, state)
