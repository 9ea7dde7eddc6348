"""Callbacks: measure, watch for divergence, show progress, keep the record up to date."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBar, RichProgressBarTheme
from rich.console import Console

from lra.config import Expected
from lra.data.spec import Batch

WARM_UP_STEPS = 5  # not timed: first steps allocate, plan FFTs and compile
CHECK_EVERY = 20  # steps between looks at the loss; each look waits for the device


class Diverged(Exception):
    """The loss is no longer a number."""


class Divergence(Callback):
    """Stops the run when the loss is NaN or infinite, and says at which step it was seen."""

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, *__: Any) -> None:
        step = trainer.global_step
        last = trainer.is_last_batch
        if (step % CHECK_EVERY == 0 or last) and not torch.isfinite(outputs["loss"]).item():
            raise Diverged(f"loss is {outputs['loss'].item()} at step {step}")


class Stopwatch(Callback):
    """Median training steps per second and the share of time spent waiting for data."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.waits: list[float] = []
        self.samples = 0
        self.train_s = 0.0
        self._end = self._start = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._end = time.perf_counter()

    def on_train_batch_start(self, _: pl.Trainer, __: pl.LightningModule, batch: Batch, *___: Any) -> None:
        self._start = time.perf_counter()
        self.samples = len(batch.y)
        self.waits.append(self._start - self._end)

    def on_train_batch_end(self, *_: Any) -> None:
        now = time.perf_counter()
        self.times.append(now - self._end)
        self.train_s += now - self._end
        self._end = now

    @property
    def steps_per_s(self) -> float | None:
        timed = self.times[WARM_UP_STEPS:] or self.times
        return 1 / statistics.median(timed) if timed else None

    @property
    def samples_per_s(self) -> float | None:
        return None if self.steps_per_s is None else self.steps_per_s * self.samples

    @property
    def data_wait(self) -> float | None:
        return sum(self.waits) / sum(self.times) if self.times else None


class Keeper(Callback):
    """Calls `save(trainer)` after every validation, so that a crash leaves the record of what was reached."""

    def __init__(self, save: Callable[[pl.Trainer], None]) -> None:
        self.save = save

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self.save(trainer)


class Trajectory(Callback):
    """Says whether the run is where published runs were at the recipe's `expected` epochs."""

    def __init__(self, expected: list[Expected], metric: str, chance: float, console: Console) -> None:
        self.expected = {point.epoch: point.val for point in expected}
        self.metric, self.chance, self.console = metric, chance, console

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if (published := self.expected.get(trainer.current_epoch + 1)) is None:
            return
        value = 100 * trainer.callback_metrics[f"val/{self.metric}"].item()
        if value >= published - 1:
            self.console.print(f"[green]on track:[/] {value:.1f} (published runs: about {published:g})")
        elif value <= 100 * self.chance + 2:
            self.console.print(
                f"[red]still at chance ({value:.1f}), where published runs reach about {published:g}.[/] Likely "
                "causes: learning rate too high or warm-up too short, the range of step sizes, the seed."
            )
        else:
            self.console.print(f"[yellow]behind:[/] {value:.1f} (published runs: about {published:g})")


class PlainProgress(Callback):
    """A line every `seconds`, and one an epoch, for logs and pipes."""

    def __init__(self, console: Console, metric: str, seconds: float = 30.0) -> None:
        self.console, self.metric, self.seconds = console, metric, seconds
        self._begin = self._last = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self._begin = self._last = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, *__: Any) -> None:
        now = time.monotonic()
        if now - self._last < self.seconds:
            return
        self._last = now
        total = int(trainer.estimated_stepping_batches)
        rate = (trainer.global_step - self._first_step) / (now - self._begin)
        left = (total - trainer.global_step) / rate
        self.console.print(
            f"step {trainer.global_step}/{total}  {rate:.2f} steps/s  {_clock(left)} left  "
            f"loss {outputs['loss'].item():.3f}",
            highlight=False,
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics
        self.console.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  "
            f"train loss {metrics['train/loss_epoch'].item():.3f}  "
            f"val {self.metric} {metrics[f'val/{self.metric}'].item():.4f}",
            highlight=False,
        )


def progress_callback(console: Console, metric: str) -> Callback:
    """A live bar with rate and time left on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        return RichProgressBar(leave=False, theme=RichProgressBarTheme(metrics_format=".3f"))
    return PlainProgress(console, metric)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
