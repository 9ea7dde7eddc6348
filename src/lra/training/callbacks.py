"""Callbacks: measure, and watch for divergence and for runs that are behind the published ones."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lra.config import Expected
from lra.records import capture

WARM_UP_STEPS = 5  # not timed: first steps allocate, plan FFTs and compile
CHECK_EVERY = 20  # steps between looks at the loss; each look waits for the device
RISING = 3.0  # a mean loss this many times that of the first steps is worth a word
NEVER = torch.iinfo(torch.int64).max
CAUSES = (
    "Likely causes, as users of the published code report them: a learning rate too high or a warm-up too short "
    "(for Path-X an author of S4 suggests optimizer.lr=0.0002, 0.0001 for the kernel and 50,000 warm-up steps), an "
    "unlucky seed (4 of 10 failed on Path-X with S5; try seed=1), options of one recipe family with another's."
)


class Diverged(Exception):
    """The loss or the weights are no longer numbers."""


def check_finite(split: str, metrics: Mapping[str, Tensor | float], step: int) -> None:
    """Raise Diverged if one of the split's metrics is NaN or infinite: it is not a result."""
    for name, value in metrics.items():
        if name.startswith(f"{split}/") and not math.isfinite(float(value)):
            raise Diverged(f"{name} is not finite at step {step}")


class Divergence(Callback):
    """Stops the run when a loss or a metric is NaN or infinite, naming the step, and says when the loss is rising.

    The step is noted on the device; the host looks every few steps and before each checkpoint.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self.losses: list[float] = []
        self._first = torch.tensor(NEVER)  # on the device when training starts

    def on_train_start(self, _: pl.Trainer, module: pl.LightningModule) -> None:
        self._first = torch.tensor(NEVER, device=module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, __: Any, batch_idx: int) -> None:
        loss, step = outputs["loss"].detach(), trainer.global_step
        self._first = torch.where(loss.isfinite(), self._first, self._first.clamp(max=step))
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0  # or a part of a batch is over, not a step
        if (whole and step % CHECK_EVERY == 0) or trainer.is_last_batch:
            self.check(trainer)
            self._watch(loss.item() * trainer.accumulate_grad_batches, step)

    def on_validation_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        check_finite("val", trainer.callback_metrics, trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        check_finite("test", trainer.callback_metrics, trainer.global_step)

    def check(self, trainer: pl.Trainer) -> None:
        """Raise Diverged, in every process, if a loss in any of them was not finite."""
        first = int(trainer.strategy.reduce(self._first, reduce_op="min"))
        if first != NEVER:
            raise Diverged(f"the loss is not finite from step {first} on")

    def _watch(self, loss: float, step: int) -> None:
        self.losses.append(loss)
        recent, first = statistics.fmean(self.losses[-5:]), statistics.fmean(self.losses[:5])
        if len(self.losses) >= 10 and recent > RISING * first:
            self.note(f"The loss is rising: {recent:.3g} at step {step}, {first:.3g} at the start.")


class Stopwatch(Callback):
    """Training steps per second, and the share of time spent waiting for data; validation does not count.

    Steps are timed in windows, which end by waiting for the device: it works behind the host's back.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.windows: list[tuple[int, float]] = []  # steps, seconds
        self.train_s = self.waited_s = 0.0
        self._steps, self._batches = 0, 0
        self._begin = self._end = 0.0
        self._paused = True

    def on_train_start(self, _: pl.Trainer, module: pl.LightningModule) -> None:
        capture.reset_memory(module.device)

    def on_train_epoch_start(self, *_: Any) -> None:
        self._paused = True

    def on_save_checkpoint(self, *_: Any) -> None:
        self._paused = True

    def on_train_batch_start(self, *_: Any) -> None:
        now = time.perf_counter()
        if self._paused:
            self._paused, self._steps, self._begin = False, 0, now
        else:
            self.waited_s += now - self._end
        self._end = now

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self._batches += 1
        if self._batches % trainer.accumulate_grad_batches == 0:
            self._steps += 1
            warm = bool(self.windows)
            if self._steps == (CHECK_EVERY if warm else WARM_UP_STEPS) or trainer.is_last_batch:
                if module.device.type == "cuda":
                    torch.cuda.synchronize(module.device)
                now = time.perf_counter()
                self.windows.append((self._steps, now - self._begin))
                module.log("train/samples_per_s", self._steps * self.batch_size / (now - self._begin))
                self.train_s += now - self._begin
                self._steps, self._begin = 0, now
        self._end = time.perf_counter()

    @property
    def steps_per_s(self) -> float | None:
        """Median of the windows after warm-up."""
        timed = self.windows[1:] or self.windows
        return statistics.median(steps / seconds for steps, seconds in timed) if timed else None

    @property
    def samples_per_s(self) -> float | None:
        return None if self.steps_per_s is None else self.steps_per_s * self.batch_size

    @property
    def data_wait(self) -> float | None:
        return min(1.0, self.waited_s / self.train_s) if self.train_s else None


class Trajectory(Callback):
    """Says whether the run is where published runs of the recipe as it stands were at its `expected` epochs."""

    def __init__(self, expected: list[Expected], metric: str, chance: float, note: Callable[[str], None]) -> None:
        self.expected = {point.epoch: point.val for point in expected}
        self.metric, self.chance, self.note = metric, chance, note

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if (published := self.expected.get(epoch)) is None:
            return
        metrics = trainer.callback_metrics
        value, n = 100 * metrics[f"val/{self.metric}"].item(), metrics["val/n"].item()
        noise = max(2.0, 200 * math.sqrt(self.chance * (1 - self.chance) / n))  # two standard errors
        said = f"after epoch {epoch}: {value:.1f} in validation, published runs about {published:g}"
        if value >= published - 1:
            self.note(f"On track {said}.")
        elif value <= 100 * self.chance + noise:
            self.note(f"Still at chance {said}. {CAUSES}")
        else:
            self.note(f"Behind {said}.")
