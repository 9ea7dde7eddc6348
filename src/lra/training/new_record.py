"""The record of a run as it stands before the first step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lra import cpu
from lra.config import Config, changes
from lra.records import capture
from lra.records.capture import anonymous
from lra.records.schema import (
    Budget,
    Compute,
    Data,
    Identity,
    Metrics,
    Parameters,
    RunRecord,
    Selection,
    Split,
)
from lra.records.sources import changed
from lra.training.assemble import Assembled
from lra.training.budget import planned
from lra.training.optim import group_label, parameter_groups
from lra.training.processes import precision, training_device
from lra.vocabulary import SPLITS


def new_record(
    config: Config,
    assembled: Assembled,
    name: str,
    experiment: str | None,
    overrides: Sequence[str],
    run_dir: Path,
    previous: RunRecord | None,
) -> RunRecord:
    """A record with `status: running`; `previous` is the one an earlier start of the same run left, to be resumed."""
    module, scaled, spec = assembled.module, assembled.scaled, assembled.spec
    groups = parameter_groups(module.model, config.optimizer)
    resolved = planned(config, scaled)
    record = RunRecord(
        run_id=config.run_id(),
        status="running",
        created_utc=capture.now(),
        identity=Identity(
            experiment=name,
            changes=anonymous(changes(config, experiment)),
            seed=config.seed,
            overrides=anonymous(list(overrides)),
        ),
        source=config.source,
        config=anonymous(resolved),
        data=Data(
            task=spec.name,
            variant=assembled.variant,
            fingerprint=assembled.fingerprint,
            protocol=spec.protocol,
            splits={s: Split(expected=spec.splits[s], used=len(assembled.splits[s])) for s in SPLITS},
        ),
        budget=Budget(
            kind=config.budget.kind,
            planned_epochs=scaled.epochs,
            planned_steps=scaled.steps,
            done_epochs=0,
            done_steps=0,
            fraction=scaled.fraction,
            reasons=scaled.reasons,
        ),
        metrics=Metrics(
            name=spec.metric,
            higher_is_better=spec.higher_is_better,
            chance=assembled.chance,
        ),
        selection=Selection(rule=f"{'max' if spec.higher_is_better else 'min'} val/{spec.metric}"),
        parameters=Parameters(
            total=sum(p.numel() for p in module.model.parameters()),
            trainable=sum(p.numel() for g in groups for p in g["params"]),
            groups={group_label(g): sum(p.numel() for p in g["params"]) for g in groups},
        ),
        compute=Compute(
            device=capture.device_name(training_device(config.trainer)),
            n_devices=config.trainer.processes,
            cpu=cpu.model_name(),
            n_threads=torch.get_num_threads(),
            precision=precision(config.trainer),
        ),
        code=capture.capture_code(run_dir, sys.orig_argv, resolved),
    )
    return record if previous is None else _resumed(record, previous)


def _resumed(record: RunRecord, previous: RunRecord) -> RunRecord:
    """The record with what was done until now, and a sentence if the model's code is another than before."""
    budget, metrics, compute = previous.budget, previous.metrics, previous.compute
    record.created_utc, record.earlier, record.health = previous.created_utc, previous.starts(), list(previous.health)
    record.budget.done_epochs, record.budget.done_steps = budget.done_epochs, budget.done_steps
    record.metrics.best_val, record.metrics.curve = metrics.best_val, metrics.curve
    record.compute.wall_s, record.compute.train_s = compute.wall_s, compute.train_s
    record.compute.restarts = compute.restarts + 1
    if (names := changed(previous.code.sources, previous.config)) and record.earlier:
        steps = record.earlier[-1].steps
        record.health.append(f"The code changed at step {steps}, where the run was resumed: {', '.join(names)}.")
    return record
