"""One run, from a composed configuration to a finished record."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from rich.console import Console

from lra.config import ROOT, Config, changes
from lra.data.storage import file_sha256
from lra.errors import UserError
from lra.records import capture, store
from lra.records.schema import (
    Best,
    Budget,
    Compute,
    Data,
    Identity,
    Metrics,
    Parameters,
    RunRecord,
    Score,
    Selection,
    Split,
)
from lra.tables.closing import closing
from lra.training.assemble import Assembled, assemble, checkpoints, loggers, make_trainer
from lra.training.callbacks import Diverged, Divergence, Keeper, Stopwatch, Trajectory, progress_callback
from lra.training.optim import group_sizes, parameter_groups
from lra.training.report import card, preparation


def run(
    composed: Mapping[str, Any], *, experiment: str | None = None, overrides: Sequence[str] = ()
) -> RunRecord:
    """Train, select on validation, test once, write the record, print the comparison.

    An identical command finds the finished record and shows it, or goes on from the last checkpoint. Raises
    UserError for what the user can mend; the record then says `failed` and why.
    """
    config = Config.parse(composed)
    console = Console()
    _quiet()
    name, run_id = (
        experiment or f"custom/{composed['task']['_target_'].rpartition('.')[2].lower()}",
        config.run_id(),
    )
    run_dir = config.output_dir / name / run_id
    record_path = config.results_dir / "runs" / name / f"{run_id}.json"
    previous = store.load(record_path) if record_path.exists() else None
    if previous is not None and previous.status == "complete" and not config.force:
        console.print(
            f"This run is finished ({_short(record_path)}); force=true runs it again.", soft_wrap=True
        )
        console.print(closing(previous, config.results_dir))
        return previous
    with _exclusive(run_dir):
        if config.force:
            for part in ("checkpoints", "logs"):
                shutil.rmtree(run_dir / part, ignore_errors=True)
            previous = None
        with preparation(console) as progress:
            assembled = assemble(config, progress)
        record = _start(config, assembled, name, experiment, overrides, run_dir, previous)
        store.write(record, config.results_dir)
        console.print(card(record, _short(run_dir)))
        record = _train(config, assembled, record, run_dir, console)
    console.print(closing(record, config.results_dir))
    console.print(f"record: {_short(record_path)}", soft_wrap=True, highlight=False)
    return record


def _start(
    config: Config,
    assembled: Assembled,
    name: str,
    experiment: str | None,
    overrides: Sequence[str],
    run_dir: Path,
    previous: RunRecord | None,
) -> RunRecord:
    """The record as it stands before the first step."""
    module, plan, spec, meta = assembled.module, assembled.plan, assembled.spec, assembled.prepared.meta
    groups = parameter_groups(module.model, config.optimizer)
    used = {split: len(assembled.splits[split]) for split in assembled.splits}
    return RunRecord(
        run_id=config.run_id(),
        status="running",
        created_utc=previous.created_utc if previous else capture.now(),
        identity=Identity(
            experiment=name,
            changes=changes(config, experiment),
            seed=config.seed,
            overrides=list(overrides),
        ),
        source=config.source,
        config={**config.identity(), "model": plan.model, "scheduler": plan.scheduler.model_dump()},
        data=Data(
            task=spec.name,
            variant=meta.variant,
            fingerprint=meta.fingerprint,
            protocol=spec.protocol,
            splits={s: Split(expected=spec.splits[s], used=used[s]) for s in ("train", "val", "test")},
        ),
        budget=Budget(
            kind=config.budget.kind,
            planned_epochs=plan.epochs,
            planned_steps=plan.steps,
            done_epochs=0,
            done_steps=0,
            fraction=plan.fraction,
            reasons=plan.reasons,
        ),
        metrics=Metrics(
            name=spec.metric,
            higher_is_better=spec.higher_is_better,
            chance=assembled.chance,
            curve=previous.metrics.curve if previous else [],
        ),
        selection=Selection(rule=f"{'max' if spec.higher_is_better else 'min'} val/{spec.metric}"),
        parameters=Parameters(
            total=sum(p.numel() for p in module.model.parameters()),
            trainable=sum(p.numel() for g in groups for p in g["params"]),
            groups=group_sizes(groups),
        ),
        compute=Compute(
            device="cuda" if config.trainer.accelerator != "cpu" and torch.cuda.is_available() else "cpu",
            n_devices=config.trainer.devices,
            cpu=capture.cpu_name(),
            n_threads=torch.get_num_threads(),
            precision=config.trainer.precision,
            wall_s=previous.compute.wall_s if previous else 0.0,
            train_s=previous.compute.train_s if previous else 0.0,
            restarts=previous.compute.restarts + 1 if previous else 0,
        ),
        code=capture.capture_code(run_dir, sys.orig_argv),
    )


def _train(
    config: Config, assembled: Assembled, record: RunRecord, run_dir: Path, console: Console
) -> RunRecord:
    """Fit and test; the record is rewritten after every epoch and at the end, however it ends."""
    module, spec = assembled.module, assembled.spec
    begin, wall_before, train_before = time.monotonic(), record.compute.wall_s, record.compute.train_s
    stopwatch = Stopwatch()
    folder = run_dir / "checkpoints"
    last, (best, keep) = folder / "last.ckpt", checkpoints(folder, spec)

    def measure(trainer: pl.Trainer) -> None:
        compute, device = record.compute, module.device
        compute.device = capture.device_name(device)
        compute.wall_s = wall_before + time.monotonic() - begin
        compute.train_s = train_before + stopwatch.train_s
        compute.steps_per_s, compute.samples_per_s = stopwatch.steps_per_s, stopwatch.samples_per_s
        compute.data_wait, compute.peak_memory_bytes = stopwatch.data_wait, capture.peak_memory(device)
        record.budget.done_steps = trainer.global_step
        record.budget.done_epochs = trainer.global_step / assembled.plan.steps_per_epoch

    def save(trainer: pl.Trainer) -> None:
        measure(trainer)
        row = _curve_row(trainer, spec.metric)
        metrics = record.metrics
        metrics.curve = [r for r in metrics.curve if r["step"] < row["step"]] + [row]
        better = max if spec.higher_is_better else min
        top = better(metrics.curve, key=lambda r: r[f"val_{spec.metric}"])
        metrics.best_val = Best(
            value=top[f"val_{spec.metric}"], epoch=int(top["epoch"]), step=int(top["step"])
        )
        store.write(record, config.results_dir)

    callbacks = [
        Divergence(),
        stopwatch,
        Keeper(save),
        Trajectory(config.expected, spec.metric, assembled.chance or 0.0, console),
        progress_callback(console, spec.metric),
        best,
        keep,
    ]
    logger = loggers(config, run_dir, record.identity.experiment, record.run_id, record.compute.restarts)
    trainer = make_trainer(config, assembled.plan, run_dir, callbacks, logger)
    try:
        resume = last if last.exists() else None
        if resume:
            console.print(f"going on from {_short(last)}", soft_wrap=True)
        trainer.fit(
            module,
            assembled.loader("train", config.seed),
            assembled.loader("val"),
            ckpt_path=resume,
            weights_only=True,
        )
        chosen = Path(best.best_model_path)
        tested = trainer.test(
            module, assembled.loader("test"), ckpt_path=chosen, weights_only=True, verbose=False
        )
        value, n = tested[0][f"test/{spec.metric}"], len(assembled.splits["test"])
        error = math.sqrt(value * (1 - value) / n) if spec.metric == "accuracy" else None
        record.metrics.test = Score(value=value, n=n, standard_error=error)
        record.selection.checkpoint_sha256 = file_sha256(chosen)
        record.selection.n_test_evaluations = 1
        measure(trainer)
        record.finished_utc = capture.now()
        record.status = "complete"
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into SystemExit
        record.status, record.status_reason = "interrupted", f"stopped at step {trainer.global_step}"
        console.print("Interrupted. The same command goes on from the last checkpoint.")
        sys.exit(130)
    except Diverged as error:
        record.status, record.status_reason = "failed", f"diverged: {error}"
        raise UserError(
            f"The run diverged: {error}. Lower the learning rate or lengthen the warm-up; the record says failed."
        ) from None
    except torch.OutOfMemoryError as error:
        record.status, record.status_reason = "failed", f"out of memory at step {trainer.global_step}"
        raise UserError(
            f"Out of memory at step {trainer.global_step} with batches of {assembled.plan.batch_size}: {error}"
        ) from None
    except BaseException as error:
        record.status, record.status_reason = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        store.write(record, config.results_dir)
        if "wandb" in sys.modules:  # or the next run of a sweep would be merged into this one
            sys.modules["wandb"].finish()
    return record


def _curve_row(trainer: pl.Trainer, metric: str) -> dict[str, float]:
    values = trainer.callback_metrics
    return {
        "epoch": trainer.current_epoch + 1,
        "step": trainer.global_step,
        "train_loss": values["train/loss_epoch"].item(),
        "val_loss": values["val/loss"].item(),
        f"val_{metric}": values[f"val/{metric}"].item(),
        "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
    }


def _exclusive(run_dir: Path) -> AbstractContextManager:
    """A lock on the run's folder, held. Raises UserError if another process holds it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(run_dir / "lock").acquire(timeout=0)
    except Timeout:
        raise UserError(f"This run is going on in another process (lock {run_dir / 'lock'}).") from None


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _quiet() -> None:
    """Lightning's chatter is on our card; its remark about workers does not apply to whole-batch loading."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    os.environ.setdefault("WANDB_SILENT", "true")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty.")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.* is deprecated.*")
