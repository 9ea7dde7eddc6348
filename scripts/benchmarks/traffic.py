"""Bytes, products and launches of a training step on a GPU, counted without one.

A step runs on PyTorch's meta device, where tensors have shapes and no numbers: whatever would wait for the device to
read a number raises. Every operation is counted as its CUDA kernel reads and writes, so the times that follow are lower
bounds: caches, launch overheads and the optimizer are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.step import Setting
from lra.ops import channel_norm, long_conv, mixing, pointwise, spectra

META = torch.device("meta")
ONE_PASS = 8192  # real numbers, or half as many complex ones, that cuFFT transforms in one kernel
LAUNCHES = {"linalg_inv_ex": 8, "linalg_solve_ex": 8}  # by cuSOLVER, batched
OVERWRITTEN = ("copy_", "fill_", "zero_")
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")


@dataclass(frozen=True)
class Card:
    """What a data sheet promises: bytes and operations a second."""

    title: str
    memory: float
    float32: float
    tf32: float
    float64: float


CARDS = {
    "a100": Card("NVIDIA A100 80 GB (SXM)", 2.04e12, 19.5e12, 156e12, 19.5e12),
    "h100": Card("NVIDIA H100 80 GB (SXM)", 3.35e12, 67e12, 495e12, 67e12),
    "rtx4090": Card("NVIDIA GeForce RTX 4090", 1.01e12, 82.6e12, 82.6e12, 1.29e12),
}


class Traffic(TorchDispatchMode):
    """Counts what reaches the device."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.launches = 0
        self.products = self.double = 0.0  # floating point operations of matrix products, float32 and float64

    def add(self, launches: int, moved: int) -> None:
        self.launches += launches
        self.bytes += moved

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        given, made = _tensors((args, kwargs)), _tensors(out)
        mutates = func._schema.is_mutable
        if not any(x.numel() for x in made) or "empty" in name or (not mutates and _shared(given, made)):
            return out  # nothing to compute, an allocation, a view
        if name in OVERWRITTEN:
            given = given[1:]
        elif mutates and not name.endswith("_"):  # out=
            given = [x for x in given if not _shared([x], made)]
        read, written = _bytes(given), _bytes(made)
        if name == "_fft_r2c":
            self._transform(given[0].shape[-1], read + written, args[2], written)
        elif name == "_fft_c2c":
            self._transform(2 * given[0].shape[-1], read + written, args[2], written)
        elif name == "_fft_c2r":
            self.add(1, 2 * read)  # a copy, for cuFFT overwrites its input
            self._transform(made[0].shape[-1], read + written, args[2], written)
        elif name == "native_batch_norm":
            self.add(2, 2 * _bytes(given[:1]) + _bytes(made[:1]))
        elif name == "native_batch_norm_backward":
            self.add(2, 2 * _bytes(given[:2]) + _bytes(made[:1]))
        else:
            self.add(LAUNCHES.get(name, 1), read + written)
        if name in PRODUCTS:
            self._product(given[-2], made[0])
        return out

    def _transform(self, numbers: int, moved: int, scaling: int, written: int) -> None:
        passes = 1 if numbers <= ONE_PASS else 2
        self.add(passes, passes * moved)
        if scaling:
            self.add(1, 2 * written)

    def _product(self, left: Tensor, out: Tensor) -> None:
        operations = 2.0 * left.shape[-1] * out.numel() * (4 if out.is_complex() else 1)
        if out.dtype in (torch.float64, torch.complex128):
            self.double += operations
        else:
            self.products += operations


class Fused:
    """Stands in for `lra.ops.fused`: one launch each, what it reads and writes once."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def activate(self, y, factor):
        out = torch.empty_like(y)
        self.traffic.add(1, _bytes([y, factor, out]))
        return out

    def activate_backward(self, grad, y, factor, out):
        self.traffic.add(1, _bytes([grad, y, factor, out]))

    def gate(self, mixed, bias, gated, factor, residual, out):
        self.traffic.add(1, _bytes([mixed, bias, factor, residual, out]))

    def gate_backward(self, mixed, bias, grad, factor):
        if mixed is None:
            return pointwise.gate_backward(mixed, bias, grad, factor)
        self.traffic.add(2, _bytes([mixed, bias, grad, factor, mixed]))
        return mixed, torch.empty_like(bias)

    def normalize(self, x, weight, bias, eps, y, mean, scale):
        self.traffic.add(1, _bytes([x, weight, bias, y, mean, scale]))

    def normalize_backward(self, grad, x, weight, mean, scale, out):
        self.traffic.add(2, _bytes([grad, x, weight, mean, scale, out]))
        return torch.empty_like(weight), torch.empty_like(weight)


class Packed:
    """Stands in for `lra.ops.packed`, in the same way; that needs Triton, which PyTorch for CPUs does not bring."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def transform(self, signal):
        return torch.fft.fft(torch.view_as_complex(signal.unflatten(-1, (-1, 2))))

    def inverse(self, spectrum):
        return torch.view_as_real(torch.fft.ifft(spectrum, norm="forward")).flatten(-2)

    def convolve(self, signal, kernel):
        self.traffic.add(1, _bytes([signal, kernel, signal]))
        return signal.unsqueeze(1)

    def correlate(self, grad, signal, kernel):
        self.traffic.add(1, _bytes([grad, signal, kernel, grad, kernel]))
        return torch.empty_like(kernel), grad.squeeze(1)


def count(setting: Setting) -> Traffic:
    """Forward and backward of a step. Raises RuntimeError if it reads a number back from the device."""
    model = setting.model().to(META).train()
    x, lengths, y = setting.inputs(META)
    traffic = Traffic()
    with _as_on_a_gpu(traffic), traffic:
        outputs = model(x, lengths)
        if setting.spec.metric == "rmse":
            F.mse_loss(outputs.squeeze(-1), y.float()).backward()
        else:
            F.cross_entropy(outputs, y).backward()
    return traffic


def row(setting: Setting, card: Card) -> dict[str, Any]:
    """Counts of a step, and the least milliseconds that a card needs for them."""
    found = count(setting)
    rows = setting.batch * (2 if setting.spec.paired else 1)
    model = setting.config.model
    signal = 4 * rows * model["features"] * setting.length
    memory_s, double_s = found.bytes / card.memory, found.double / card.float64
    return {
        "setting": setting.name,
        "length": setting.length,
        "batch": setting.batch,
        "signals_a_layer": found.bytes / signal / model["layers"],
        "bytes": found.bytes,
        "launches": found.launches,
        "product_flops": found.products,
        "float64_flops": found.double,
        "memory_seconds": memory_s,
        "float32_seconds": found.products / card.float32 + double_s,
        "tf32_seconds": found.products / card.tf32 + double_s,
    }


@contextmanager
def _as_on_a_gpu(traffic: Traffic) -> Iterator[None]:
    """The Triton kernels where there would be some; autocast does not know the meta device."""
    fused, packed = Fused(traffic), Packed(traffic)

    def spectra_on(_: torch.device, channels: int) -> Any:
        return packed if channels == 1 else spectra

    with ExitStack() as stack:
        for module in (channel_norm, mixing):
            stack.enter_context(mock.patch.object(module, "pointwise_on", return_value=fused))
        stack.enter_context(mock.patch.object(long_conv, "spectra_on", spectra_on))
        stack.enter_context(mock.patch.object(torch, "autocast", return_value=nullcontext()))
        stack.enter_context(mock.patch.object(torch, "is_autocast_enabled", return_value=False))
        yield


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _shared(given: list[Tensor], made: list[Tensor]) -> bool:
    """Whether a result lies in the memory of an input."""
    inputs = {x.untyped_storage()._cdata for x in given}
    return any(x.untyped_storage()._cdata in inputs for x in made)


def _bytes(tensors: Sequence[Tensor | None]) -> int:
    """Bytes of tensors, of expanded ones only what is stored."""
    return sum(_stored(x) * x.element_size() for x in tensors if x is not None)


def _stored(x: Tensor) -> int:
    return math.prod(size for size, stride in zip(x.shape, x.stride(), strict=True) if stride)
