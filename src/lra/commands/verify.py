"""Check prepared data and draw samples of each task: lra verify [TASK ...]"""

from __future__ import annotations

import argparse
from pathlib import Path

from lra.data.catalog import make_task, ready, task_names
from lra.paths import workspace


def main(arguments: list[str]) -> int:
    from rich.progress import track
    from rich.table import Table

    from lra.terminal import Console

    options = parser().parse_args(arguments)
    console = Console()
    names = options.task if options.task not in ([], ["all"]) else task_names()
    tasks = {name: make_task(name) for name in names}
    from lra.data.verify import Finding, draw, findings

    table = Table("task", "data", "check", "", "found")
    wrong, missing = False, []
    for name, task in track(tasks.items(), "verifying", console=console):
        sets = ready(options.data_dir, task)
        if not sets:
            missing.append(name)
        for one in sets:
            variant = "damaged" if one.meta is None else one.meta.variant
            damage = [Finding("meta.json", "wrong", one.error)]
            found = damage if one.meta is None else list(findings(*one.open(name)))
            for i, finding in enumerate(found):
                wrong = wrong or finding.verdict == "wrong"
                label = f"{variant} {one.folder.name[:8]}" if i == 0 else ""
                style = {"wrong": "bold red", "note": "yellow", "ok": None}[finding.verdict]
                table.add_row(
                    name if i == 0 else "", label, finding.check, finding.verdict, finding.detail, style=style
                )
            if all(finding.verdict != "wrong" for finding in found):
                path = options.data_dir / "samples" / f"{name}-{variant}-{one.folder.name}.png"
                draw(*one.open(name), path)
    if table.row_count:
        console.print(table)
    if missing:
        console.print(f"Nothing prepared: {', '.join(missing)}. To prepare: lra data TASK")
    if len(missing) < len(tasks):
        console.print(f"Samples with their targets: {options.data_dir / 'samples'}/*.png")
    return 1 if wrong else 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="lra verify", description=__doc__)
    p.add_argument("task", nargs="*", help=f"one or more of: {', '.join(task_names())} (default: all)")
    p.add_argument("--data-dir", type=Path, default=workspace() / "data", help="where prepared data lie")
    return p
