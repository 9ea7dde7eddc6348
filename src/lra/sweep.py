"""Sweeps: all jobs are checked before the first one trains, a job that fails ends no other, and a table ends them.

A run is a line there: its card and its epochs are shown where it has a log of its own, on a cluster.
With joblib, Ray or SLURM the jobs are other processes, so each notes its end in a file of the sweep's folder.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from lra.cli import explain_errors, explanation, tracebacks
from lra.errors import UserError
from lra.paths import workspace
from lra.plausible import located
from lra.terminal import Console, complain, duration

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from lra.records.schema import RunRecord

NOTES = "jobs"  # folder below hydra.sweep.dir
SHARED = ("BasicLauncher", "JoblibLauncher")  # whose jobs write to the terminal of the sweep


class Sweep(Callback):
    """What Hydra calls in the process that starts the jobs, whatever sweeper and launcher it uses."""

    folder: ClassVar[Path | None] = None  # of the sweep that this process has started

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check the jobs, and let Optuna live with failed ones."""
        Sweep.folder = Path(config.hydra.sweep.dir)
        for note in (Sweep.folder / NOTES).glob("*.json"):  # of an earlier sweep that was given the same folder
            note.unlink()
        if "max_failure_rate" in config.hydra.sweeper:
            with read_write(config.hydra.sweeper):
                config.hydra.sweeper.max_failure_rate = 1.0
        with explain_errors():
            check(config)


@contextmanager
def reported() -> Iterator[None]:
    """Around a command that may be a sweep: show its runs as a table and list the jobs that failed, however it ends.

    Exits with 1 if one failed.
    """
    try:
        yield
    except Exception as error:
        if Sweep.folder is None or tracebacks() or explanation(error) is not None:
            raise
        complain(f"The sweep ended early: {type(error).__name__}: {error}\nThe same command runs what is not complete.")
        _sum_up()
        sys.exit(1)
    except BaseException:
        _sum_up()
        raise
    if _sum_up():
        sys.exit(1)


def shares_terminal(hydra: HydraConf) -> bool:
    """Whether this is a job of a sweep that has no log of its own."""
    return hydra.mode == RunMode.MULTIRUN and str(hydra.launcher.get("_target_")).endswith(SHARED)


@contextmanager
def job(hydra: HydraConf, results_dir: str) -> Iterator[list[RunRecord]]:
    """Inside a job, which appends its record: say and note how it ends.

    A failure goes no further, except to a sweeper that counts them.
    """
    finished: list[RunRecord] = []
    try:
        yield finished
    except Exception as error:
        message = explanation(error)
        complain(f"error: {message}" if message else traceback.format_exc())
        _note(hydra, message or f"{type(error).__name__}: {error}")
        if "max_failure_rate" in hydra.sweeper:  # Optuna; other sweepers would stop here
            raise
    else:
        _note(hydra, None, finished, workspace() / located("results_dir", results_dir))
        if finished and shares_terminal(hydra):
            _show(f"#{hydra.job.num} {_line(finished[0])}")


def check(config: DictConfig) -> None:
    """Say which jobs of a grid cannot run. Raises UserError if none can, HydraException if one cannot be composed.

    The trials of a search (Optuna) are not known beforehand.
    """
    from hydra.core.global_hydra import GlobalHydra

    from lra.composition import as_dict, with_swaps
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
        tree = as_dict(composed, resolve=True)
        key = json.dumps(tree | {"seed": None}, default=str)
        if key not in problems:
            try:
                check_run(Config.parse(with_swaps(tree, overrides)[0]))
                problems[key] = None
            except UserError as error:
                problems[key] = str(error)
        if problem := problems[key]:
            refused.append(f"#{number} {_own(overrides, jobs)}: {problem}")
    if refused and len(refused) == len(jobs):
        raise UserError("\n".join(dict.fromkeys(p for p in problems.values() if p)))
    if refused:
        complain("\n".join([f"{len(refused)} of {len(jobs)} jobs cannot run; the others do:", *refused]))


def _grid(config: DictConfig, loader: Any) -> list[list[str]]:
    """The overrides of each job, as Hydra's own sweeper numbers them; empty for other sweepers."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    sweeper = config.hydra.sweeper
    if not str(sweeper.get("_target_")).endswith(f".{BasicSweeper.__name__}"):
        return []
    given = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*given, *config.hydra.overrides.task])
    (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    if not jobs:
        raise UserError("The sweep has no runs: one of its lists is empty, such as a glob that matches nothing.")
    return jobs


def _note(hydra: HydraConf, error: str | None, finished: Sequence[RunRecord] = (), results_dir: Path = Path()) -> None:
    """Write down how a job ended, and where its record is. Raises UserError if that is not possible."""
    from lra.files import write_text
    from lra.records import store
    from lra.records.capture import anonymous

    note = anonymous({"overrides": list(hydra.overrides.task), "error": error})
    note["records"] = [str(store.path(record, results_dir)) for record in finished]
    write_text(Path(hydra.sweep.dir) / NOTES / f"{hydra.job.num}.json", json.dumps(note))


def _line(record: RunRecord) -> str:
    """A run in one line: what it changed, its seed, its result and its time."""
    from lra.tables import text

    words = " ".join([record.identity.experiment, *record.identity.changed, f"seed={record.identity.seed}"])
    return f"{words}: {text.excluded(record)}, {duration(record.compute.wall_s)}"


def _sum_up() -> bool:
    """Show the runs of this process's sweep as a table, say which jobs failed, and whether any did."""
    if Sweep.folder is None:
        return False
    files = sorted((Sweep.folder / NOTES).glob("*.json"), key=lambda file: int(file.stem))
    notes = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    jobs = [note["overrides"] for note in notes.values()]
    _table(notes.values())
    failed = {number: note for number, note in notes.items() if note["error"] is not None}
    if failed:
        lines = [f"#{n} {_own(note['overrides'], jobs)}: {note['error']}" for n, note in failed.items()]
        complain("\n".join([f"{len(failed)} of {len(notes)} runs failed:", *lines]))
    return bool(failed)


def _table(notes: Collection[dict[str, Any]]) -> None:
    """The records by what the jobs varied, seeds of one kind in one line."""
    from lra.composition import flat
    from lra.records import store
    from lra.tables import group
    from lra.tables.render import terminal_document

    paths = dict.fromkeys(path for note in notes for path in note["records"])
    records = [store.load(Path(path)) for path in paths if Path(path).exists()]
    if len(records) < 2:
        return
    configs = [flat(record.config) for record in records]
    jobs = [note["overrides"] for note in notes]
    varied = {text.partition("=")[0] for job in jobs for text in _varied(job, jobs)}
    keys = sorted(key for key in varied if key != "seed" and all(key in config for config in configs))
    _show(terminal_document(group.document(group.group(records, keys), compact=True)))


def _show(words: Any) -> None:
    Console().print(words, soft_wrap=isinstance(words, str))


def _varied(overrides: list[str], jobs: list[list[str]]) -> list[str]:
    """The overrides that not all jobs share."""
    return [text for text in overrides if not all(text in job for job in jobs)]


def _own(overrides: list[str], jobs: list[list[str]]) -> str:
    """What tells a job from the others, in words."""
    return " ".join(_varied(overrides, jobs) or overrides)
