"""A finished run again: found by its name, put together from its record, tested as it is or with changes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from lra import history
from lra.composition import as_dict, compose
from lra.config import NODES, Config, is_data_place
from lra.data.datasets import Loader, Strided
from lra.data.hashes import file_sha256
from lra.data.task import silent
from lra.errors import UserError
from lra.nodes import check_foreign
from lra.records import capture, store
from lra.records.schema import EvaluationRecord, RunRecord, Score
from lra.records.sources import changed
from lra.terminal import complain
from lra.training.assemble import Assembled, assemble, make_trainer
from lra.training.callbacks import Diverged, check_finite
from lra.training.checkpoint import saved
from lra.training.processes import check_launch, is_main, precision, prepare_process

OPEN = ("task.", "trainer.", "data_dir=", "output_dir=", "results_dir=")  # overrides that a finished run can bear


@dataclass(frozen=True)
class Finished:
    """A finished run: its record, the configuration to load it with, and its best checkpoint."""

    record: RunRecord
    config: Config
    rate: int  # every rate-th position of the signals is used
    checkpoint: Path
    step: int  # of the checkpoint


def find(run: str, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> Finished:
    """The finished run that `run` names: its id or the beginning of it, or the path of its record.

    `overrides` are those of the command line: task options, paths, devices. `allow` names the packages or modules
    besides this one that the record's classes may come from. Raises UserError if there is no such run, or several,
    or if it did not finish, or if its best checkpoint is gone or changed.
    """
    if fixed := [text for text in overrides if not text.startswith(OPEN)]:
        raise UserError(
            f"{fixed[0]}: a finished run is evaluated as it was trained. What can be given: "
            f"{', '.join(f'{key}…' for key in OPEN)}"
        )
    task = [text for text in overrides if text.startswith("task.")]
    composed = compose([text for text in overrides if text not in task])
    record = store.find(run, Config.parse(composed).results_dir)
    best = record.metrics.best_val
    if record.status != "complete" or best is None:
        raise UserError(f"Run {record.run_id} is {record.status}; only a complete run can be evaluated again.")
    recorded = history.completed(record.config)
    typed = [text.partition("=")[0] for text in overrides]
    given = {key: value for key, value in composed["trainer"].items() if f"trainer.{key}" in typed}
    resolved = {**composed, **recorded, "trainer": composed["trainer"] | recorded["trainer"] | given}
    resolved["task"] = resolved["task"] | as_dict(OmegaConf.from_dotlist(task), resolve=False).get("task", {})
    rate = resolved["task"].pop("rate", 1)
    if type(rate) is not int or rate < 1:
        raise UserError(f"task.rate is {rate!r}; it must be a whole number of at least 1.")
    check_foreign({name: resolved[name] for name in NODES}, allow)
    config = Config.parse(resolved)
    folder = config.output_dir / record.identity.experiment / record.run_id / "checkpoints"
    checkpoint = saved(folder).get(best.step)
    if checkpoint is None or file_sha256(checkpoint) != record.selection.checkpoint_sha256:
        raise UserError(
            f"The best checkpoint of run {record.run_id} (step {best.step}) is not in {folder}, or "
            "is another than the record names. Give output_dir=… if it lies elsewhere; force=true trains the run anew, "
            "and discards the checkpoints it has."
        )
    return Finished(record, config, rate, checkpoint, best.step)


def evaluate(run: str, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> tuple[EvaluationRecord, Path]:
    """Test a finished run on its test split, with changes such as `task.rate=2`; write and return the record.

    Nothing of the run itself is changed. Of several processes that test together the first alone writes. Raises
    UserError as `find` does.
    """
    finished = find(run, overrides, allow)
    record, config = finished.record, finished.config
    check_launch(config.trainer)
    prepare_process(config.trainer)
    if names := changed(record.code.sources, record.config):
        complain(
            f"The code of this run has changed since: {', '.join(names)}. What follows is the result of today's code "
            f"with the weights of the earlier ({record.code.label})."
        )
    assembled = assemble(config, silent)
    loader = _loader(assembled, finished.rate)
    trainer = make_trainer(config, assembled.scaled, finished.checkpoint.parent, [], [])
    state = torch.load(finished.checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    assembled.module.load_state_dict(state)
    (logged,) = trainer.test(assembled.module, loader, verbose=False)
    try:
        check_finite("test", logged, finished.step)
    except Diverged as error:
        raise UserError(f"The test of run {record.run_id} has no result: {error}.") from None
    changes, used, data = task_changes(overrides), precision(config.trainer), assembled.fingerprint
    evaluation = EvaluationRecord(
        evaluation_id=_hash({"run": record.run_id, "changes": changes, "precision": used, "data": data}),
        run_id=record.run_id,
        experiment=record.identity.experiment,
        created_utc=capture.now(),
        changes=changes,
        variant=assembled.variant,
        fingerprint=data,
        metric=assembled.spec.metric,
        test=Score.of(assembled.spec.metric, logged),
        checkpoint_sha256=file_sha256(finished.checkpoint),
        device=capture.device_name(assembled.module.device),
        precision=used,
        code=capture.capture_code(finished.checkpoint.parents[1], sys.orig_argv, record.config),
    )
    if is_main():
        store.write_evaluation(evaluation, config.results_dir)
    return evaluation, store.evaluation_path(evaluation, config.results_dir)


def task_changes(overrides: Sequence[str]) -> dict[str, str]:
    """What overrides change of the task, by dotted keys; where its data lie is no change."""
    typed = dict(text.partition("=")[::2] for text in overrides if text.startswith("task."))
    return capture.anonymous({key: value for key, value in typed.items() if not is_data_place(key)})


def _loader(assembled: Assembled, rate: int) -> Loader:
    """The test split, every rate-th position of it; the model's step size is made as much longer."""
    if rate > 1 and assembled.spec.kind == "tokens":
        raise UserError(f"task.rate={rate} needs a sampled signal, but {assembled.spec.name} consists of tokens.")
    assembled.module.rate = float(rate)
    loader = assembled.loader("test")
    return Loader(Strided(loader.dataset, rate), loader.sampler)


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
