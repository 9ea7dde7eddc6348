"""S4D: diagonal state space models (Gu et al., "On the Parameterization and Initialization of Diagonal State
Space Models", arXiv 2206.11893)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from lra.bounds import StateSize, StepSize, Width
from lra.errors import UserError
from lra.kernels import inits
from lra.kernels.base import Axes, Kernel, Rule
from lra.kernels.discretize import as_discrete, bilinear, softmax_kernel, zoh
from lra.kernels.parameters import Rate, learning_rates, of_each_feature, parameter, undecayed
from lra.ops.precision import as_complex, as_pair
from lra.ops.vandermonde import vandermonde
from lra.options import checked

Discretization = Literal["zoh", "bilinear", "none", "dss"]
RealPart = Literal["exp", "relu", "none"]
DISCRETIZATIONS: dict[str, Callable] = {"zoh": zoh, "bilinear": bilinear, "none": as_discrete}


class DiagonalSystem(NamedTuple):
    """The recurrence x_t = Ā x_{t−1} + B̄ u_t, y_t = 2 Re(C x_t); Ā, B̄ (H, M), C (C, H, M)."""

    A: Tensor
    B: Tensor
    C: Tensor


def diagonal_kernel(
    A: Tensor, B: Tensor, C: Tensor, dt: Tensor, length: int, discretization: Discretization = "zoh"
) -> Tensor:
    """K[c, h, l] = 2 Re Σ_m C[c, h, m] B̄[h, m] Ā[h, m]^l, the kernel (C, H, L) of conjugate pairs.

    A, B (H, M) and C (C, H, M) complex; dt (H, 1) or (H, M) real; the result has the precision of C.
    S4D, section 3.3. With 'dss' it is the softmax of DSS, which has no factor 2, for the modes given.
    """
    if discretization == "dss":
        return softmax_kernel(A, dt * A, (C * B).to(C.dtype), length)
    log_A, B = DISCRETIZATIONS[discretization](A, B, dt)
    return vandermonde((2 * C * B).to(C.dtype), log_A, length)


class S4D(Kernel):
    """N/2 complex modes a feature, kept as conjugate pairs, so that the output is twice the real part.

    Parameters, all real: log_dt (H,), A_real and A_imag (S, N/2), B (S, N/2, 2), C (C, H, N/2, 2), with
    Re A = −exp(A_real), −(relu(A_real) + 1e-4) or −A_real and Im A = −A_imag. Feature h uses set h mod S.

    With `discretization: none` the modes are those of the discrete system, exp(Δ Re A − i A_imag), and B is B̄: Δ is
    the decay ξ of DFouT (arXiv 2508.20441), whose inits go with it and with nothing else. Not stated in that paper, and
    so options here: how ξ is drawn (log-uniform between dt_min and dt_max) and which of ξ, angles and B train (`lr`).
    Of its N angles on the circle the N/2 in [0, π) are kept; the paper's half plane has one more, π itself.
    """

    feature_axes: ClassVar[Axes] = {"log_dt": 0, "A_real": 0, "A_imag": 0, "B": 0, "C": 1}

    @checked
    def __init__(
        self,
        features: int,
        channels: int = 1,
        *,
        state_size: StateSize = 64,
        init: inits.Init | Sequence[inits.Init] = "legs",
        random_real: bool = False,
        random_imag: bool = False,
        init_version: inits.Version = "v3",
        B_init: inits.InputInit = "ones",
        C_init: inits.OutputInit = "code",
        discretization: Discretization = "zoh",
        real_part: RealPart = "exp",
        dt_min: StepSize = 0.001,
        dt_max: StepSize = 0.1,
        n_ssm: Width | None = None,
        lr: Mapping[Literal["A", "B", "dt"], Rate] | None = None,
    ) -> None:
        """`init` is one name or several, shared out over the sets; `init_version` names the published code whose
        initial values to take (`inits.Version`).

        `lr` gives A, B and dt their learning rates: None (or left out) is the optimizer's own, 0 freezes.
        Raises UserError for unknown names and for combinations that make no sense.
        """
        super().__init__()
        self.features, self.channels = features, channels
        self.discretization = discretization
        self.nested = discretization != "dss"  # which divides by a sum over the whole length
        self.real_part = real_part
        self.lr = learning_rates(lr, ("A", "B", "dt"))

        names = inits.as_names(init)
        sets = inits.count_sets(n_ssm, features, names)
        log_dt = inits.log_step_sizes(features, dt_min, dt_max)
        rows = sets // len(names)  # the first rows get the first init, and so on
        A = [
            inits.diagonal_eigenvalues(
                n, state_size, rows, version=init_version, random_real=random_real, random_imag=random_imag
            )
            for n in names
        ]
        B = [inits.diagonal_input(n, state_size, B_init, init_version).expand(rows, -1) for n in names]
        if {name in inits.ANGLES for name in names} != {discretization == "none"}:
            raise UserError(
                f"The inits {', '.join(inits.ANGLES)} set a discrete system and need discretization: none, which no "
                f"other init can have; init is {init} and discretization {discretization}."
            )
        real, imag = inits.floor_parts(torch.cat(A), init_version)
        if discretization == "none":
            imag = -torch.cat(A).imag  # an angle may be 0
        C = inits.output_vectors(channels, features, state_size // 2, C_init=C_init)

        self.log_dt = parameter(log_dt, self.lr["dt"])
        self.A_real = parameter(self._store_real(real, init_version), self.lr["A"])
        self.A_imag = parameter(imag, self.lr["A"])
        self.B = parameter(as_pair(torch.cat(B)), self.lr["B"])
        self.C = parameter(as_pair(C))

    def _store_real(self, real: Tensor, version: inits.Version) -> Tensor:
        """The inverse of the real part's transform, which v3 takes without relu's floor; `real` is −Re A > 0."""
        if self.real_part == "exp":
            return real.log()
        return real - inits.FLOOR if self.real_part == "relu" and version == "v4" else real

    def continuous(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The continuous system A (H, M), B (H, M), C (C, H, M), all complex, and dt (H, 1).

        In float64: for H × N/2 numbers it costs nothing, and it keeps the phases l Δ Im A exact at large l.
        """
        real = self.A_real.double()
        if self.real_part == "exp":
            real = real.exp()
        elif self.real_part == "relu":
            real = real.relu() + inits.FLOOR
        A = torch.complex(-real, -self.A_imag.double())
        features = len(self.log_dt)
        A, dt = of_each_feature(A, features), self.log_dt.double().exp().unsqueeze(1)
        if self.discretization == "none":
            A = torch.complex(A.real, A.imag / dt)  # Δ A has the angle itself
        return A, of_each_feature(as_complex(self.B.double()), features), as_complex(self.C), dt

    def forward(self, length: int, rate: float = 1.0) -> Tensor:
        A, B, C, dt = self.continuous()
        return diagonal_kernel(A, B, C, dt * rate, length, self.discretization)

    def optimizer_rules(self) -> dict[str, Rule]:
        """A, B and Δ: their own rate, no decay. C follows the optimizer, decay included."""
        return undecayed({"log_dt": "dt", "A_real": "A", "A_imag": "A", "B": "B"}, self.lr)

    def discretize(self, rate: float = 1.0, length: int | None = None) -> DiagonalSystem:
        if self.discretization == "dss":
            raise UserError(
                "The discretization 'dss' normalizes the kernel over its length and has no recurrence. "
                "Use zoh or bilinear to run S4D step by step."
            )
        A, B, C, dt = self.continuous()
        log_A, B = DISCRETIZATIONS[self.discretization](A, B, dt * rate)
        return DiagonalSystem(log_A.exp().to(C.dtype), B.to(C.dtype), C)

    def initial_state(self, batch: int) -> Tensor:
        return as_complex(self.C).new_zeros(batch, self.features, self.C.shape[2])

    def step(self, u: Tensor, state: Tensor, system: DiagonalSystem) -> tuple[Tensor, Tensor]:
        state = system.A * state + system.B * u.unsqueeze(-1)
        return 2 * torch.einsum("chm,bhm->bch", system.C, state).real, state
