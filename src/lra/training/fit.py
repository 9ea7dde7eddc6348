"""The part of a run that trains: fit, select on validation, test once, the record kept up to date.

What Lightning calls, in this order:

- on resuming, `on_load_checkpoint` (`ResumeState`) and `load_state_dict` (`BestAndLast`, `Loader`);
- `on_train_start`: `ResumeState` restores random numbers, `BestAndLast` deletes what lies beyond and takes the signals;
- for each batch, `training_step`, `on_before_optimizer_step` (rates and norms for the loggers), and
  `on_train_batch_end`: `Divergence` looks at the loss, `Stopwatch` and the progress count, `BestAndLast` saves if it is
  time, or asked to stop;
- after the last batch of an epoch, `validation_step` and `on_validation_epoch_end` (the plateau schedule), and
  `on_train_epoch_end`: `Trajectory`, the line of progress, and `BestAndLast`, which adds to the curve and saves;
- on saving, `on_save_checkpoint` (`ResumeState`) and `state_dict` (`BestAndLast`, `Loader`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import pytorch_lightning as pl

from lra.config import Config
from lra.data.hashes import file_sha256
from lra.errors import Interrupted, UserError
from lra.paths import short
from lra.records import capture, store
from lra.records.schema import Best, RunRecord, Score
from lra.terminal import Console, complain
from lra.training.assemble import Assembled, make_trainer
from lra.training.budget import Scaled
from lra.training.callbacks import Diverged, Divergence, Stopwatch, Trajectory
from lra.training.checkpoint import BestAndLast, newest
from lra.training.graphs import Graphs
from lra.training.loggers import make_loggers
from lra.training.memory import is_out_of_memory
from lra.training.processes import StopSignal, is_main, training_device
from lra.training.progress import RunProgress
from lra.training.resume import ResumeState
from lra.training.selfcheck import self_check


class Training:
    """Fits and tests; the record is rewritten with every checkpoint and at the end, however it ends."""

    def __init__(
        self,
        config: Config,
        assembled: Assembled,
        record: RunRecord,
        run_dir: Path,
        console: Console,
        stop: StopSignal,
        *,
        brief: bool,
    ) -> None:
        self.config, self.assembled, self.record = config, assembled, record
        self.run_dir, self.console, self.stop = run_dir, console, stop
        self.module, self.spec = assembled.module, assembled.spec
        self.begin, self.wall_before = time.monotonic(), record.compute.wall_s
        self.train_before = record.compute.train_s
        self.stopwatch = Stopwatch(assembled.scaled.batch_size)
        divergence = Divergence(self.note)
        self.checkpoints = BestAndLast(
            run_dir / "checkpoints",
            config.trainer.checkpoint_minutes,
            self.spec.metric,
            self.spec.higher_is_better,
            stop=stop,
            divergence=divergence,
            on_save=self.save,
        )
        callbacks = [
            divergence,
            self.stopwatch,
            Trajectory(config.expected, self.spec.metric, assembled.chance or 0.0, self.note),
            RunProgress(console, self.spec.metric, lambda: self.checkpoints.best, brief=brief),
            ResumeState(),
            self.checkpoints,
        ]
        scaled = assembled.scaled
        self.train_loader = assembled.loader("train", config.seed)
        self.val_loader = assembled.loader("val")
        if scaled.parts > 1 and scaled.model["norm"] == "batch":
            self.note(
                f"A batch of {scaled.batch_size} is computed in {scaled.parts} parts on each device; normalization "
                "over the batch sees a part at a time."
            )
        if config.trainer.cuda_graphs and config.trainer.processes * scaled.parts == 1:
            self.module.call = Graphs(self.module.model, self.note)
        loggers = make_loggers(config, record, run_dir)
        self.trainer = make_trainer(config, scaled, run_dir, callbacks, loggers)

    def run(self) -> RunRecord:
        """Train from the newest checkpoint, if there is one, and test. Raises UserError if it cannot be done."""
        try:
            with _explained(self.record, self.trainer, self.assembled.scaled):
                self._check_device()
                self._fit()
                self._test()
        except Interrupted:
            self.record.status = "interrupted"
            self.record.status_reason = f"stopped at step {self.trainer.global_step}"
            raise
        finally:
            write(self.record, self.config.results_dir)
            self._leave_wandb()
        return self.record

    def note(self, sentence: str) -> None:
        """Say something about the run's health, once, and keep it in the record."""
        if sentence not in self.record.health:
            self.record.health.append(sentence)
            self.console.print(sentence, style="yellow")

    def save(self, trainer: pl.Trainer) -> None:
        """Bring the record up to date with the checkpoint just written."""
        self._measure()
        metrics, best = self.record.metrics, self.checkpoints.best
        metrics.curve = list(self.checkpoints.curve)
        if best is not None:
            metrics.best_val = Best(
                value=best[f"val_{self.spec.metric}"], epoch=int(best["epoch"]), step=int(best["step"])
            )
        write(self.record, self.config.results_dir)

    def _check_device(self) -> None:
        device = training_device(self.config.trainer)
        if device.type == "cuda":
            self.record.compute.self_check = self_check(device, self.note)

    def _fit(self) -> None:
        resume = None if self.config.force else newest(self.checkpoints.folder, self.console.print)
        if resume:
            self.console.print(f"resuming from {short(resume)}", soft_wrap=True)
        self.trainer.fit(
            self.module,
            self.train_loader,
            self.val_loader,
            ckpt_path=resume,
            weights_only=True,
        )
        self.save(self.trainer)
        if self.stop.signum is not None:
            raise Interrupted(self.stop.signum)

    def _test(self) -> None:
        record, best = self.record, self.checkpoints.best_path
        loader = self.assembled.loader("test")
        tested = self.trainer.test(self.module, loader, ckpt_path=best, weights_only=True, verbose=False)
        record.metrics.test = Score.of(self.spec.metric, tested[0])
        record.selection.checkpoint_sha256 = file_sha256(best)
        record.selection.n_test_evaluations = 1
        self._measure()
        self.stop.deferred = True  # the result is there: a signal now comes too late to take it away
        record.finished_utc = capture.now()
        record.status = "complete"

    def _measure(self) -> None:
        compute, device, watch = self.record.compute, self.module.device, self.stopwatch
        compute.device = capture.device_name(device)
        compute.accumulate = self.trainer.accumulate_grad_batches
        compute.wall_s = self.wall_before + time.monotonic() - self.begin
        compute.train_s = self.train_before + watch.train_s
        compute.steps_per_s, compute.samples_per_s = watch.steps_per_s, watch.samples_per_s
        compute.data_wait, compute.peak_memory_bytes = watch.data_wait, capture.peak_memory(device)
        compute.reserved_memory_bytes = capture.reserved_memory(device)
        self.record.budget.done_steps = self.trainer.global_step
        self.record.budget.done_epochs = self.trainer.global_step / self.assembled.scaled.steps_per_epoch

    def _leave_wandb(self) -> None:
        """End its run, or the next one of a sweep would be merged into this one; a failure is no failure of ours."""
        if "wandb" not in sys.modules:
            return
        try:
            sys.modules["wandb"].finish()
        except Exception as error:
            complain(f"W&B did not finish: {error}")


@contextmanager
def _explained(record: RunRecord, trainer: pl.Trainer, scaled: Scaled) -> Iterator[None]:
    """Turn what can end a run into a status with a reason, and what the user can fix into a UserError."""

    def failed(reason: str) -> None:
        record.status, record.status_reason = "failed", capture.anonymous(reason)

    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
        raise Interrupted(2) from None
    except Diverged as error:
        failed(f"diverged: {error}")
        raise UserError(
            f"The run diverged: {error}. Lower the learning rate or lengthen the warm-up; the record says failed. "
            "The same command resumes from the last good checkpoint."
        ) from None
    except UnpicklingError as error:
        failed("the checkpoint is not plain data")
        raise UserError(
            f"The checkpoint {trainer.ckpt_path} holds more than plain data and was not loaded, because that could run "
            "foreign code. Delete it: the same command then resumes from the one before it. "
            f"({str(error).splitlines()[0]})"
        ) from None
    except Exception as error:
        if isinstance(error, (RuntimeError, MemoryError)) and is_out_of_memory(error):
            where = f"at step {trainer.global_step}"
            failed(f"out of memory {where}")
            raise UserError(
                f"Out of memory {where} with batches of {scaled.batch_size}: {error}\n{_smaller(trainer, scaled)}"
            ) from None
        failed(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        raise


def _smaller(trainer: pl.Trainer, scaled: Scaled) -> str:
    """What to do where a batch does not fit into memory."""
    at_once = scaled.batch_size // trainer.world_size // scaled.parts
    if at_once == 1:
        return "One sample is computed at a time already: use a device with more memory."
    half = max(n for n in range(1, at_once) if at_once % n == 0)
    return (
        f"trainer.micro_batch={half} computes {half} samples at a time and adds their gradients up; the same command "
        "with it resumes from the last checkpoint."
    )


def write(record: RunRecord, results_dir: Path) -> None:
    """Write the record, in one process only."""
    if is_main():
        store.write(record, results_dir)
