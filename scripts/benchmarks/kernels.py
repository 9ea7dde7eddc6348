"""Time, memory and float32 error of every fast operation beside its naive twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from benchmarks import straightforward
from benchmarks.cost import Work, costs, gpu_cost
from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4d import S4D
from lra.ops import dplr
from lra.ops.long_conv import long_conv
from lra.ops.vandermonde import vandermonde, vandermonde_naive

CPU = torch.device("cpu")
MEMORY_LIMIT = 12 << 30  # bytes; a naive twin that would need more is not run


@dataclass(frozen=True)
class Case:
    """One operation at one size: tensors that get gradients, and functions of them."""

    inputs: tuple[Tensor, ...]
    fast: Callable[..., Tensor]
    naive: Callable[..., Tensor]
    naive_bytes: int  # the least that the naive twin holds at its peak

    def to(self, device: torch.device) -> Case:
        return replace(self, inputs=tuple(x.to(device) for x in self.inputs))


def s4d(length: int, features: int, state_size: int) -> Case:
    """S4D: the factored Vandermonde product against the whole matrix."""
    kernel = S4D(features, state_size=state_size)
    A, B, C, dt = (x.detach() for x in kernel.continuous())
    coefficient = (2 * C * torch.expm1(dt * A) / A * B).to(torch.complex64)
    exponent = (dt * A).to(torch.complex64)
    return _diagonal(coefficient, exponent, length)


def dss(length: int, features: int, state_size: int) -> Case:
    """DSS: the same product with N complex modes in place of N/2."""
    kernel = DSS(features, state_size=state_size, version="exp-no-scale")
    _, log_A, W = (x.detach() for x in kernel.continuous())
    return _diagonal(W, log_A.to(torch.complex64), length)


def s4(length: int, features: int, state_size: int) -> Case:
    """S4: matrix doubling against the generating function, both from the truncated C."""
    kernel = S4(features, state_size=state_size, c_parameter="truncated", length=length)
    Lambda, P, B, C, dt = (x.detach() for x in kernel.continuous())
    inputs = (*(x.to(torch.complex64) for x in (Lambda, P, P, B, C)), dt.float())
    return Case(
        inputs,
        partial(dplr.dplr_kernel, length=length, truncation=length),
        partial(straightforward.generating_function, length=length),
        8 * 4 * features * state_size // 2 * length * 2,
    )


def convolution(length: int, features: int, state_size: int) -> Case:
    """The long convolution, both directions, against rfft and irfft under autograd; batch 8."""
    u, kernel = torch.randn(8, features, length), torch.randn(2, features, length)
    naive = partial(straightforward.convolution, bidirectional=True)
    return Case((u, kernel), partial(long_conv, bidirectional=True), naive, 4 * 8 * 6 * u.numel())


CASES = (s4d, dss, s4, convolution)


def compare(
    make: Callable[..., Case],
    length: int,
    features: int,
    state_size: int,
    repeats: int,
    device: torch.device = CPU,
) -> dict:
    """Seconds, ratio, peak bytes and float32 error of both twins of one of `CASES`.

    A naive twin that does not fit into `MEMORY_LIMIT` has None for its figures.
    """
    fits = make(length, features, state_size).naive_bytes < MEMORY_LIMIT
    sides = ("fast", "naive") if fits else ("fast",)
    sizes = make, length, features, state_size
    if device.type == "cpu":
        cost = costs(_work, *sizes, repeats=repeats, sides=sides)
    else:
        cost = {side: gpu_cost(_work(side, *sizes, device)[1], repeats, device) for side in sides}
    row = {"operation": make.__name__, "length": length, "features": features, "state_size": state_size}
    for side in ("fast", "naive"):
        row[f"{side}_seconds"] = cost[side].seconds if side in cost else None
        row[f"{side}_peak_bytes"] = cost[side].peak_bytes if side in cost else None
    row["ratio"] = cost["naive"].seconds / cost["fast"].seconds if fits else None
    return row | _errors(make, length, state_size, device)


def _forward_backward(inputs: tuple[Tensor, ...], function: Callable[..., Tensor]) -> None:
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    y = function(*inputs)
    torch.autograd.grad(y, inputs, torch.ones_like(y))


def _errors(make: Callable, length: int, state_size: int, device: torch.device) -> dict[str, float]:
    """Relative L2 error of both twins in float32 against the naive twin in float64, on 8 features."""
    torch.manual_seed(0)
    case = make(length, 8, state_size).to(device)
    exact = case.naive(*(x.to(torch.complex128 if x.is_complex() else torch.float64) for x in case.inputs))
    return {
        f"{name}_float32_error": float((getattr(case, name)(*case.inputs) - exact).norm() / exact.norm())
        for name in ("fast", "naive")
    }


def _work(
    side: str, make: Callable, length: int, features: int, state_size: int, device: torch.device = CPU
) -> tuple[Work, Work]:
    """A tiny and the real forward + backward, for `costs`."""

    def work(case: Case) -> Work:
        return lambda: _forward_backward(case.inputs, getattr(case, side))

    return work(make(64, 8, state_size).to(device)), work(make(length, features, state_size).to(device))


def _diagonal(coefficient: Tensor, exponent: Tensor, length: int) -> Case:
    return Case(
        (coefficient, exponent),
        lambda c, a: vandermonde(c, a, length),
        lambda c, a: vandermonde_naive(c, a, length),
        8 * 3 * exponent.numel() * length,
    )
