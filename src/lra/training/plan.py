"""What a run would cost: a few real steps, measured, and what follows from them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import torch
from rich.text import Text

from lra.config import Config
from lra.records import capture
from lra.terminal import Console, counted, duration, framed
from lra.training.assemble import Assembled
from lra.training.memory import backward, on_device
from lra.training.optim import make_optimizer
from lra.training.processes import training_device

WARM_UP, MEASURED = 2, 6
LIMIT = 40.0  # seconds for the steps, and for the evaluations: slow ones are measured less often, or on fewer samples


def estimate(config: Config, assembled: Assembled, console: Console) -> None:
    """Train and evaluate a few batches on this device, print time and memory of the whole run; keep nothing.

    With several processes one of them is measured, without their communication.
    """
    trainer, scaled, module = config.trainer, assembled.scaled, assembled.module
    device = training_device(trainer)
    model = module.model.to(device)
    wanted = scaled.batch_size // trainer.processes // scaled.parts
    step_s, samples = _training_step(config, assembled, wanted, device, console)
    loaders = {split: assembled.loader(split) for split in ("val", "test")}
    for loader in loaders.values():
        loader.sampler.parts = -(-scaled.batch_size // samples)
    batches = list(loaders["val"].sampler)
    middle = on_device(loaders["val"].dataset[batches[len(batches) // 2]], device)  # they may be sorted by length
    model.eval()

    @torch.inference_mode()
    def evaluate() -> None:
        model(middle.x, middle.lengths)

    evaluations = scaled.epochs * len(loaders["val"]) + len(loaders["test"])
    evaluation_s = _measured("validation batch", evaluate, device, console)
    total_s = scaled.steps * step_s + evaluation_s * evaluations / trainer.processes
    rows = []
    if assembled.random_data:
        rows.append(("data", "not prepared yet: measured on synthetic input of the greatest length"))
    if scaled.parts > 1:
        rows.append(("batch", f"{scaled.batch_size} in {scaled.parts} parts on each device"))
    rows.append(("speed", f"{duration(step_s)} a step, {1 / step_s:.3g} steps/s on {capture.device_name(device)}"))
    memory = f"{capture.peak_memory(device) / 2**30:.1f} GiB at most"
    if samples < wanted:
        rows.append(("", f"estimated from steps on {samples} of {wanted} samples, since whole ones are slow"))
        memory += f" with {samples} at once (trainer.micro_batch={samples}), more with {wanted}"
    counts = f"{counted(scaled.steps, 'step')} and {counted(scaled.epochs, 'validation')}"
    rows += [
        ("memory", memory),
        ("time", f"{duration(total_s)} for {counts}"),
        ("", "nothing was trained; without plan=true it is"),
    ]
    console.print(framed(Text("plan", style="bold"), rows))


def _training_step(
    config: Config, assembled: Assembled, wanted: int, device: torch.device, console: Console
) -> tuple[float, int]:
    """Seconds of a step on `wanted` samples at once; on fewer where that takes too long, and on how many."""
    module, own = assembled.module, assembled.scaled.batch_size // config.trainer.processes
    loader = assembled.loader("train", config.seed)
    optimizer = make_optimizer(module.model, config.optimizer)

    def train(samples: int, parts: int) -> Callable[[], None]:
        loader.sampler.parts = -(-assembled.scaled.batch_size // samples)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))  # one epoch after the other

        def work() -> None:
            for batch in itertools.islice(batches, parts):
                backward(module, module.model, on_device(batch, device))
            optimizer.step()
            optimizer.zero_grad()

        return work

    sample_s = _timed(train(1, 1), device)
    if sample_s < LIMIT / 4:  # the first one loads libraries
        sample_s = _timed(train(1, 1), device)
    console.print(f"one sample: {duration(sample_s)}")
    if sample_s * own <= LIMIT:
        return _measured("training step", train(wanted, own // wanted), device, console), wanted
    samples = min(wanted, int(LIMIT / 4 / sample_s))
    if samples <= 1:
        return own * sample_s, 1
    part_s = _measured(f"step on {samples} of {wanted} samples,", train(samples, 1), device, console)
    return own / samples * part_s, samples


def _measured(what: str, work: Callable[[], None], device: torch.device, console: Console) -> float:
    """Median seconds of a piece of work, after warm-up if there is time for it; each measurement is said."""
    times: list[float] = []
    while len(times) < WARM_UP + MEASURED and sum(times) + max(times, default=0) <= LIMIT:
        times.append(_timed(work, device))
        warm = " (warm-up)" if len(times) <= WARM_UP else ""
        console.print(f"{what} {len(times)}: {duration(times[-1])}{warm}")
    return statistics.median(times[WARM_UP:] or times[-1:])


def _timed(work: Callable[[], None], device: torch.device) -> float:
    """Seconds of a piece of work."""
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin
