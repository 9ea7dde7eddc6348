"""Sweeps: all jobs are checked before the first one trains, a job that fails ends no other, failures are listed.

With joblib, Ray or SLURM the jobs are other processes, so each notes its end in a file of the sweep's folder.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lra.cli import explain_errors, explanation, tracebacks
from lra.errors import UserError

NOTES = "jobs"  # folder below hydra.sweep.dir


class Sweep(Callback):
    """What Hydra calls in the process that starts the jobs, whatever sweeper and launcher it uses."""

    folder: ClassVar[Path | None] = None  # of the sweep that this process has started

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check the jobs, and let Optuna live with failed ones."""
        Sweep.folder = Path(config.hydra.sweep.dir)
        if "max_failure_rate" in config.hydra.sweeper:
            with read_write(config.hydra.sweeper):
                config.hydra.sweeper.max_failure_rate = 1.0
        with explain_errors():
            check(config)


@contextmanager
def reported() -> Iterator[None]:
    """Around a command that may be a sweep: list the jobs that failed, however it ends, and exit with 1."""
    try:
        yield
    except Exception as error:
        if Sweep.folder is None or tracebacks() or explanation(error) is not None:
            raise
        _say(
            f"The sweep ended early: {type(error).__name__}: {error}\nThe same command runs what is not complete."
        )
        _list_failures()
        sys.exit(1)
    except BaseException:
        _list_failures()
        raise
    if _list_failures():
        sys.exit(1)


@contextmanager
def job(hydra: DictConfig) -> Iterator[None]:
    """Inside a job: say and note how it ends. A failure goes no further, except to a sweeper that counts them."""
    try:
        yield
    except Exception as error:
        message = explanation(error)
        _say(f"error: {message}" if message else traceback.format_exc())
        _note(hydra, message or f"{type(error).__name__}: {error}")
        if "max_failure_rate" in hydra.sweeper:  # Optuna; other sweepers would stop here
            raise
    else:
        _note(hydra, None)


def check(config: DictConfig) -> None:
    """Say which jobs of a grid cannot run. Raises UserError if none can, HydraException if one cannot be composed.

    The trials of a search (Optuna) are not known beforehand.
    """
    from hydra.core.global_hydra import GlobalHydra

    from lra.composition import settle
    from lra.config import Config
    from lra.training.assemble import check as check_run

    loader = GlobalHydra.instance().config_loader()
    jobs = _grid(config, loader)
    problems: dict[str, str | None] = {}  # by configuration without its seed
    refused: list[str] = []
    for number, overrides in enumerate(jobs):
        composed = loader.load_sweep_config(config, overrides)
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        tree = OmegaConf.to_container(composed, resolve=True)
        key = json.dumps(tree | {"seed": None}, default=str)
        if key not in problems:
            try:
                check_run(Config.parse(settle(tree, overrides)[0]))
                problems[key] = None
            except UserError as error:
                problems[key] = str(error)
        if problem := problems[key]:
            refused.append(f"#{number} {_own(overrides, jobs)}: {problem}")
    if refused and len(refused) == len(jobs):
        raise UserError("\n".join(dict.fromkeys(p for p in problems.values() if p)))
    if refused:
        _say("\n".join([f"{len(refused)} of {len(jobs)} jobs cannot run; the others do:", *refused]))


def _grid(config: DictConfig, loader: Any) -> list[list[str]]:
    """The overrides of each job, as Hydra's own sweeper numbers them; empty for other sweepers."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    sweeper = config.hydra.sweeper
    if not str(sweeper.get("_target_")).endswith(f".{BasicSweeper.__name__}"):
        return []
    given = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(
        [*given, *config.hydra.overrides.task]
    )
    (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return jobs


def _note(hydra: DictConfig, error: str | None) -> None:
    """Write down how a job ended. Raises UserError if that is not possible."""
    from lra.files import write_text
    from lra.records.capture import anonymous

    note = anonymous({"overrides": list(hydra.overrides.task), "error": error})
    write_text(Path(hydra.sweep.dir) / NOTES / f"{hydra.job.num}.json", json.dumps(note))


def _list_failures() -> bool:
    """Say which jobs of this process's sweep failed, and whether any did."""
    if Sweep.folder is None:
        return False
    files = sorted((Sweep.folder / NOTES).glob("*.json"), key=lambda file: int(file.stem))
    notes = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    jobs = [note["overrides"] for note in notes.values()]
    failed = {number: note for number, note in notes.items() if note["error"] is not None}
    if failed:
        lines = [f"#{n} {_own(note['overrides'], jobs)}: {note['error']}" for n, note in failed.items()]
        _say("\n".join([f"{len(failed)} of {len(notes)} runs failed:", *lines]))
    return bool(failed)


def _own(overrides: list[str], jobs: list[list[str]]) -> str:
    """The overrides that not all jobs share."""
    return " ".join(text for text in overrides if not all(text in job for job in jobs)) or " ".join(overrides)


def _say(message: str) -> None:
    from lra.terminal import complain

    complain(message)
