"""Before the first step on a GPU: every fast operation beside its twin on that device, in values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lra.errors import UserError, in_a_line
from lra.ops.backend import refusal, refuse
from lra.ops.channel_norm import channel_norm, channel_norm_naive
from lra.ops.dplr import dplr_kernel, dplr_kernel_naive
from lra.ops.long_conv import long_conv, long_conv_naive
from lra.ops.mixing import mix, mix_naive
from lra.ops.precision import full_precision
from lra.ops.recurrence import recurrence, recurrence_naive
from lra.ops.vandermonde import vandermonde, vandermonde_naive

TOLERANCE = 1e-4  # of the greatest value; float32 is some 100 times better
LENGTH = 1100  # more than a block of positions of the Triton kernels
SHORT = 100  # for twins that step through the positions


class Check(NamedTuple):
    """A fast operation, its twin, and float32 or complex64 inputs that get gradients."""

    name: str
    fused: bool  # has Triton kernels in it on a GPU, which PyTorch's operations can replace
    fast: Callable[..., Tensor]
    twin: Callable[..., Tensor]
    inputs: list[Tensor]


def self_check(device: torch.device, note: Callable[[str], None]) -> dict[str, float]:
    """The greatest relative error of each operation, against its twin in float64.

    Where a Triton kernel fails or is wrong, all of them are replaced by PyTorch's operations, and `note` hears of it.
    Raises UserError where an operation is wrong even so: its twin is too slow to replace it.
    """
    errors: dict[str, float] = {}
    if device.type == "cuda" and (reason := refusal(device)):
        note(_replaced(device, reason))
    for check in _checks():
        problem = _problem(check, device, errors)
        if problem and check.fused:
            refuse(f"{check.name} {problem}")
            note(_replaced(device, f"{check.name} {problem}"))
            problem = _problem(check, device, errors)
        if problem:
            raise UserError(
                f"On {device} {check.name} {problem}, where float32 allows {TOLERANCE:.0e}. Results from this device "
                "would be wrong. Update its driver or PyTorch, or use trainer.accelerator=cpu."
            )
    return errors


def _replaced(device: torch.device, reason: str) -> str:
    return f"On {device} PyTorch's own operations replace the Triton kernels: {reason}."


def _problem(check: Check, device: torch.device, errors: dict[str, float]) -> str | None:
    """What is wrong with an operation, if anything; its error is kept in `errors`."""
    try:
        error = _error(check, device)
    except Exception as failure:
        if not check.fused:
            raise
        return f"fails ({in_a_line(failure)})"
    if not error <= TOLERANCE:  # NaN is none of both
        return f"has an error of {error:.1g}"
    errors[check.name] = error
    return None


def _checks() -> Iterator[Check]:
    random = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    batch, features = 2, 5
    signals = random(batch, features, LENGTH)
    norm = [signals, random(features), random(features)]
    yield Check("layer norm", True, partial(channel_norm, eps=1e-5), partial(channel_norm_naive, eps=1e-5), norm)
    for gated in (True, False):
        outputs = 2 * features if gated else features
        inputs = [signals, random(outputs, features), random(outputs), random(batch, features, LENGTH)]
        fast, twin = (partial(_mixed, function, gated) for function in (mix, mix_naive))
        yield Check("gated mixing" if gated else "mixing", True, fast, twin, inputs)
    fast, twin = (partial(function, bidirectional=True) for function in (long_conv, long_conv_naive))
    yield Check("convolution", True, fast, twin, [signals, random(2, features, LENGTH)])
    modes = torch.complex(-random(features, 8).abs() / 10, random(features, 8))
    weight = random(2, features, 8, dtype=torch.complex64)
    fast, twin = (partial(_to_length, function, LENGTH) for function in (vandermonde, vandermonde_naive))
    yield Check("diagonal kernel", False, fast, twin, [weight, modes])
    states = torch.complex(-random(features).abs() / 10, random(features))
    yield Check("recurrence", False, recurrence, recurrence_naive, [random(2, features, batch, LENGTH), states])
    low_rank, given = (
        random(1, features, 8, dtype=torch.complex64),
        random(features, 8, dtype=torch.complex64),
    )
    system = [modes, low_rank, low_rank.clone(), given, weight, random(features, 1).exp() / 10]
    fast, twin = (partial(_to_length, function, SHORT) for function in (dplr_kernel, dplr_kernel_naive))
    yield Check("low-rank kernel", False, fast, twin, system)


def _mixed(function: Callable, gated: bool, y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
    return function(y, weight, bias, gated=gated, residual=residual)


def _to_length(function: Callable[..., Tensor], length: int, *inputs: Tensor) -> Tensor:
    return function(*inputs, length)


def _error(check: Check, device: torch.device) -> float:
    """The greatest error of the result and of each gradient, relative to its greatest value."""
    with full_precision(device):
        found = _results(check.fast, [x.to(device) for x in check.inputs])
        exact = _results(check.twin, [_doubled(x.to(device)) for x in check.inputs])
    errors = [(ours - true).abs().max() / true.abs().max() for ours, true in zip(found, exact, strict=True)]
    return float(torch.stack(errors).max())  # NaN if one of them is


def _results(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    inputs = [x.requires_grad_() for x in inputs]
    y = function(*inputs)
    weight = torch.arange(y.numel(), device=y.device).view_as(y) % 7 + 1
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), inputs)]


def _doubled(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)
