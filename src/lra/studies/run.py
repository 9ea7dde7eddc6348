"""Run a study: one process a run, so that a failure stops nothing else; what is recorded is skipped."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.live import Live
from rich.table import Table
from rich.text import Text

from lra.errors import UserError
from lra.files import until_edited
from lra.paths import workspace
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.jobs import Job, progress, seconds_left, state
from lra.terminal import Console

TRAIN = ("-m", "lra", "train")
STYLES = {
    "complete": "green",
    "failed": "red",
    "unreadable": "red",
    "running": "cyan",
    "interrupted": "yellow",
}


def run_all(
    jobs: Sequence[Job], console: Console, launcher: str | None = None, limit: float | None = None
) -> dict[str, int]:
    """Run what is not complete; the number of jobs in each state at the end.

    Here, one after the other, column by column, so that a study names its cheapest column first; with a `launcher`
    of Hydra's (slurm, ray) all cells at once, the seeds of a cell as one array. Ctrl-C stops what is running here
    (it resumes next time) and the study with it. The runs share a `limit` in seconds: each may take what the ones
    before it left.
    """
    end = math.inf if limit is None else time.monotonic() + limit
    columns = list(dict.fromkeys(job.column for job in jobs))
    waiting = [job for job in jobs if state(job) != "complete"]
    waiting.sort(key=lambda job: columns.index(job.column))
    with _display(jobs, console) as show:
        if launcher is None:
            for job in waiting:
                if time.monotonic() < end:
                    _finish([(_start(job, limited(job.arguments, end)), [job])], show)
        else:
            cells = _cells(waiting)
            _finish([(_start(cell[0], limited(sweep(cell, launcher), end)), cell) for cell in cells], show)
    return tally(jobs)


def limited(arguments: tuple[str, ...], end: float) -> tuple[str, ...]:
    """Arguments of a run that stops by `end`, on the clock of time.monotonic."""
    if end == math.inf:
        return arguments
    return (*arguments, f"trainer.time_limit={max(1, math.ceil(end - time.monotonic()))}s")


def sweep(cell: Sequence[Job], launcher: str) -> tuple[str, ...]:
    """Arguments of `lra train` that hand the runs of one cell to a launcher."""
    seeds = ",".join(str(job.seed) for job in cell)
    shared = [a for a in cell[0].arguments if not a.startswith("seed=")]
    return ("-m", f"hydra/launcher={launcher}", *shared, f"seed={seeds}")


def _cells(jobs: Sequence[Job]) -> list[list[Job]]:
    return [[job for job in jobs if job.cell == cell] for cell in dict.fromkeys(job.cell for job in jobs)]


def _finish(going: list[tuple[subprocess.Popen, list[Job]]], show: Callable[..., None]) -> None:
    """Wait for processes and show how their jobs get on."""
    try:
        while going:
            for process, jobs in list(going):
                if process.poll() is not None:
                    going.remove((process, jobs))
                    for job in jobs:
                        show(None, finished=job)
            if going:
                show(going[0][1][0])
                time.sleep(0.5)
    except KeyboardInterrupt:
        for process, _ in going:
            process.wait()  # it got the signal too, and saves before it goes
        raise


def tally(jobs: Sequence[Job]) -> dict[str, int]:
    """How many jobs are in each state."""
    states = [state(job) for job in jobs]
    return {s: states.count(s) for s in dict.fromkeys(states)}


def log_path(job: Job) -> Path:
    """Where a run of a study writes what it says."""
    return job.run_dir / "study.log"


def overview(jobs: Sequence[Job], current: Job | None = None) -> Table:
    """The table of `status`, and of `run` while it is running.

    `reduced` counts recorded runs of the same recipe, changes and seed that were cut; they complete no cell.
    """
    table = Table(box=None, pad_edge=False)
    cut = _reduced(jobs)
    headings = ("cell", "seed", "state", "done", "val", "test", *(["reduced"] if any(cut) else []))
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("cell", "state") else "right")
    for job, reduced in zip(jobs, cut, strict=True):
        now = "running" if job is current else state(job)
        record = None if now in ("not run", "unreadable") or not job.record_path.exists() else job.record()
        best, test = (record.metrics.best_val, record.metrics.test) if record else (None, None)
        table.add_row(
            job.cell,
            str(job.seed),
            Text(now, style=STYLES.get(now, "dim")),
            f"{100 * progress(job):.0f} %" if now != "not run" else "",
            f"{best.value:.4f}" if best else "",
            f"{test.value:.4f}" if test else "",
            *([str(reduced or "")] if any(cut) else []),
        )
    return table


def _reduced(jobs: Sequence[Job]) -> list[int]:
    """For each job the number of records that differ from its run in the budget alone."""
    found = []
    for job in jobs:
        others = (file for file in job.record_path.parent.glob("*.json") if file != job.record_path)
        alike = [r for r in map(_loaded, others) if r and r.identity.changes == job.changes]
        found.append(sum(r.identity.seed == job.seed and r.budget.kind != "paper" for r in alike))
    return found


@until_edited
def _loaded(file: Path) -> RunRecord | None:
    """A record, or None for a file that cannot be read."""
    try:
        return store.load(file)
    except UserError:
        return None


def _start(job: Job, arguments: Sequence[str]) -> subprocess.Popen:
    """`lra train` in a process of its own; what it says goes to the job's file. No shell sees the arguments."""
    path = log_path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as log:
        return subprocess.Popen(
            [sys.executable, *TRAIN, *arguments],
            cwd=workspace(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )


@contextmanager
def _display(jobs: Sequence[Job], console: Console) -> Iterator:
    """A function that shows where the study stands: a live table, or a line a finished run."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2) as live:

            def draw(current: Job | None, finished: Job | None = None) -> None:
                table = overview(jobs, current)
                left = seconds_left(jobs)
                table.caption = "time left unknown" if left is None else f"about {left / 3600:.1f} h left"
                live.update(table)

            yield draw
        return

    def say(current: Job | None, finished: Job | None = None) -> None:
        if finished is not None:
            now = state(finished)
            where = "" if now == "complete" else f", see {log_path(finished)}"
            console.print(f"{finished.name}: {now}{where}", soft_wrap=True)

    yield say
