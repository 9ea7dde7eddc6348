"""What a heavy run takes on a CPU, said before anything is prepared."""

from __future__ import annotations

from typing import NamedTuple

import torch

from lra.config import Config
from lra.data.spec import TaskSpec
from lra.terminal import duration
from lra.training.budget import scale

# From results/benchmarks/step-cpu.json, S4D recipes on two cores: a step trains 25 to 42 million numbers (batch ×
# length × features × layers) a second and keeps 16 to 43 bytes for each. Evaluation does a third of the work.
NUMBERS_PER_CORE_SECOND = 15e6
BYTES_PER_NUMBER = 25
EVALUATION = 1 / 3
HEAVY = 3600.0  # seconds; less is not worth a word


class Needs(NamedTuple):
    """Of a whole run: numbers (batch × length × features × layers) trained, evaluation counted by its share, those
    of one step, and bytes of its data."""

    numbers: float
    step_numbers: float
    data_bytes: float


def needs(config: Config, spec: TaskSpec) -> Needs:
    """What a run of state space layers takes, at the task's greatest length."""
    scaled = scale(config, spec, dict(spec.splits), spec.splits["train"])
    width = scaled.model["features"] * scaled.model["layers"] * (1 + spec.paired)
    length = min(spec.max_length, config.budget.train_length or spec.max_length)
    trained = scaled.epochs * scaled.train_samples * length
    evaluated = EVALUATION * (scaled.epochs * scaled.val_samples + scaled.test_samples) * spec.max_length
    item = 1 if spec.kind == "tokens" else spec.inputs
    data = sum(spec.splits.values()) * spec.max_length * item
    return Needs(width * (trained + evaluated), width * scaled.batch_size * length, data)


def forecast(config: Config, spec: TaskSpec) -> str | None:
    """A sentence for a run of state space layers that would take more than an hour on this CPU, else None."""
    on_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    if on_gpu or not config.kernel:
        return None
    run = needs(config, spec)
    seconds = run.numbers / (NUMBERS_PER_CORE_SECOND * torch.get_num_threads())
    if seconds < HEAVY:
        return None
    memory, disk = run.step_numbers * BYTES_PER_NUMBER / 2**30, run.data_bytes / 2**30
    return (
        f"On this CPU the run takes about {duration(seconds)}, at least {memory:.1f} GiB of memory and "
        f"{disk:.1f} GiB of disk for its data. This is an estimate; plan=true measures time and memory. "
        "To try it smaller: budget=demo, or budget=reduced budget.epochs=1 budget.train_samples=5000."
    )
