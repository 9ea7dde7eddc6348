"""How far a run is: a live bar on a terminal, a line now and then elsewhere, and a line for each epoch on both."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.progress import BarColumn, Progress, TextColumn

from lra.terminal import Console

Best = Callable[[], dict[str, float] | None]  # the best row of the learning curve so far


class EpochLines(Callback, ABC):
    """A line for each epoch, and every `seconds` what `tell` makes of the training's state.

    The rate counts validations too, so that the time left is that of the whole run.
    """

    def __init__(self, console: Console, metric: str, seconds: float) -> None:
        self.console, self.metric, self.seconds = console, metric, seconds
        self._begin = self._last = 0.0
        self._first_step = 0

    @abstractmethod
    def tell(self, trainer: pl.Trainer, rate: float, left: float, loss: float) -> None:
        """Show steps a second, seconds left and the loss."""

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self._begin = self._last = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, *__: Any) -> None:
        now, done = time.monotonic(), trainer.global_step - self._first_step
        if now - self._last < self.seconds or not done:
            return
        self._last = now
        rate = done / (now - self._begin)
        left = (trainer.estimated_stepping_batches - trainer.global_step) / rate
        self.tell(trainer, rate, left, outputs["loss"].item())  # reads from the device

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics
        self.console.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  "
            f"train loss {metrics['train/loss_epoch'].item():.3f}  "
            f"val {self.metric} {metrics[f'val/{self.metric}'].item():.4f}",
        )


class PlainProgress(EpochLines):
    """For logs and pipes."""

    def __init__(self, console: Console, metric: str, seconds: float = 30.0) -> None:
        super().__init__(console, metric, seconds)

    def tell(self, trainer: pl.Trainer, rate: float, left: float, loss: float) -> None:
        total = int(trainer.estimated_stepping_batches)
        self.console.print(
            f"step {trainer.global_step}/{total}  {rate:.2f} steps/s  {_clock(left)} left  loss {loss:.3f}"
        )


class LiveProgress(EpochLines):
    """One bar for the whole run: epoch, steps, rate, loss, best validation so far, time left."""

    def __init__(self, console: Console, metric: str, best: Best, *, lines: bool) -> None:
        super().__init__(console, metric, seconds=0.5)
        self.best, self.lines = best, lines
        self.bar = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}{task.fields[words]}"),
            console=console,
            transient=True,
            expand=True,
        )

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_start(trainer, module)
        self.task = self.bar.add_task("", total=int(trainer.estimated_stepping_batches), epoch="", words="")
        self._show(trainer, "")
        self.bar.start()

    def tell(self, trainer: pl.Trainer, rate: float, left: float, loss: float) -> None:
        row = self.best()
        best = f"  best {row[f'val_{self.metric}']:.4f}" if row else ""
        self._show(trainer, f"  {rate:.3g}/s  loss {loss:.3f}{best}  {_clock(left)}")

    def _show(self, trainer: pl.Trainer, words: str) -> None:
        assert trainer.max_epochs is not None  # it has a last one
        epoch = f"epoch {min(trainer.current_epoch + 1, trainer.max_epochs)}/{trainer.max_epochs}"
        self.bar.update(self.task, completed=trainer.global_step, epoch=epoch, words=words)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.lines:
            super().on_train_epoch_end(trainer, module)

    def on_train_end(self, *_: Any) -> None:
        self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.bar.stop()


def progress_callback(console: Console, metric: str, best: Best, brief: bool) -> Callback:
    """The bar on a terminal, lines elsewhere; `brief` leaves the lines out."""
    if console.is_terminal:
        return LiveProgress(console, metric, best, lines=not brief)
    return Callback() if brief else PlainProgress(console, metric)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
