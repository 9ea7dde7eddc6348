"""What a run says on the terminal: progress of preparation, and the card at the start."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from lra.data.task import Progress as Report
from lra.paths import CHECKOUT
from lra.records.revision import REFUSED
from lra.records.schema import RunRecord
from lra.terminal import Console, counted, framed
from lra.vocabulary import SPLITS


@contextmanager
def preparation(console: Console, seconds: float = 10.0) -> Iterator[Report]:
    """A Report that draws a bar on a terminal and prints a line every few seconds elsewhere."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            tasks: dict[str, TaskID] = {}

            def draw(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)

            yield draw
        return
    last = 0.0

    def line(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            console.print(f"{what}: {100 * done / total:.0f} %")

    yield line


def card(record: RunRecord, run_dir: str, swaps: Sequence[str] = ()) -> Panel:
    """What is about to run, on one screen; `swaps` says which parts are not the recipe's."""
    identity, source, data, budget = record.identity, record.source, record.data, record.budget
    compute, code, model = record.compute, record.code, record.config["model"]
    rows = []
    if identity.changes:
        rows.append(("changes", ", ".join(identity.changed)))
    rows += [("swap", swap) for swap in swaps]
    if source:
        rows.append(("source", f"{source.paper} (arXiv {source.arxiv}); {source.table}"))
        rows += [("deviation", deviation) for deviation in source.deviations]
    samples = " / ".join(f"{data.splits[s].used:,}" for s in SPLITS)
    sizes = [counted(model["layers"], "layer"), counted(model["features"], "feature")]
    rows += [
        ("data", f"{data.task}, {data.variant} ({data.fingerprint}): {samples} train / val / test"),
        ("protocol", data.protocol.replace("_", " ")),
        ("model", ", ".join([*sizes, counted(record.parameters.total, "parameter")])),
        *(("", f"{size:,} at {group}") for group, size in record.parameters.groups.items()),
    ]
    kind = "whole" if budget.kind == "paper" and source is None else budget.kind  # of a run that follows no paper
    planned = f"{counted(budget.planned_epochs, 'epoch')}, {counted(budget.planned_steps, 'step')}"
    device = f"{compute.cpu}, {counted(compute.n_threads, 'core')}" if compute.device == "cpu" else compute.device
    rows += [
        ("budget", f"{kind}: {planned}"),
        *(("", f"only {reason}") for reason in budget.reasons),
        ("device", f"{device}, {compute.precision}"),
    ]
    if code.git_unknown:
        rows.append(("code", f"{code.label}; {code.git_unknown}"))
    if code.git_unknown == REFUSED:
        rows.append(("", f"git config --global --add safe.directory {CHECKOUT}"))
    rows.append(("folder", run_dir))
    title = Text.assemble((identity.experiment, "bold"), f"  seed {identity.seed}  run {record.run_id}")
    return framed(title, rows)
