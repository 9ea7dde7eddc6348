"""S4: structured state spaces with a diagonal plus low rank state matrix (arXiv 2111.00396), in the form
A = Λ − P P* and with the initial measures of "How to Train Your HiPPO" (arXiv 2206.12037)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor

from lra.bounds import Count, StateSize, StepSize, Width
from lra.errors import UserError
from lra.kernels import inits
from lra.kernels.base import Axes, Kernel, Rule
from lra.kernels.hippo import Measure, normal_plus_low_rank
from lra.kernels.parameters import Rate, learning_rates, of_each_feature, parameter, undecayed
from lra.ops import dplr
from lra.ops.precision import as_complex, as_pair
from lra.options import checked

OutputParameter = Literal["plain", "truncated"]
# Smallest −Re Λ at construction: that of FouT and LegT is 0.
REAL_FLOORS: dict[inits.Version, float] = {"v3": 1e-3, "v4": inits.FLOOR}


class DPLRSystem(NamedTuple):
    """The recurrence x_t = Ā x_{t−1} + B̄ u_t, y_t = 2 Re(C x_t), in O(N) a step.

    With the resolvent F = (I − Δ/2 A)⁻¹ and b = Δ/2 B it is x_t = 2 F(x_{t−1} + b u_t) − x_{t−1}.
    """

    resolvent: dplr.Resolvent
    half_input: Tensor
    C: Tensor

    @classmethod
    def of(cls, A: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, dt: Tensor) -> Self:
        """Discretize Λ − P Q*, B, C at step size Δ; the result has the precision of C."""
        inverse = dplr.resolvent(A, P, Q, dt)
        diagonal, P, Q = (x.to(C.dtype) for x in inverse[:3])
        resolvent = dplr.Resolvent(diagonal, P, Q, inverse.gain.to(C.real.dtype))
        return cls(resolvent, (dt / 2 * B).to(C.dtype), C)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """u (B, H) and the state (B, H, M) to y (B, C, H) and the next state."""
        state = 2 * self.resolvent(state + self.half_input * u.unsqueeze(-1)) - state
        return 2 * torch.einsum("chm,bhm->bch", self.C, state).real, state


class S4(Kernel):
    """N/2 complex modes a feature, kept as conjugate pairs and coupled by a low-rank P; bilinear.

    Parameters, all real: log_dt (H,), A_real and A_imag (S, N/2), P (R, S, N/2, 2), B (S, N/2, 2),
    C (C, H, N/2, 2), with Λ = −exp(A_real) − i A_imag. Feature h uses set h mod S.

    With c_parameter 'truncated', C holds C (I − Ā^T) for a fixed length T, as in the published code: it is
    converted at construction and belongs to that T. The kernel at rate r is then that of the truncation at
    round(T / r), which resamples the system only approximately; with 'plain' it does so exactly.
    """

    feature_axes: ClassVar[Axes] = {"log_dt": 0, "A_real": 0, "A_imag": 0, "P": 1, "B": 0, "C": 1}
    nested = True

    @checked
    def __init__(
        self,
        features: int,
        channels: int = 1,
        *,
        state_size: StateSize = 64,
        init: Measure | Sequence[Measure] = "legs",
        rank: StateSize | None = None,
        init_version: inits.Version = "v3",
        c_parameter: OutputParameter = "plain",
        length: Count | None = None,
        C_init: inits.OutputInit = "code",
        dt_min: StepSize = 0.001,
        dt_max: StepSize = 0.1,
        n_ssm: Width | None = None,
        lr: Mapping[Literal["A", "B", "dt"], Rate] | None = None,
    ) -> None:
        """`init` is one measure or several, shared out over the sets; `rank` None is the least they need.

        Rows of P beyond a measure's own rank start at zero. `init_version` names the published
        code whose initial Λ and B to take (`inits.Version`). `length` is the T of c_parameter 'truncated'.
        `lr` gives A (and P), B and dt their learning rates: None is the optimizer's own, 0 freezes.
        Raises UserError for unknown names and for combinations that make no sense.
        """
        super().__init__()
        self.features, self.channels = features, channels
        self.lr = learning_rates(lr, ("A", "B", "dt"))
        self.truncation = _truncation(c_parameter, length)

        names = inits.as_names(init)
        sets = inits.count_sets(n_ssm, features, names)
        forms = [normal_plus_low_rank(name, state_size) for name in names]
        rows = sets // len(names)  # the first rows get the first init, and so on
        eigenvalues = torch.stack([form.eigenvalues for form in forms])
        real, imag = inits.floor_parts(eigenvalues, init_version, REAL_FLOORS[init_version])
        P = torch.stack(_padded([form.P for form in forms], rank), dim=1)
        B = torch.stack([inits.hippo_input(name, state_size, init_version) for name in names])
        C = inits.output_vectors(channels, features, state_size // 2, C_init=C_init)

        self.log_dt = parameter(inits.log_step_sizes(features, dt_min, dt_max), self.lr["dt"])
        self.A_real = parameter(real.log().repeat_interleave(rows, dim=0), self.lr["A"])
        self.A_imag = parameter(imag.repeat_interleave(rows, dim=0), self.lr["A"])
        self.P = parameter(as_pair(P.repeat_interleave(rows, dim=1)), self.lr["A"])
        self.B = parameter(as_pair(B.repeat_interleave(rows, dim=0)), self.lr["B"])
        self.C = parameter(as_pair(C))
        if self.truncation is not None:
            self.register_buffer("truncation_length", torch.tensor(self.truncation))
            with torch.no_grad():
                A, P, _, C, dt = self.continuous()
                self.C.copy_(as_pair(dplr.truncated_output(A, P, P, C, dt, self.truncation)))

    def continuous(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Λ (H, M), P (R, H, M), B (H, M), C (C, H, M) and dt (H, 1); all but C in double precision."""
        eigenvalues = torch.complex(-self.A_real.double().exp(), -self.A_imag.double())
        features = len(self.log_dt)
        P, B = as_complex(self.P.double()), as_complex(self.B.double())
        dt = self.log_dt.double().exp().unsqueeze(1)
        return (
            of_each_feature(eigenvalues, features),
            of_each_feature(P, features, axis=1),
            of_each_feature(B, features),
            as_complex(self.C),
            dt,
        )

    def forward(self, length: int, rate: float = 1.0) -> Tensor:
        A, P, B, C, dt = self.continuous()
        return dplr.dplr_kernel(A, P, P, B, C, dt * rate, length, self._truncation_at(rate))

    def _truncation_at(self, rate: float) -> int | None:
        return None if self.truncation is None else round(self.truncation / rate)

    def optimizer_rules(self) -> dict[str, Rule]:
        """A, P, B and Δ: their own rate, no decay. C follows the optimizer, decay included."""
        return undecayed({"log_dt": "dt", "A_real": "A", "A_imag": "A", "P": "A", "B": "B"}, self.lr)

    def discretize(self, rate: float = 1.0, length: int | None = None) -> DPLRSystem:
        A, P, B, C, dt = self.continuous()
        dt = dt * rate
        truncation = self._truncation_at(rate)
        if truncation is not None:
            C = dplr.untruncated_output(A, P, P, C, dt, truncation)
        return DPLRSystem.of(A, P, P, B, C, dt)

    def initial_state(self, batch: int) -> Tensor:
        return as_complex(self.C).new_zeros(batch, self.features, self.C.shape[2])

    def step(self, u: Tensor, state: Tensor, system: DPLRSystem) -> tuple[Tensor, Tensor]:
        return system.step(u, state)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        """A truncated C belongs to one length: refuse a checkpoint of another."""
        stored = state_dict.get(f"{prefix}truncation_length")
        stored = None if stored is None else int(stored)
        if stored != self.truncation:
            raise UserError(
                f"The checkpoint's C is {_described(stored)}, this kernel's {_described(self.truncation)}. "
                "Set kernel.c_parameter and kernel.length to the checkpoint's."
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _truncation(c_parameter: OutputParameter, length: int | None) -> int | None:
    """The length T for which C is truncated, or None."""
    if c_parameter == "plain":
        return None
    if length is None:
        raise UserError(
            "c_parameter is 'truncated' and length is None; the parameter C (I − Ā^T) needs a T. "
            "Set kernel.length to the longest sequence of the task, or use c_parameter: plain."
        )
    return length


def _padded(factors: list[Tensor], rank: StateSize | None) -> list[Tensor]:
    """Low-rank factors (r, M) with zero rows up to `rank`, or up to the largest rank among them."""
    needed = max(len(P) for P in factors)
    rank = needed if rank is None else rank
    if rank < needed:
        raise UserError(f"rank is {rank}, and the init has a low-rank part of rank {needed}. Use {needed} or more.")
    return [torch.cat([P, P.new_zeros(rank - len(P), P.shape[1])]) for P in factors]


def _described(truncation: int | None) -> str:
    return "plain" if truncation is None else f"truncated at length {truncation}"
