"""Initial values of diagonal state space models (S4D, arXiv 2206.11893, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from lra.errors import UserError, choose
from lra.kernels.hippo import Measure, check_even, normal_plus_low_rank
from lra.options import checked

# Initial values changed between tag v3.0.0, which made the papers' numbers, and tag v4.0.0 of the published code:
# v3 takes B = V*B as it is, random frequencies from N(0, 1) and Im A = 0 as 0; v4 limits Im B to ±2, draws
# frequencies as exp(N(0, 1)) and keeps −Im A above FLOOR.
Version = Literal["v3", "v4"]
FLOOR = 1e-4  # smallest −Re A of a diagonal kernel, and in v4 −Im A, at construction
TRUNCATED_STD = 0.87962566103423978  # standard deviation of a normal that is cut off at ±2

Init = Literal["legs", "fout", "lin", "inv", "inv2", "quad", "real", "random", "dfout", "dfout-single"]
InputInit = Literal["ones", "hippo"]
OutputInit = Literal["code", "paper"]

HIPPO: tuple[Measure, ...] = ("legs", "fout")  # whose normal part alone is a useful diagonal system

# Im A_n of the kept half, as a law of the mode n and the full state size N; the sign is put in below.
LAWS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "lin": lambda n, N: math.pi * n,
    "inv": lambda n, N: N / math.pi * (N / (2 * n + 1) - 1),
    "inv2": lambda n, N: N / math.pi * (N / (n + 1) - 1),
    "quad": lambda n, N: (1 + 2 * n) ** 2 / math.pi,
    "real": lambda n, N: 0 * n,
    "random": lambda n, N: torch.randn_like(n),
}

# Angles of the discrete modes, for `discretization: none` (DFouT, arXiv 2508.20441, section 4.2): the mode n of M, row
# h of H. Those of `dfout`, over all rows, are one uniform grid on [0, π).
ANGLES: dict[str, Callable[[Tensor, int, Tensor, int], Tensor]] = {
    "dfout": lambda n, M, h, H: math.pi * (n + h / H) / M,
    "dfout-single": lambda n, M, h, H: math.pi * n / M + 0 * h,
}

Name = TypeVar("Name", bound=str)


def diagonal_eigenvalues(
    init: Init,
    state_size: int,
    rows: int = 1,
    *,
    version: Version = "v3",
    random_real: bool = False,
    random_imag: bool = False,
) -> Tensor:
    """A (rows, N/2) complex128 with Re A ≤ 0, before the floor; Im A ≤ 0 but for random ones of v3, of either sign.

    Random laws and angles differ by row.

    Of the inits in ANGLES the imaginary part is the angle of a discrete mode, not a frequency.
    `random_imag` draws the index n of a law uniformly from [0, N/2); `random_real` draws −Re A uniformly from
    [0, 1). Both are the S4D paper's ablations and make no sense for inits without a law, which are refused.
    """
    choose("The init of a diagonal kernel", init, get_args(Init))
    check_even(state_size)
    half = state_size // 2
    if init not in LAWS and (random_real or random_imag):
        raise UserError(
            f"random_real and random_imag replace parts of a law of the modes, and init {init!r} has none. "
            f"Use one of {', '.join(LAWS)}."
        )
    if init in HIPPO:
        return normal_plus_low_rank(init, state_size).eigenvalues.expand(rows, half)
    n = torch.arange(half, dtype=torch.float64).repeat(rows, 1)
    if init in ANGLES:
        row = torch.arange(rows, dtype=torch.float64).unsqueeze(1)
        return -torch.complex(torch.full_like(n, 0.5), ANGLES[init](n, half, row, rows))
    imag = LAWS[init](half * torch.rand_like(n) if random_imag else n, state_size)
    if init == "random" and version == "v4":
        imag = imag.exp()
    real = n + 1 if init == "real" else torch.full_like(n, 0.5)
    if random_real:
        real = torch.rand_like(n)
    return -torch.complex(real, imag)


def diagonal_input(init: Init, state_size: int, B_init: InputInit, version: Version) -> Tensor:
    """B (N/2,) complex128 of a diagonal kernel: 1 for B_init 'ones', V*B of the HiPPO system for 'hippo'."""
    if B_init == "ones":
        return torch.ones(state_size // 2, dtype=torch.complex128)
    if init not in HIPPO:
        raise UserError(
            f"B_init is 'hippo' but init is {init!r}, which is no HiPPO system. Use B_init: ones, "
            f"or one of the inits {', '.join(HIPPO)}."
        )
    return hippo_input(init, state_size, version)


def hippo_input(measure: Measure, state_size: int, version: Version) -> Tensor:
    """V*B (N/2,) complex128 of a HiPPO system. v4 limits its imaginary part to ±2, which LegS and LegT exceed."""
    B = normal_plus_low_rank(measure, state_size).B
    return B if version == "v3" else torch.complex(B.real, B.imag.clamp(-2.0, 2.0))


def floor_parts(A: Tensor, version: Version, real_floor: float = FLOOR) -> tuple[Tensor, Tensor]:
    """−Re A, at least `real_floor`, and −Im A, in v4 at least FLOOR."""
    imag = -A.imag
    return (-A.real).clamp(min=real_floor), imag if version == "v3" else imag.clamp(min=FLOOR)


@checked
def output_vectors(*shape: int, C_init: OutputInit) -> Tensor:
    """Random complex C; variance of each part 1/2 ('code', as published) or 1 ('paper', S4D's listing 1)."""
    scale = math.sqrt(0.5) if C_init == "code" else 1.0
    return torch.complex(scale * torch.randn(shape), scale * torch.randn(shape))


def lecun_normal(*shape: int, fan_in: int) -> Tensor:
    """A float64 normal cut off at two standard deviations, of variance 1 / fan_in (flax's, which S5 and LRU use)."""
    values = torch.nn.init.trunc_normal_(torch.empty(shape, dtype=torch.float64), a=-2.0, b=2.0)
    return values / (TRUNCATED_STD * math.sqrt(fan_in))


def log_step_sizes(features: int, dt_min: float, dt_max: float) -> Tensor:
    """log Δ (H,), uniform between log dt_min and log dt_max."""
    if not 0 < dt_min <= dt_max:
        raise UserError(
            f"dt_min is {dt_min} and dt_max is {dt_max}; step sizes need "
            "0 < dt_min <= dt_max (for example 0.001 and 0.1)."
        )
    low, high = math.log(dt_min), math.log(dt_max)
    return low + (high - low) * torch.rand(features)


def as_names(init: Name | Sequence[Name]) -> list[Name]:
    """One init or several as a list."""
    return [init] if isinstance(init, str) else list(init)


def count_sets(n_ssm: int | None, features: int, inits: Sequence[str]) -> int:
    """Number S of independent (A, B, P) sets, shared by the features in turn: feature h uses set h mod S.

    None means one for each feature. S must divide the features, and the number of inits must divide S.
    """
    sets = features if n_ssm is None else n_ssm
    if sets < 1 or features % sets:
        raise UserError(
            f"n_ssm is {sets}, which does not divide the {features} features. Use a divisor, "
            "or null to give each feature its own."
        )
    if not inits or sets % len(inits):
        raise UserError(
            f"{len(inits)} inits ({', '.join(inits)}) cannot share {sets} sets of parameters equally. "
            "Set n_ssm to a multiple of the number of inits."
        )
    return sets
