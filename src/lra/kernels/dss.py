"""DSS: "Diagonal State Spaces are as Effective as Structured State Spaces" (arXiv 2203.14343)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from lra.bounds import Count, StateSize, StepSize
from lra.errors import UserError
from lra.kernels import inits
from lra.kernels.base import Axes, Kernel, Rule
from lra.kernels.discretize import EPSILON, Gradient, softmax_gain, softmax_kernel
from lra.kernels.hippo import normal_plus_low_rank
from lra.kernels.parameters import Rate, learning_rates, parameter, undecayed
from lra.ops.precision import as_complex
from lra.ops.vandermonde import vandermonde
from lra.options import checked

Version = Literal["softmax", "exp", "exp-no-scale", "exp-re-im", "clip", "clip-no-scale"]
Init = Literal["skew-hippo", "random"]
LARGEST_REAL = 1e-4  # of Λ in the versions 'clip' and 'clip-no-scale'


class ComplexSystem(NamedTuple):
    """The recurrence x_t = Ā x_{t−1} + u_t, y_t = Re(C x_t); Ā (H, N), C (C, H, N)."""

    A: Tensor
    C: Tensor


def initial_eigenvalues(init: Init, state_size: int) -> Tensor:
    """Λ (N,) complex128: 'skew-hippo', −1/2 + i ω with the N positive frequencies of the 2N × 2N skew-symmetric
    part of HiPPO-LegS, highest first; or 'random', complex normal with E|Λ|² = 1, half of it with Re Λ > 0."""
    if init == "random":
        return torch.randn(state_size, dtype=torch.complex128)
    imag = -normal_plus_low_rank("legs", 2 * state_size).eigenvalues.imag
    return torch.complex(torch.full_like(imag, -0.5), imag)


class DSS(Kernel):
    """N complex modes a feature, without conjugates: the output is the real part, not twice it.

    Λ is shared by all features, with a step size for its real and one for its imaginary part in each feature:
    a = Δ_re Re Λ + i Δ_im Im Λ. By version,

    - softmax: K = Re Σ W / Λ · softmax_l(a l), Λ free;
    - exp: K = Re Σ W (exp(a) − 1) / Λ · exp(a l) with Re Λ = −exp(·); exp-re-im: also Im Λ = exp(·);
    - clip: like exp with Λ free but for Re Λ ≤ 1e-4; …-no-scale: K = Re Σ W exp(a l).

    Parameters, all real: log_dt (H, 2), or (H, 1) for a common step; Lambda_real and Lambda_imag (N,);
    W (C, H, N, 2), which stands for the product of B and C.
    """

    feature_axes: ClassVar[Axes] = {"log_dt": 0, "Lambda_real": None, "Lambda_imag": None, "W": 1}

    @checked
    def __init__(
        self,
        features: int,
        channels: int = 1,
        *,
        state_size: StateSize = 64,
        version: Version = "softmax",
        init: Init = "skew-hippo",
        separate_dt: bool = True,
        dt_min: StepSize = 0.001,
        dt_max: StepSize = 0.1,
        max_kernel_length: Count | None = None,
        gradient: Gradient = "published",
        lr: Mapping[Literal["Lambda", "W", "dt"], Rate] | None = None,
    ) -> None:
        """`max_kernel_length` cuts the kernel. `gradient`, for the softmax: 'published' or 'exact', see
        `softmax_kernel`. `lr` gives Lambda, W and dt their learning rates (0 freezes).

        Raises UserError for unknown names and for combinations that make no sense.
        """
        super().__init__()
        self.features, self.channels = features, channels
        self.version = version
        self.nested = version != "softmax"  # which divides by a sum over the whole length
        if version.startswith("exp") and init == "random":
            raise UserError(
                f"DSS version {version} stores log(−Re Λ), and half of the random Λ have Re Λ > 0. "
                "Use init: skew-hippo, or one of the versions softmax, clip, clip-no-scale."
            )
        self.gradient = gradient
        self.max_kernel_length = max_kernel_length
        self.lr = learning_rates(lr, ("Lambda", "W", "dt"))

        log_dt = inits.log_step_sizes(features, dt_min, dt_max).unsqueeze(1)
        Lambda = initial_eigenvalues(init, state_size)
        real = (-Lambda.real).log() if version.startswith("exp") else Lambda.real
        imag = Lambda.imag.log() if version == "exp-re-im" else Lambda.imag
        self.log_dt = parameter(log_dt.repeat(1, 2 if separate_dt else 1), self.lr["dt"])
        self.Lambda_real = parameter(real, self.lr["Lambda"])
        self.Lambda_imag = parameter(imag, self.lr["Lambda"])
        self.W = parameter(torch.randn(channels, features, state_size, 2), self.lr["W"])

    def continuous(self, rate: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Λ (N,) and a = Δ Λ (H, N) in complex128, and W (C, H, N)."""
        real, imag = self.Lambda_real.double(), self.Lambda_imag.double()
        if self.version.startswith("exp"):
            real = -real.exp()
        elif self.version.startswith("clip"):
            real = real.clamp(max=LARGEST_REAL)
        if self.version == "exp-re-im":
            imag = imag.exp()
        dt = rate * self.log_dt.double().exp()
        return (
            torch.complex(real, imag),
            torch.complex(dt[:, :1] * real, dt[:, -1:] * imag),
            as_complex(self.W),
        )

    def forward(self, length: int, rate: float = 1.0) -> Tensor:
        """Kernel (C, H, L), or shorter where max_kernel_length cuts it."""
        length = min(length, self.max_kernel_length or length)
        Lambda, log_A, W = self.continuous(rate)
        if self.version == "softmax":
            return softmax_kernel(Lambda, log_A, W, length, self.gradient)
        return vandermonde(self._scaled(Lambda, log_A, W), log_A, length)

    def _scaled(self, Lambda: Tensor, log_A: Tensor, W: Tensor) -> Tensor:
        """W (exp(a) − 1) / Λ, or W alone in the versions without scale."""
        if self.version.endswith("no-scale"):
            return W
        inverse = Lambda.conj() / Lambda.abs().square().clamp(min=EPSILON)
        return (W * torch.expm1(log_A) * inverse).to(W.dtype)

    def optimizer_rules(self) -> dict[str, Rule]:
        """Λ, W and Δ: their own rate, no decay."""
        roles = {"log_dt": "dt", "Lambda_real": "Lambda", "Lambda_imag": "Lambda", "W": "W"}
        return undecayed(roles, self.lr)

    def discretize(self, rate: float = 1.0, length: int | None = None) -> ComplexSystem:
        """The recurrence; the softmax version needs the `length` over which its kernel is normalized.

        The recurrence knows no cut, so `max_kernel_length` is refused.
        """
        if self.max_kernel_length is not None:
            raise UserError(
                f"max_kernel_length is {self.max_kernel_length}, and a recurrence cannot "
                "forget at a given lag. "
                "Set it to null to run DSS step by step."
            )
        Lambda, log_A, W = self.continuous(rate)
        if self.version != "softmax":
            C = self._scaled(Lambda, log_A, W)
        elif length is None:
            raise UserError(
                "DSS softmax divides by a sum over the whole length, so its recurrence needs the length. "
                "Call discretize(length=…), or use version: exp."
            )
        else:
            gain, growing = softmax_gain(Lambda, log_A, length)
            C = (W * gain * torch.exp(-log_A * (length - 1) * growing)).to(W.dtype)
        return ComplexSystem(log_A.exp().to(W.dtype), C)

    def initial_state(self, batch: int) -> Tensor:
        return as_complex(self.W).new_zeros(batch, self.features, self.W.shape[2])

    def step(self, u: Tensor, state: Tensor, system: ComplexSystem) -> tuple[Tensor, Tensor]:
        state = system.A * state + u.unsqueeze(-1)
        return torch.einsum("chm,bhm->bch", system.C, state).real, state
