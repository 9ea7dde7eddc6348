"""Checkpoints: `step-<step>-<checksum>.ckpt`, written whole; a damaged one is known by its name."""

from __future__ import annotations

import hashlib
import io
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lra.data.hashes import file_sha256
from lra.errors import Interrupted, UserError
from lra.files import write_bytes
from lra.training.callbacks import Diverged, Divergence
from lra.training.processes import StopSignal

AGREE_EVERY = 10  # steps between the questions of several processes to each other; each waits for all devices
NOT_WRITTEN = (
    "The checkpoints before it are unchanged. Free some space or fix the folder; the same command then "
    "resumes from there."
)
NAME = re.compile(r"step-(\d{8})-([0-9a-f]{16})\.ckpt")


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint `step-<step>` under its full name, at once: it is there completely or not at all.

    It carries the id of its run; those of other runs are not loaded.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save({**checkpoint, "run_id": self.run_id}, buffer)
        content = buffer.getbuffer()
        write_bytes(Path(f"{path}-{hashlib.sha256(content).hexdigest()[:16]}.ckpt"), content, NOT_WRITTEN)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Lightning's, for a checkpoint of this run. Raises UserError for others."""
        checkpoint = super().load_checkpoint(path, *arguments, **options)
        found = checkpoint.get("run_id") if isinstance(checkpoint, dict) else None
        if found != self.run_id:
            whose = f"run {found}" if found else "no known run"
            raise UserError(
                f"{path} is a checkpoint of {whose}, not of run {self.run_id}. Move it away, or begin again with "
                "force=true."
            )
        return checkpoint


def saved(folder: Path) -> dict[int, Path]:
    """The checkpoints of a run by step, in order."""
    found = ((NAME.fullmatch(path.name), path) for path in folder.glob("step-*.ckpt"))
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def is_whole(path: Path) -> bool:
    """Whether the file is what was written: its checksum is in its name."""
    match = NAME.fullmatch(path.name)
    return match is not None and file_sha256(path).startswith(match[2])


def newest(folder: Path, report: Callable[[str], None]) -> Path | None:
    """The newest undamaged checkpoint; `report` hears of damaged ones."""
    for path in reversed(saved(folder).values()):
        if is_whole(path):
            return path
        report(f"{path.name} is damaged; going back to the checkpoint before it.")
    return None


class BestAndLast(Checkpoint):
    """Saves after every epoch, every `minutes` in between and when asked to stop.

    Two checkpoints are kept, and the best by the validation metric that either of them knows. Its state, saved
    with them, is the learning curve and the best point: what a resumed run starts from.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        metric: str,
        higher_is_better: bool,
        *,
        stop: StopSignal,
        divergence: Divergence,
        on_save: Callable[[pl.Trainer], None],
    ) -> None:
        self.folder, self.minutes = folder, minutes
        self.metric, self.higher_is_better = metric, higher_is_better
        self.stop, self.divergence, self.on_save = stop, divergence, on_save
        self.curve: list[dict[str, float]] = []
        self._kept: list[list[int]] = []  # steps of the files that each of the last two checkpoints needs
        self._last = 0.0

    @property
    def best(self) -> dict[str, float] | None:
        """The row of the curve with the best validation metric; the first of equals."""
        better = max if self.higher_is_better else min
        return better(self.curve, key=lambda row: row[f"val_{self.metric}"]) if self.curve else None

    @property
    def best_path(self) -> Path:
        """The checkpoint of the best row. Raises UserError if it is gone or damaged."""
        path = saved(self.folder).get(int(self.best["step"])) if self.best else None
        if path is None or not is_whole(path):
            raise UserError(
                f"The best checkpoint (step {self.best['step'] if self.best else 'none'}) is missing from "
                f"{self.folder} or damaged, so the run cannot be tested. If there is no copy of it, the run must be "
                f"trained anew: force=true does, and discards its other checkpoints ({len(saved(self.folder))})."
            )
        return path

    def state_dict(self) -> dict[str, Any]:
        return {"curve": self.curve, "kept": self._kept[-1]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curve, self._kept = state["curve"], [state["kept"]]

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if trainer.is_global_zero:  # what lies beyond the point the run resumes from is made again
            for step, path in saved(self.folder).items():
                if step > trainer.global_step:
                    path.unlink()
            for path in self.folder.glob(".*.partial"):  # of a process that was killed
                path.unlink()
        self._last = time.monotonic()
        self.stop.deferred = True
        self.stop.install()

    def on_train_end(self, *_: Any) -> None:
        self.stop.deferred = False

    def on_exception(self, *_: Any) -> None:
        self.stop.deferred = False

    def on_train_batch_end(self, trainer: pl.Trainer, _: Any, __: Any, ___: Any, batch_idx: int) -> None:
        # The last batch is followed by validation and the epoch's own checkpoint; gradients are not saved.
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if trainer.world_size > 1 and trainer.global_step % AGREE_EVERY:
            return
        due = time.monotonic() - self._last >= 60 * self.minutes
        if _any(trainer, due or self.stop.due):
            self._save(trainer)
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        values = trainer.callback_metrics
        self.curve.append(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "train_loss": values["train/loss_epoch"].item(),
                "val_loss": values["val/loss"].item(),
                f"val_{self.metric}": values[f"val/{self.metric}"].item(),
                "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            }
        )
        self._save(trainer)
        self._stop_if_asked(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        self.divergence.check(trainer)
        if not all(torch.isfinite(p).all() for p in trainer.lightning_module.parameters()):
            raise Diverged(f"parameters are not finite at step {trainer.global_step}")
        needed = [trainer.global_step, *([int(self.best["step"])] if self.best else [])]
        self._kept = [*self._kept[-1:], needed]
        trainer.save_checkpoint(self.folder / f"step-{trainer.global_step:08}")
        if trainer.is_global_zero:
            keep = {step for steps in self._kept for step in steps}
            for step, path in saved(self.folder).items():
                if step not in keep:
                    path.unlink()
        self._last = time.monotonic()
        self.on_save(trainer)
        trainer.strategy.barrier()

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        if _any(trainer, self.stop.due):
            self.stop.deferred = False
            raise Interrupted(self.stop.signum if self.stop.due else signal.SIGTERM)  # or another process's


def _any(trainer: pl.Trainer, decision: bool) -> bool:
    """Whether any of the processes says so; all of them hear the same."""
    return trainer.strategy.reduce_boolean_decision(decision, all=False)
