"""Make the tables from the records: python scripts/make_tables.py [STUDY ...]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from lra.config import ROOT
from lra.errors import UserError
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.schema import load_study, study_names
from lra.tables import files, render
from lra.tables.explain import explain
from lra.tables.group import group
from lra.tables.html import report
from lra.tables.select import Table, build

PASSING = ("demo", "smoke")  # budgets whose records are shown on the terminal but not in committed files


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Make the tables from the records, beside the papers' numbers.")
    p.add_argument(
        "study", nargs="*", help="studies in experiments/ (default: all, and the blocks of the docs)"
    )
    p.add_argument("--results-dir", type=Path, default=ROOT / "results", help="holds runs/ and tables/")
    p.add_argument(
        "--format", choices=["terminal", *files.FORMATS], help="print this format and write nothing"
    )
    p.add_argument("--check", action="store_true", help="write nothing; fail if a generated file is stale")
    p.add_argument("--docs", action="store_true", help="write only the blocks of README.md and docs/")
    p.add_argument("--explain", metavar="ROW:COLUMN", help="print the records behind a cell of one study")
    p.add_argument(
        "--group", nargs="+", metavar="KEY", help="group all records by config keys, without a study"
    )
    p.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained report of all studies")
    return p


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    studies = [load_study(name) for name in options.study or study_names()]
    records, problems = store.load_all(options.results_dir)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if options.group:
        return print_group(records, options)
    tables = [build(study, records) for study in studies]
    lasting = [r for r in records if r.budget.kind not in PASSING]
    published = [build(study, lasting) for study in studies]
    if options.explain:
        if len(options.study) != 1:
            raise UserError("--explain needs one study: make_tables.py STUDY --explain ROW:COLUMN")
        print(explain(tables[0], options.explain))
    elif options.html:
        store.write_text(options.html, report(tables, records, problems))
        print(f"{options.html} written")
    elif options.format in files.FORMATS:
        print("\n".join(files.FORMATS[options.format](table) for table in tables), end="")
    elif options.check:
        return check(published, options)
    else:
        write(tables, published, options)
    return 0


def wanted(tables: list[Table], options: argparse.Namespace) -> dict[Path, str]:
    """The files to make: the tables of the studies, and the docs unless only some studies are named."""
    docs = {} if options.study else files.docs(tables, options.results_dir.parent)
    return docs if options.docs else files.generated(tables, options.results_dir) | docs


def check(tables: list[Table], options: argparse.Namespace) -> int:
    complaints = files.stale(wanted(tables, options))
    if not options.study:
        complaints += files.orphans(tables, options.results_dir)
    for complaint in complaints:
        print(f"stale: {complaint}", file=sys.stderr)
    if complaints:
        print("Run `python scripts/make_tables.py` and commit what it makes.", file=sys.stderr)
    return 1 if complaints else 0


def write(tables: list[Table], published: list[Table], options: argparse.Namespace) -> None:
    made = {} if options.format else wanted(published, options)
    files.write(made)  # first: printing ends where a pipe such as `| head` does
    console = Console()
    for table in tables:
        if options.study or table.records:
            console.print(render.terminal(table), "")
        else:
            console.print(f"{table.study.name}: no runs yet ({len(table.measured)} cells)")
    if options.format is None:
        console.print(f"{len(made)} files written")


def print_group(records: list[RunRecord], options: argparse.Namespace) -> int:
    document = group(records, options.group)
    match options.format:
        case "md":
            print(render.markdown_document(document), end="")
        case "tex":
            print(render.latex_document(document, "group"), end="")
        case "csv":
            print(render.csv_document(document), end="")
        case _:
            Console().print(render.terminal_document(document))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
