"""One run, from a composed configuration to a finished record."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from rich.console import Console

from lra import cpu
from lra.config import ROOT, Config
from lra.data.storage import file_sha256
from lra.errors import UserError
from lra.records import capture, store
from lra.records.schema import Best, RunRecord, Score
from lra.tables.closing import closing
from lra.training.assemble import Assembled, assemble, loggers, make_trainer
from lra.training.callbacks import Diverged, Divergence, Stopwatch, Trajectory, progress_callback
from lra.training.checkpoint import Keeper, newest
from lra.training.memory import AutoBatch, is_out_of_memory
from lra.training.opening import opening
from lra.training.plan import estimate
from lra.training.processes import Interrupted, Stop, check_launch, is_main, process_group, requeue
from lra.training.report import card, preparation


def run(
    composed: Mapping[str, Any], *, experiment: str | None = None, overrides: Sequence[str] = ()
) -> RunRecord | None:
    """Train, select on validation, test once, write the record, print the comparison; return the record.

    An identical command finds the finished record and shows it, or goes on from the last checkpoint. Raises
    UserError for what the user can mend; the record then says `failed` and why. Where several processes train
    together each of them calls this, and the first alone writes and speaks.
    """
    config = Config.parse(composed)
    check_launch(config.trainer)
    console = Console(quiet=not is_main())
    _settle()
    name = experiment or f"custom/{composed['task']['_target_'].rpartition('.')[2].lower()}"
    run_id = config.run_id()
    if config.plan:
        with preparation(console) as progress, TemporaryDirectory() as nowhere:
            assembled = assemble(config, progress)
            record = opening(config, assembled, name, experiment, overrides, Path(nowhere), None)
        console.print(card(record, "none"))
        estimate(config, assembled, console)
        return None
    run_dir = config.output_dir / name / run_id
    record_path = config.results_dir / "runs" / name / f"{run_id}.json"
    previous = store.load(record_path) if record_path.exists() and not config.force else None
    if previous is not None and previous.status == "complete":
        console.print(
            f"This run is finished ({_short(record_path)}); force=true runs it again.", soft_wrap=True
        )
        console.print(closing(previous, config.results_dir))
        return previous
    stop = Stop()
    with _exclusive(run_dir), process_group(), stop.caught():
        if config.force and is_main():
            for part in ("checkpoints", "logs"):
                shutil.rmtree(run_dir / part, ignore_errors=True)
        with preparation(console) as progress:
            assembled = assemble(config, progress)
        record = opening(config, assembled, name, experiment, overrides, run_dir, previous)
        _write(record, config.results_dir)
        console.print(card(record, _short(run_dir)))
        record = Training(config, assembled, record, run_dir, console, stop).run()
    console.print(closing(record, config.results_dir))
    console.print(f"record: {_short(record_path)}", soft_wrap=True, highlight=False)
    return record


class Training:
    """Fits and tests; the record is rewritten with every checkpoint and at the end, however it ends."""

    def __init__(
        self,
        config: Config,
        assembled: Assembled,
        record: RunRecord,
        run_dir: Path,
        console: Console,
        stop: Stop,
    ) -> None:
        self.config, self.assembled, self.record = config, assembled, record
        self.run_dir, self.console, self.stop = run_dir, console, stop
        self.module, self.spec = assembled.module, assembled.spec
        self.begin, self.wall_before = time.monotonic(), record.compute.wall_s
        self.train_before = record.compute.train_s
        self.stopwatch = Stopwatch(assembled.plan.batch_size)
        divergence = Divergence(self.note)
        self.keeper = Keeper(
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
            progress_callback(console, self.spec.metric),
            self.keeper,
        ]
        plan = assembled.plan
        self.train_loader = assembled.loader("train", config.seed)
        self.val_loader = assembled.loader("val")
        if config.trainer.auto_batch:
            both = [self.train_loader, self.val_loader]
            callbacks.append(AutoBatch(both, plan.batch_size, config.trainer.precision, self.note))
        logger = loggers(config, run_dir, record.identity.experiment, record.run_id)
        self.trainer = make_trainer(config, plan, run_dir, callbacks, logger)

    def run(self) -> RunRecord:
        """Train from the newest checkpoint, if there is one, and test. Raises UserError if it cannot be done."""
        try:
            with _sentences(self.record, self.trainer, self.assembled.plan.batch_size):
                self._fit()
                self._test()
        except Interrupted as interrupted:
            self._say_interrupted(interrupted.signum)
            sys.exit(128 + interrupted.signum if is_main() else 0)
        finally:
            if "wandb" in sys.modules:  # or the next run of a sweep would be merged into this one
                sys.modules["wandb"].finish()
            _write(self.record, self.config.results_dir)
        return self.record

    def note(self, sentence: str) -> None:
        """Say something about the run's health, once, and keep it in the record."""
        if sentence not in self.record.health:
            self.record.health.append(sentence)
            self.console.print(f"[yellow]{sentence}[/]", highlight=False)

    def save(self, trainer: pl.Trainer) -> None:
        """Bring the record up to date with the checkpoint just written."""
        self._measure()
        metrics, best = self.record.metrics, self.keeper.best
        metrics.curve = list(self.keeper.curve)
        if best is not None:
            metrics.best_val = Best(
                value=best[f"val_{self.spec.metric}"], epoch=int(best["epoch"]), step=int(best["step"])
            )
        _write(self.record, self.config.results_dir)

    def _fit(self) -> None:
        resume = None if self.config.force else newest(self.keeper.folder, self.console.print)
        if resume:
            self.console.print(f"going on from {_short(resume)}", soft_wrap=True)
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
        record, best = self.record, self.keeper.best_path
        loader = self.assembled.loader("test", parts=self.trainer.accumulate_grad_batches)
        tested = self.trainer.test(self.module, loader, ckpt_path=best, weights_only=True, verbose=False)
        record.metrics.test = Score.of(self.spec.metric, tested[0])
        record.selection.checkpoint_sha256 = file_sha256(best)
        record.selection.n_test_evaluations = 1
        self._measure()
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
        self.record.budget.done_steps = self.trainer.global_step
        self.record.budget.done_epochs = self.trainer.global_step / self.assembled.plan.steps_per_epoch

    def _say_interrupted(self, signum: int) -> None:
        record = self.record
        record.status, record.status_reason = "interrupted", f"stopped at step {self.trainer.global_step}"
        queued = is_main() and signum != 2 and requeue()
        then = "SLURM will go on with it" if queued else "The same command goes on from the last checkpoint"
        self.console.print(f"Interrupted. {then}.")


@contextmanager
def _sentences(record: RunRecord, trainer: pl.Trainer, batch_size: int) -> Iterator[None]:
    """Turn what can end a run into a status with a reason, and what the user can mend into a UserError."""

    def failed(reason: str) -> None:
        record.status, record.status_reason = "failed", capture.anonymous(reason)

    step = lambda: f"at step {trainer.global_step}"  # noqa: E731
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
        raise Interrupted(2) from None
    except Diverged as error:
        failed(f"diverged: {error}")
        raise UserError(
            f"The run diverged: {error}. Lower the learning rate or lengthen the warm-up; the record says failed. "
            "The same command goes on from the last good checkpoint."
        ) from None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            failed(f"{type(error).__name__}: {error}")
            raise
        failed(f"out of memory {step()}")
        raise UserError(
            f"Out of memory {step()} with batches of {batch_size}: {error}\ntrainer.auto_batch=true computes a batch "
            "in parts that fit; the same command with it goes on from the last checkpoint."
        ) from None
    except UnpicklingError as error:
        failed("the checkpoint is not plain data")
        raise UserError(
            f"A checkpoint holds more than plain data and was not loaded, because that could run foreign code. "
            f"Delete it, or run again with force=true. ({str(error).splitlines()[0]})"
        ) from None
    except Exception as error:
        failed(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        raise


def _write(record: RunRecord, results_dir: Path) -> None:
    """Write the record, in one process only."""
    if is_main():
        store.write(record, results_dir)


def _exclusive(run_dir: Path) -> Any:
    """A lock on the run's folder, held by the main process. Raises UserError if another run holds it."""
    if not is_main():
        return nullcontext()
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(run_dir / "lock").acquire(timeout=0)
    except Timeout:
        raise UserError(f"This run is going on in another process (lock {run_dir / 'lock'}).") from None


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _settle() -> None:
    """Full float32 products, a tuned CPU, and quiet libraries: what Lightning says is on our card."""
    torch.set_float32_matmul_precision("highest")
    cpu.tune()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    os.environ.setdefault("WANDB_SILENT", "true")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.* is deprecated.*")
