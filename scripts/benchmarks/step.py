"""A whole training step (forward, backward, optimizer) beside the same model built from the naive twins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cost import Cost, Work, costs, gpu_activity, gpu_cost, seconds
from benchmarks.straightforward import straightforward
from lra.composition import compose
from lra.config import Config
from lra.data.spec import Batch, TaskSpec
from lra.models.build import make_model
from lra.models.classifier import Classifier
from lra.models.head import pool
from lra.ops.long_conv import long_conv
from lra.training.assemble import make_task
from lra.training.graphs import AFTER, Graphs
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
        return make_model(self.spec, self.config.model, self.config.kernel, self.config.mixer)

    def inputs(self, device: torch.device) -> Batch:
        """A random batch without padding."""
        rows = self.batch * (2 if self.spec.paired else 1)
        if self.spec.kind == "tokens":
            x = torch.randint(self.spec.inputs, (rows, self.length), device=device)
        else:
            x = torch.randn(rows, self.length, self.spec.inputs, device=device)
        lengths = torch.full((rows,), self.length, device=device)
        return Batch(x, lengths, torch.zeros(self.batch, dtype=torch.long, device=device))


def floor_setting(kernel: str, length: int) -> Setting:
    """The bidirectional model of the CPU floor on a signal of one channel."""
    options = ["model.layers=4", "model.features=128", "kernel.state_size=64", "model.norm=layer"]
    if kernel == "s4":  # the straightforward S4 trains a truncated C; both train the same function
        options.append("kernel.c_parameter=truncated")
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


def step_function(
    setting: Setting, device: torch.device, wrap: Callable[[Classifier], Callable[..., Tensor]] = lambda m: m
) -> Callable[[], None]:
    """One training step on a fixed random batch; the model is called by what `wrap` makes of it."""
    model = setting.model().to(device).train()
    call = wrap(model)
    optimizer = make_optimizer(model, setting.config.optimizer)
    x, lengths, y = setting.inputs(device)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(call(x, lengths, 1.0), y).backward()
        optimizer.step()

    return step


def compare(setting: Setting, repeats: int, device: torch.device) -> dict[str, Any]:
    """Seconds and peak bytes of a step, ours and straightforward, and where ours spends its time."""
    if device.type == "cpu":
        found = costs(_work, setting, repeats=repeats)
    else:
        found = {side: _gpu_cost(side, setting, repeats, device) for side in ("fast", "naive")}
    return {
        "setting": setting.name,
        "length": setting.length,
        "batch": setting.batch,
        **{f"{side}_seconds": cost.seconds for side, cost in found.items()},
        "ratio": found["naive"].seconds / found["fast"].seconds,
        "samples_per_s": setting.batch / found["fast"].seconds,
        **{f"{side}_peak_bytes": cost.peak_bytes for side, cost in found.items()},
        **(_on_gpu(setting, repeats, device) if device.type == "cuda" else {}),
        "breakdown": breakdown(setting, repeats, device),
    }


def _on_gpu(setting: Setting, repeats: int, device: torch.device) -> dict[str, float | None]:
    """What the GPU does in a step, and the seconds of a step that is replayed; None where that is not possible."""
    notes: list[str] = []
    replayed = step_function(setting, device, lambda model: Graphs(model, notes.append))
    for _ in range(AFTER + 1):
        replayed()
    least = min(seconds(replayed, device) for _ in range(repeats))
    return gpu_activity(step_function(setting, device)) | {"graphs_seconds": None if notes else least}


def breakdown(setting: Setting, repeats: int, device: torch.device) -> dict[str, float]:
    """Least seconds of forward and backward of each part of a step, on its own, for all layers together.

    The convolution has the skip and the mask in it, the mixing activation, dropout, gate and residual, the loss
    pooling and head.
    """
    model = setting.model().to(device).train()
    source, lengths, y = setting.inputs(device)
    backbone, blocks = model.backbone, len(model.backbone.blocks)
    mixer, mixing, norm = (getattr(backbone.blocks[0], part) for part in ("mixer", "mixing", "norm"))
    kernel, two_sided = mixer.kernel(setting.length).detach(), mixer.bidirectional
    mask = torch.ones(len(source), 1, setting.length, device=device)
    x = torch.randn(len(source), backbone.features, setting.length, device=device)
    channels = torch.randn(len(source), mixer.outputs, setting.length, device=device)

    def loss(h: Tensor) -> Tensor:
        return F.cross_entropy(model.head(pool(h, mask, lengths, model.pooling)), y)

    parts: dict[str, tuple[Callable[[Tensor], Tensor], Tensor, int]] = {
        "encoder": (lambda _: model.encoder(source), x, 1),
        "norm": (norm, x, blocks + (not isinstance(backbone.norm, nn.Identity))),
        "kernel": (lambda _: mixer.kernel(setting.length), x, blocks),
        "convolution": (
            lambda u: long_conv(u, kernel, bidirectional=two_sided, skip=mixer.D, mask=mask),
            x,
            blocks,
        ),
        "mixing": (lambda y: mixing(y, residual=x), channels, blocks),
        "loss": (loss, x, 1),
    }
    found = {}
    for name, (function, given, times) in parts.items():
        run = _part(function, given)
        found[name] = times * min(seconds(run, device) for _ in range(repeats + 1))
    optimizer = make_optimizer(model, setting.config.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    found["optimizer"] = min(seconds(optimizer.step, device) for _ in range(repeats + 1))
    return found


def _part(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    def run() -> None:
        y = function(x.detach().requires_grad_())
        y.backward(torch.ones_like(y))

    return run


def _gpu_cost(side: str, setting: Setting, repeats: int, device: torch.device) -> Cost:
    with _twin(side):
        return gpu_cost(step_function(setting, device), repeats, device)


def _work(side: str, setting: Setting) -> tuple[Work, Work]:
    """A tiny and the real step on the CPU, for `costs`."""

    def work(setting: Setting) -> Work:
        step = step_function(setting, torch.device("cpu"))

        def run() -> None:
            with _twin(side):
                step()

        return run

    tiny = replace(setting, batch=1, length=64, spec=replace(setting.spec, max_length=64))
    return work(tiny), work(setting)


def _twin(side: str) -> AbstractContextManager:
    return straightforward() if side == "naive" else nullcontext()
