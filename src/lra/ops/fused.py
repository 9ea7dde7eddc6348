"""The pointwise parts of a layer as Triton kernels, one pass over the memory each; see `lra.ops.pointwise`.

Signals are (B, H, L), contiguous. The arithmetic is float32, or float64 for float64 signals.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lra.ops import pointwise

BLOCK = 1024  # positions of one feature in a program
TILE = 4096  # numbers in a program that needs all features of its positions
NONE, TIED, FREE = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)  # no factor, one for all positions, one for each
OPTIONS = {"enable_fp_fusion": True}  # a · b + c is rounded once; Triton's default is to change in 3.10


def activate(y: Tensor, factor: Tensor | None) -> Tensor:
    """factor · gelu(y)."""
    out = torch.empty_like(y)
    launch(_activate, _grid(y), y, *_factor(factor, y), out, y.shape[-1], exact(y), BLOCK)
    return out


def activate_backward(grad: Tensor, y: Tensor, factor: Tensor | None, out: Tensor) -> None:
    """The gradient of `activate`, written to `out`."""
    grad = grad.contiguous()
    launch(_activate_backward, _grid(y), grad, y, *_factor(factor, y), out, y.shape[-1], exact(y), BLOCK)


def gate(mixed: Tensor, bias: Tensor, gated: bool, factor: Tensor | None, residual: Tensor | None, out: Tensor) -> None:
    """residual + factor · gate(mixed + bias), written to `out`."""
    added = out if residual is None else residual.contiguous()
    launch(
        _gate, _grid(out), mixed, bias, *_factor(factor, out), added, out, out.shape[1], out.shape[2],
        gated, residual is not None, exact(out), BLOCK,
    )  # fmt: skip


def gate_backward(mixed: Tensor | None, bias: Tensor, grad: Tensor, factor: Tensor | None) -> tuple[Tensor, Tensor]:
    """The gradients of `gate` with respect to mixed and bias. Overwrites mixed; it is None where nothing is gated."""
    if mixed is None:
        return pointwise.gate_backward(mixed, bias, grad, factor)
    grad = grad.contiguous()
    batch, features, length = grad.shape
    grid = _grid(grad)
    parts = mixed.new_empty(2, batch * grid[1], features)  # a sum for each program: the same on every run
    launch(_gate_backward, grid, mixed, bias, grad, *_factor(factor, grad), parts, features, length, exact(grad), BLOCK)
    return mixed, parts.sum(1).flatten()


def normalize(x: Tensor, weight: Tensor, bias: Tensor, eps: float, y: Tensor, mean: Tensor, scale: Tensor) -> None:
    """Layer norm over the features: writes y, and the mean and 1/√(variance + eps) of every position (B, 1, L)."""
    grid, rows, columns = _tiles(x)
    sizes = (*x.shape[1:], exact(y), rows, columns)
    launch(_normalize, grid, x, weight, bias, y, mean, scale, eps, *sizes, num_warps=8)


def normalize_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, out: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of `normalize`: of x to `out`; returns those of weight and bias."""
    grid, rows, columns = _tiles(x)
    parts = mean.new_empty(2, grid[0] * grid[1], x.shape[1])  # a sum for each program: the same on every run
    launch(
        _normalize_backward, grid, grad.contiguous(), x, weight, mean, scale, out, parts, *x.shape[1:],
        exact(mean), rows, columns, num_warps=8,
    )  # fmt: skip
    by_weight, by_bias = parts.sum(1).to(weight.dtype)
    return by_weight, by_bias


def launch(kernel: Any, grid: Any, *arguments: Any, **options: Any) -> None:
    """Run a kernel on the device of its first tensor, which need not be the current one."""
    device = arguments[0].device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[grid](*arguments, **OPTIONS, **options)


def _grid(x: Tensor) -> tuple[int, int]:
    return x.shape[0] * x.shape[1], triton.cdiv(x.shape[2], BLOCK)


def _tiles(x: Tensor) -> tuple[tuple[int, int], int, int]:
    rows = triton.next_power_of_2(x.shape[1])
    columns = max(16, TILE // rows)
    return (x.shape[0], triton.cdiv(x.shape[2], columns)), rows, columns


def _factor(factor: Tensor | None, like: Tensor) -> tuple[Tensor, int]:
    if factor is None:
        return like, NONE
    return factor.contiguous(), TIED if factor.shape[-1] == 1 else FREE


def exact(x: Tensor) -> bool:
    return x.dtype == torch.float64


@triton.jit
def _load(pointer, mask, EXACT: tl.constexpr):
    value = tl.load(pointer, mask=mask, other=0)
    return value.to(tl.float64) if EXACT else value.to(tl.float32)


@triton.jit
def _scaled(value, factor, KIND: tl.constexpr, row, at, inside, EXACT: tl.constexpr):
    if KIND == TIED:
        value *= _load(factor + row, True, EXACT)
    elif KIND == FREE:
        value *= _load(factor + at, inside, EXACT)
    return value


@triton.jit
def _positions(length, BLOCK: tl.constexpr):
    """Row of this program, its positions, where they lie, and which of them exist."""
    row = tl.program_id(0).to(tl.int64)
    position = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    return row, position, row * length + position, position < length


@triton.jit
def _activate(y, factor, KIND: tl.constexpr, out, length, EXACT: tl.constexpr, BLOCK: tl.constexpr):
    row, _, at, inside = _positions(length, BLOCK)
    value = _load(y + at, inside, EXACT)
    value *= 0.5 * (1 + tl.erf(value * 0.7071067811865476))
    tl.store(out + at, _scaled(value, factor, KIND, row, at, inside, EXACT), mask=inside)


@triton.jit
def _activate_backward(grad, y, factor, KIND: tl.constexpr, out, length, EXACT: tl.constexpr, BLOCK: tl.constexpr):
    row, _, at, inside = _positions(length, BLOCK)
    value = _load(y + at, inside, EXACT)
    slope = 0.5 * (1 + tl.erf(value * 0.7071067811865476))
    slope += value * 0.3989422804014327 * tl.exp(-0.5 * value * value)
    slope *= _load(grad + at, inside, EXACT)
    tl.store(out + at, _scaled(slope, factor, KIND, row, at, inside, EXACT), mask=inside)


@triton.jit
def _gate(
    mixed, bias, factor, KIND: tl.constexpr, residual, out, features, length,
    GATED: tl.constexpr, RESIDUAL: tl.constexpr, EXACT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row, position, at, inside = _positions(length, BLOCK)
    batch, feature = row // features, row % features
    start = (batch * features * (2 if GATED else 1) + feature) * length + position
    value = _load(mixed + start, inside, EXACT) + _load(bias + feature, True, EXACT)
    if GATED:
        gate = _load(mixed + start + features * length, inside, EXACT)
        value *= tl.sigmoid(gate + _load(bias + features + feature, True, EXACT))
    value = _scaled(value, factor, KIND, row, at, inside, EXACT)
    if RESIDUAL:
        value += _load(residual + at, inside, EXACT)
    tl.store(out + at, value, mask=inside)


@triton.jit
def _gate_backward(
    mixed, bias, grad, factor, KIND: tl.constexpr, parts, features, length, EXACT: tl.constexpr, BLOCK: tl.constexpr
):
    row, position, at, inside = _positions(length, BLOCK)
    batch, feature = row // features, row % features
    first = mixed + (batch * features * 2 + feature) * length + position
    second = first + features * length
    value = _load(first, inside, EXACT) + _load(bias + feature, True, EXACT)
    gate = tl.sigmoid(_load(second, inside, EXACT) + _load(bias + features + feature, True, EXACT))
    slope = _scaled(_load(grad + at, inside, EXACT), factor, KIND, row, at, inside, EXACT) * gate
    by_gate = slope * value * (1 - gate)
    tl.store(first, slope, mask=inside)
    tl.store(second, by_gate, mask=inside)
    part = parts + (batch * tl.num_programs(1) + tl.program_id(1)) * features + feature
    tl.store(part, tl.sum(slope))
    tl.store(part + tl.num_programs(0) * tl.num_programs(1), tl.sum(by_gate))


@triton.jit
def _tile(features, length, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Features (rows) and positions (columns) of this program, where they lie, and which of them exist."""
    batch = tl.program_id(0).to(tl.int64)
    feature = tl.arange(0, ROWS)[:, None]
    position = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    at = (batch * features + feature) * length + position
    return batch, feature, position, at, (feature < features) & (position < length)


@triton.jit
def _normalize(  # EPS is part of the code: an argument would be float32
    x, weight, bias, y, mean, scale, EPS: tl.constexpr, features, length,
    EXACT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    batch, feature, position, at, inside = _tile(features, length, ROWS, COLUMNS)
    value = _load(x + at, inside, EXACT)
    average = (tl.sum(value, 0) / features)[None, :]
    value = tl.where(inside, value - average, 0)
    inverse = (1 / tl.sqrt(tl.sum(value * value, 0) / features + EPS))[None, :]
    there = feature < features
    value = value * inverse * _load(weight + feature, there, EXACT) + _load(bias + feature, there, EXACT)
    tl.store(y + at, value, mask=inside)
    tl.store(mean + batch * length + position, average, mask=position < length)
    tl.store(scale + batch * length + position, inverse, mask=position < length)


@triton.jit
def _normalize_backward(
    grad, x, weight, mean, scale, out, parts, features, length,
    EXACT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    batch, feature, position, at, inside = _tile(features, length, ROWS, COLUMNS)
    g = _load(grad + at, inside, EXACT)
    inverse = _load(scale + batch * length + position, position < length, EXACT)
    average = _load(mean + batch * length + position, position < length, EXACT)
    normal = tl.where(inside, (_load(x + at, inside, EXACT) - average) * inverse, 0)
    there = feature < features
    part = parts + (batch * tl.num_programs(1) + tl.program_id(1)) * features + feature
    tl.store(part, tl.sum(g * normal, 1)[:, None], mask=there)
    part += tl.num_programs(0) * tl.num_programs(1) * features
    tl.store(part, tl.sum(g, 1)[:, None], mask=there)
    g *= _load(weight + feature, there, EXACT)
    level = (tl.sum(g, 0) / features)[None, :]
    along = (tl.sum(g * normal, 0) / features)[None, :]
    tl.store(out + at, (g - level - normal * along) * inverse, mask=inside)
