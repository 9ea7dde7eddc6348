"""Make the tables from the records: python scripts/make_tables.py [STUDY ...]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lra.errors import UserError
from lra.records import store
from lra.studies.schema import PROJECT, load_study, study_names
from lra.tables import files
from lra.tables.explain import explain
from lra.tables.render import terminal
from lra.tables.select import build


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Make the tables from the records, beside the papers' numbers.")
    p.add_argument("study", nargs="*", help="studies in experiments/ (default: all)")
    p.add_argument("--results-dir", type=Path, default=PROJECT / "results", help="holds runs/ and tables/")
    p.add_argument(
        "--format", choices=["terminal", *files.FORMATS], help="print this format and write nothing"
    )
    p.add_argument("--check", action="store_true", help="write nothing; fail if a generated file is stale")
    p.add_argument("--explain", metavar="ROW:COLUMN", help="print the records behind a cell of one study")
    return p


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    studies = [load_study(name) for name in options.study or study_names()]
    records, problems = store.load_all(options.results_dir)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    tables = [build(study, records) for study in studies]
    console = Console()
    if options.explain:
        if len(options.study) != 1:
            raise UserError(
                "--explain needs one study: python scripts/make_tables.py STUDY --explain ROW:COLUMN"
            )
        print(explain(tables[0], options.explain))
        return 0
    if options.format and options.format != "terminal":
        print("\n".join(files.FORMATS[options.format](table) for table in tables), end="")
        return 0
    wanted = files.generated(tables, options.results_dir)
    if not options.study:
        wanted |= files.readme(tables, options.results_dir.parent / "README.md")
    if options.check:
        complaints = files.stale(wanted) + (
            [] if options.study else files.orphans(tables, options.results_dir)
        )
        for complaint in complaints:
            print(f"stale: {complaint}", file=sys.stderr)
        if complaints:
            print("Run `python scripts/make_tables.py` and commit what it makes.", file=sys.stderr)
        return 1 if complaints else 0
    for table in tables:
        console.print(terminal(table), "")
    if not options.format:
        files.write(wanted)
        console.print(f"{len(wanted)} files written in {options.results_dir}", style="dim")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
