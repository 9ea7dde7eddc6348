"""A whole training step (forward, backward, optimiser) beside the same model built from the naive twins.

Both are timed in turn, in one process; the minimum over the repeats is kept. Peak memory needs a process of its own
for each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from lra.benchmarks import memory
from lra.config import Config, compose
from lra.data.spec import TaskSpec
from lra.kernels import s4d
from lra.models import layer
from lra.models.classifier import Classifier
from lra.ops import dplr
from lra.ops.vandermonde import vandermonde_naive
from lra.training.assemble import make_model, make_task
from lra.training.optim import make_optimizer

SPLITS = {"train": 1, "val": 1, "test": 1}
FLOOR = {1024: 8, 4096: 4, 16384: 1}  # length: batch, of the CPU floor (H = 128, N = 64, 4 layers)


@dataclass(frozen=True)
class Setting:
    """A model and the shape of its batches."""

    name: str
    config: Config
    spec: TaskSpec
    batch: int
    length: int

    def model(self) -> Classifier:
        torch.manual_seed(0)
        return make_model(self.spec, self.config.model, self.config.kernel)


def floor_setting(kernel: str, length: int) -> Setting:
    """The bidirectional model of the CPU floor on a signal of one channel."""
    options = ["model.layers=4", "model.features=128", "kernel.state_size=64", "model.norm=layer"]
    config = Config.parse(compose([f"kernel={kernel}", *options]))
    spec = TaskSpec("floor", "features", 1, length, 10, SPLITS)
    return Setting(f"{kernel} 4 × 128", config, spec, FLOOR[length], length)


def recipe_setting(experiment: str, tokens: int | None) -> Setting:
    """A recipe's own shapes; the batch is cut so that it holds at most `tokens` positions, if given."""
    config = Config.parse(compose([f"experiment={experiment}"]))
    spec = make_task(config).spec
    length, batch = spec.max_length, config.trainer.batch_size
    if tokens is not None:
        batch = max(1, min(batch, tokens // length))
    return Setting(experiment, config, spec, batch, length)


def step_function(setting: Setting, device: torch.device) -> Callable[[], None]:
    """One training step on a fixed random batch."""
    model = setting.model().to(device).train()
    optimizer = make_optimizer(model, setting.config.optimizer)
    rows = setting.batch * (2 if setting.spec.paired else 1)
    if setting.spec.kind == "tokens":
        x = torch.randint(setting.spec.inputs, (rows, setting.length), device=device)
    else:
        x = torch.randn(rows, setting.length, setting.spec.inputs, device=device)
    lengths = torch.full((rows,), setting.length, device=device)
    y = torch.zeros(setting.batch, dtype=torch.long, device=device)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x, lengths), y).backward()
        optimizer.step()

    return step


@contextmanager
def straightforward() -> Iterator[None]:
    """Steps taken inside use the naive twins: whole Vandermonde matrices, Cauchy products, autograd's FFTs."""
    with (
        mock.patch.object(
            s4d, "vandermonde", lambda c, a, length: vandermonde_naive(c, a.to(c.dtype), length)
        ),
        mock.patch.object(dplr, "dplr_kernel", _generating_function),
        mock.patch.object(layer, "long_conv", plain_convolution),
    ):
        yield


def _generating_function(
    A: Tensor, P: Tensor, B: Tensor, C: Tensor, dt: Tensor, length: int, truncation: int
):
    if truncation != length:
        raise ValueError("the generating function is exact for its own length only")
    return dplr.dplr_kernel_generating(A, P, B, C, dt, length)


def plain_convolution(u: Tensor, kernel: Tensor, future: Tensor | None = None) -> Tensor:
    """The published layers' convolution: pad, transform, multiply, and leave the rest to autograd."""
    length = u.shape[-1]
    if future is not None:
        kernel = F.pad(kernel, (0, length)) + F.pad(future.flip(-1), (length, 0))
    spectrum, signal = torch.fft.rfft(kernel, n=2 * length), torch.fft.rfft(u, n=2 * length)
    return torch.fft.irfft(torch.einsum("bhf,chf->bchf", signal, spectrum), n=2 * length)[..., :length]


def compare(setting: Setting, repeats: int, device: torch.device) -> dict[str, Any]:
    """Seconds and peak bytes of a step, ours and straightforward, and where ours spends its time."""
    fast, naive = step_function(setting, device), step_function(setting, device)
    best = {"fast": float("inf"), "naive": float("inf")}
    for turn in range(repeats + 1):
        seconds = {"fast": _seconds(fast, device)}
        with straightforward():
            seconds["naive"] = _seconds(naive, device)
        if turn:
            best = {name: min(best[name], seconds[name]) for name in best}
    peaks = (
        {name: memory.peak(_peak_work, setting, name) for name in best}
        if device.type == "cpu"
        else _peaks(setting, device)
    )
    return {
        "setting": setting.name,
        "length": setting.length,
        "batch": setting.batch,
        **{f"{name}_seconds": value for name, value in best.items()},
        "ratio": best["naive"] / best["fast"],
        "samples_per_s": setting.batch / best["fast"],
        **{f"{name}_peak_bytes": value for name, value in peaks.items()},
        "breakdown": breakdown(setting, repeats, device),
    }


def breakdown(setting: Setting, repeats: int, device: torch.device) -> dict[str, float]:
    """Least seconds of forward and backward of each part, on its own, times the number of layers."""
    model = setting.model().to(device).train()
    backbone, count = model.backbone, len(model.backbone.blocks)
    block = backbone.blocks[0]
    rows = setting.batch * (2 if setting.spec.paired else 1)
    x = torch.randn(rows, backbone.features, setting.length, device=device)
    mask = torch.ones(rows, 1, setting.length, device=device)
    kernel = block.layer.kernel(setting.length).detach()
    half = block.layer.channels
    future = kernel[half:] if block.layer.bidirectional else None
    tokens = setting.spec.kind == "tokens"
    shape = (rows, setting.length) if tokens else (rows, setting.length, setting.spec.inputs)
    source = (
        torch.randint(setting.spec.inputs, shape, device=device)
        if tokens
        else torch.randn(shape, device=device)
    )
    parts: Mapping[str, tuple[Callable[[Tensor], Tensor], int]] = {
        "encoder": (lambda _: model.encoder(source), 1),
        "kernel": (lambda _: block.layer.kernel(setting.length), count),
        "convolution": (lambda u: layer.long_conv(u, kernel[:half], future), count),
        "activation and mixing": (block.layer._output, count),
        "norm": (block.norm, count),
        "mask, skip and residual": (lambda u: (u * mask) * block.layer.D.view(1, -1, 1) + u, count),
    }
    found = {}
    for name, (function, times) in parts.items():
        run = _part(function, x)
        found[name] = times * min(_seconds(run, device) for _ in range(repeats + 1))
    optimizer = make_optimizer(model, setting.config.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    found["optimiser"] = min(_seconds(optimizer.step, device) for _ in range(repeats + 1))
    return found


def _part(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    def run() -> None:
        function(x.detach().requires_grad_()).sum().backward()

    return run


def _seconds(function: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    function()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peaks(setting: Setting, device: torch.device) -> dict[str, int]:
    """Most bytes that PyTorch held on a GPU in a step."""
    peaks = {}
    for name in ("fast", "naive"):
        step = step_function(setting, device)
        torch.cuda.reset_peak_memory_stats(device)
        if name == "naive":
            with straightforward():
                step()
        else:
            step()
        peaks[name] = torch.cuda.max_memory_allocated(device)
    return peaks


def _peak_work(setting: Setting, name: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """A tiny and the real step on the CPU, for `memory.peak`."""

    def work(setting: Setting) -> Callable[[], None]:
        step = step_function(setting, torch.device("cpu"))

        def run() -> None:
            with straightforward() if name == "naive" else nullcontext():
                step()

        return run

    tiny = replace(setting, batch=1, length=64, spec=replace(setting.spec, max_length=64))
    return work(tiny), work(setting)
