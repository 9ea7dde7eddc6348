"""Get or make the data of tasks: lra data pathx   (without a task: show what is ready)

Files of your own, official folders, parquet or npz: lra data image --root FILE_OR_FOLDER
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lra.cli import count
from lra.data.catalog import make_task, ready, task_names
from lra.errors import Interrupted, UserError, key_value
from lra.paths import workspace
from lra.vocabulary import SPLITS


def main(arguments: list[str]) -> int:
    from lra.terminal import Console, complain
    from lra.training.processes import StopSignal

    options = parser().parse_args(arguments)
    console = Console()
    names = chosen(options.task)
    failed = False
    for name in names:
        try:
            with StopSignal().caught():
                prepare(name, options, console)
        except UserError as error:
            failed = True
            complain(f"{name}: error: {error}")
        except Interrupted as interrupted:
            complain(f"{name}: interrupted; the same command resumes from what is there.")
            return interrupted.exit_status
    console.print(summary(options.data_dir, names))
    return 2 if failed else 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="lra data", description=__doc__.split("\n")[0])
    p.add_argument("task", nargs="*", help=f"one or more of: {', '.join(task_names())}; or all")
    p.add_argument("--source", help="generate | download | files | standin (default: see configs/task/)")
    p.add_argument("--root", type=Path, help="folder or file with raw data (default: <data-dir>/raw)")
    p.add_argument("--workers", type=count, help="threads for decoding and generating (default: all cores)")
    p.add_argument("--data-dir", type=Path, default=workspace() / "data", help="where prepared data go")
    p.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], help="other options of the task")
    p.add_argument("--official", type=Path, metavar="FOLDER", help="also write the official file layout")
    return p


def chosen(names: list[str]) -> list[str]:
    """The tasks asked for. Raises UserError for unknown ones."""
    if names == ["all"]:
        return task_names()
    for name in names:
        make_task(name)
    return names


def prepare(name: str, options: argparse.Namespace, console) -> None:
    """Prepare one task and say how long it took."""
    import yaml

    from lra.training.report import preparation

    pairs = dict(key_value(item, "max_length=2048") for item in options.set)
    settings = {key: yaml.safe_load(value) for key, value in pairs.items()}
    for key, value in (("source", options.source), ("path", options.root)):
        if value is not None:
            settings[key] = str(value)
    task = make_task(name, **settings)
    if options.workers is not None:
        task.workers = options.workers
    start = time.perf_counter()
    with preparation(console) as progress:
        prepared = task.prepare(options.data_dir, progress)
        if options.official is not None:
            task.write_official(prepared, options.official, progress)
    console.print(f"{name}: {prepared.meta.variant}, {time.perf_counter() - start:.1f} s, {prepared.folder}")
    if options.root is not None:
        console.print(f"A run uses it with task.path={options.root}")


def summary(data_dir: Path, names: list[str]):
    """What is ready, its size, and how to get what is missing."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("task", "ready"):
        table.add_column(column, no_wrap=True)
    for column in (*SPLITS, "MB"):
        table.add_column(column, no_wrap=True, justify="right")
    hints = []
    for name in names or task_names():
        task = make_task(name)
        sets = ready(data_dir, task)
        for one in sets:
            if one.meta is None:
                table.add_row(name, "damaged")
                hints.append(f"{name} is damaged: delete {one.folder} and prepare it again")
                continue
            counts = [f"{one.meta.counts[split]:,}" for split in SPLITS]
            table.add_row(name, f"{one.meta.variant} {one.folder.name[:8]}", *counts, f"{one.meta.bytes / 1e6:,.0f}")
        if not sets:
            table.add_row(name, "no", *(f"({task.spec.splits[split]:,})" for split in SPLITS))
            hints.append(f"lra data {name}: {task.needs}")
    hints.append(f"Raw data are looked for in {data_dir / 'raw'}, or where --root says.")
    return Group(table, *(Text(hint) for hint in hints))
