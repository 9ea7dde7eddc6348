"""How far a run is: a live bar on a terminal, a line now and then elsewhere, and a line for each epoch on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.progress import BarColumn, Progress, TextColumn

from lra.terminal import Console


class RunProgress(Callback):
    """Steps, rate, loss and time left of the whole run, and a line for each epoch; `brief` leaves out all lines.

    The rate counts validations too, so that the time left is that of the whole run. `best` gives the best row of the
    learning curve so far.
    """

    def __init__(
        self, console: Console, metric: str, best: Callable[[], dict[str, float] | None], *, brief: bool
    ) -> None:
        self.console, self.metric, self.best, self.brief = console, metric, best, brief
        self.live = console.is_terminal
        self.seconds = 0.5 if self.live else 30.0
        self.bar = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}{task.fields[words]}"),
            console=console,
            transient=True,
            expand=True,
        )
        self._begin = self._last = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self._begin = self._last = time.monotonic()
        self._first_step = trainer.global_step
        if self.live:
            self.task = self.bar.add_task("", total=int(trainer.estimated_stepping_batches), epoch="", words="")
            self._draw(trainer, "")
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, outputs: Any, *__: Any) -> None:
        now, step = time.monotonic(), trainer.global_step
        if now - self._last < self.seconds or step == self._first_step:
            return
        self._last = now
        rate = (step - self._first_step) / (now - self._begin)
        left = _clock((trainer.estimated_stepping_batches - step) / rate)
        loss = outputs["loss"].item()  # reads from the device
        if self.live:
            row = self.best()
            best = f"  best {row[f'val_{self.metric}']:.4f}" if row else ""
            self._draw(trainer, f"  {rate:.3g}/s  loss {loss:.3f}{best}  {left}")
        elif not self.brief:
            total = int(trainer.estimated_stepping_batches)
            self.console.print(f"step {step}/{total}  {rate:.2f} steps/s  {left} left  loss {loss:.3f}")

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if self.brief:
            return
        metrics = trainer.callback_metrics
        self.console.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  "
            f"train loss {metrics['train/loss_epoch'].item():.3f}  "
            f"val {self.metric} {metrics[f'val/{self.metric}'].item():.4f}",
        )

    def on_train_end(self, *_: Any) -> None:
        if self.live:
            self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()

    def _draw(self, trainer: pl.Trainer, words: str) -> None:
        assert trainer.max_epochs is not None  # it has a last one
        epoch = f"epoch {min(trainer.current_epoch + 1, trainer.max_epochs)}/{trainer.max_epochs}"
        self.bar.update(self.task, completed=trainer.global_step, epoch=epoch, words=words)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
