"""What a run says on the terminal: progress of preparation, and the card at the start."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lra.data.task import Progress as Report
from lra.paths import CHECKOUT
from lra.records.revision import REFUSED
from lra.records.schema import RunRecord
from lra.terminal import Console, counted
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
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    identity, data, budget, compute = record.identity, record.data, record.budget, record.compute
    if identity.changes:
        grid.add_row("changes", ", ".join(identity.changed))
    for swap in swaps:
        grid.add_row("swap", swap)
    if record.source:
        grid.add_row("source", f"{record.source.paper} (arXiv {record.source.arxiv}); {record.source.table}")
        for deviation in record.source.deviations:
            grid.add_row("deviation", deviation)
    sizes = " / ".join(f"{data.splits[s].used:,}" for s in SPLITS)
    grid.add_row("data", f"{data.task}, {data.variant} ({data.fingerprint}): {sizes} train / val / test")
    grid.add_row("protocol", data.protocol.replace("_", " "))
    model = record.config["model"]
    grid.add_row(
        "model",
        f"{counted(model['layers'], 'layer')}, {counted(model['features'], 'feature')}, "
        f"{counted(record.parameters.total, 'parameter')}",
    )
    for group, size in record.parameters.groups.items():
        grid.add_row("", f"{size:,} at {group}")
    planned = f"{counted(budget.planned_epochs, 'epoch')}, {counted(budget.planned_steps, 'step')}"
    whole = "whole" if record.source is None else "paper"  # of a run that follows no paper
    grid.add_row("budget", f"{whole if budget.kind == 'paper' else budget.kind}: {planned}")
    for reason in budget.reasons:
        grid.add_row("", f"only {reason}")
    device = f"{compute.cpu}, {counted(compute.n_threads, 'core')}" if compute.device == "cpu" else compute.device
    grid.add_row("device", f"{device}, {compute.precision}")
    if record.code.git_unknown:
        grid.add_row("code", f"{record.code.label}; {record.code.git_unknown}")
    if record.code.git_unknown == REFUSED:
        grid.add_row("", f"git config --global --add safe.directory {CHECKOUT}")
    grid.add_row("folder", run_dir)
    rest = f"  seed {identity.seed}  run {record.run_id}"
    title = Text.assemble((identity.experiment, "bold"), rest)  # a str would be read as markup
    return Panel(grid, title=title, title_align="left", expand=False)
