"""What a run would cost: a few real steps, measured, and what follows from them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lra.config import Config
from lra.records import capture
from lra.terminal import Console, duration
from lra.training.assemble import Assembled
from lra.training.memory import backward, on_device
from lra.training.optim import make_optimizer
from lra.training.processes import training_device
from lra.vocabulary import SPLITS

WARM_UP, MEASURED = 2, 6
LIMIT = 50.0  # seconds for the steps, and for the evaluations: slow ones are measured less often


def estimate(config: Config, assembled: Assembled, console: Console) -> None:
    """Train and evaluate a few batches on this device, print time and memory of the whole run; keep nothing.

    With several processes one of them is measured, without their communication.
    """
    trainer, scaled, module = config.trainer, assembled.scaled, assembled.module
    device = training_device(trainer)
    loaders = {split: assembled.loader(split, config.seed) for split in SPLITS}
    for loader in loaders.values():
        loader.sampler.parts = scaled.parts * trainer.processes
    model = module.model.to(device)
    optimizer = make_optimizer(model, config.optimizer)
    batches = iter(loaders["train"])

    def step() -> None:
        nonlocal batches
        for _ in range(scaled.parts):
            if (batch := next(batches, None)) is None:
                batches = iter(loaders["train"])
                batch = next(batches)
            backward(module, model, on_device(batch, device))
        optimizer.step()
        optimizer.zero_grad()

    step_s = _measured("training step", step, device, console)
    first = on_device(next(iter(loaders["val"])), device)
    model.eval()

    @torch.inference_mode()
    def evaluate() -> None:
        model(first.x, first.lengths)

    evaluations = scaled.epochs * len(loaders["val"]) + len(loaders["test"])
    evaluation_s = _measured("validation batch", evaluate, device, console)
    total_s = scaled.steps * step_s + evaluation_s * evaluations / trainer.processes
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    if assembled.random_data:
        grid.add_row("data", "not prepared yet: measured on synthetic input of the greatest length")
    if scaled.parts > 1:
        grid.add_row("batch", f"{scaled.batch_size} in {scaled.parts} parts on each device")
    grid.add_row(
        "speed", f"{duration(step_s)} a step, {1 / step_s:.3g} steps/s on {capture.device_name(device)}"
    )
    grid.add_row("memory", f"{capture.peak_memory(device) / 2**30:.1f} GiB at most")
    grid.add_row(
        "time",
        f"{duration(total_s)} for {scaled.steps:,} steps and {scaled.epochs} validations",
    )
    grid.add_row("", "nothing was trained; without plan=true it is")
    console.print(Panel(grid, title=Text("plan", style="bold"), title_align="left", expand=False))


def _measured(what: str, work: Callable[[], None], device: torch.device, console: Console) -> float:
    """Median seconds of a piece of work, after warm-up if there is time for it; each measurement is said."""
    times: list[float] = []
    while len(times) < WARM_UP + MEASURED and sum(times) + max(times, default=0) <= LIMIT:
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
        warm = " (warm-up)" if len(times) <= WARM_UP else ""
        console.print(f"{what} {len(times)}: {duration(times[-1])}{warm}")
    return statistics.median(times[WARM_UP:] or times[-1:])
