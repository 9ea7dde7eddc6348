"""Check prepared data and draw samples of each task: python scripts/verify_data.py [TASK ...]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lra.config import ROOT
from lra.data.catalog import make_task, ready, task_names
from lra.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    from rich.progress import track
    from rich.table import Table

    from lra.terminal import Console

    options = parser().parse_args(arguments)
    console = Console()
    names = options.task if options.task not in ([], ["all"]) else task_names()
    try:
        tasks = {name: make_task(name) for name in names}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from lra.data.verify import Finding, draw, findings

    table = Table("task", "data", "check", "", "found")
    wrong = False
    for name, task in track(tasks.items(), "verifying", console=console):
        sets = ready(options.data_dir, task)
        if not sets:
            table.add_row(
                name, "", "", "", f"nothing prepared; python scripts/prepare_data.py {name}", style="dim"
            )
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
    console.print(table)
    console.print(f"Samples with their targets: {options.data_dir / 'samples'}/*.png")
    return 1 if wrong else 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("task", nargs="*", help=f"one or more of: {', '.join(task_names())} (default: all)")
    p.add_argument("--data-dir", type=Path, default=ROOT / "data", help="where prepared data lie")
    return p


if __name__ == "__main__":
    raise SystemExit(main())
