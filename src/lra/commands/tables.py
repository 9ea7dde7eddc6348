"""Make the tables from the records: lra tables [STUDY ...]"""

from __future__ import annotations

import argparse
from pathlib import Path

from lra.errors import UserError
from lra.files import write_text
from lra.paths import workspace
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.schema import load_studies, load_study, study_names
from lra.tables import files, group, render
from lra.tables.explain import explain, wrapped
from lra.tables.html import report
from lra.tables.select import Table, build
from lra.terminal import Console, complain, counted, visible
from lra.vocabulary import TRIALS


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="lra tables", description="Make the tables from the records, beside the papers' numbers."
    )
    p.add_argument("study", nargs="*", help="studies in experiments/ (default: all, and the blocks of the docs)")
    p.add_argument("--results-dir", type=Path, default=workspace() / "results", help="holds runs/ and tables/")
    p.add_argument("--format", choices=["terminal", *files.FORMATS], help="print this format and write nothing")
    p.add_argument("--check", action="store_true", help="write nothing; fail if a generated file is stale")
    p.add_argument("--docs", action="store_true", help="write only the blocks of README.md and docs/")
    p.add_argument("--explain", metavar="ROW:COLUMN", help="print the records behind a cell of one study")
    p.add_argument("--group", nargs="+", metavar="KEY", help="group all records by config keys, without a study")
    p.add_argument(
        "--experiment",
        default="*",
        metavar="PATTERN",
        help="with --group: only these recipes, e.g. 'scifar/*'",
    )
    p.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained report of all studies")
    return p


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    records, problems = store.load_all(options.results_dir)
    if options.group:
        _left_out(problems)
        return print_group(records, options)
    broken: list[str] = []
    if options.study:
        studies = [load_study(name) for name in options.study]
    else:
        studies, broken = load_studies()
    tables = []
    for study in studies:
        try:
            tables.append(build(study, records))
        except UserError as error:  # its reported numbers cannot be read
            broken.append(str(error))
    problems += broken
    _left_out(problems)
    lasting = [r for r in records if r.budget.kind not in TRIALS]
    published = [build(table.study, lasting) for table in tables]
    if options.explain:
        if len(tables) != 1:
            raise UserError("--explain needs one study: lra tables STUDY --explain ROW:COLUMN")
        print(visible(wrapped(explain(tables[0], options.explain))))
    elif options.html:
        write_text(options.html, report(tables, records, problems))
        print(f"{options.html} written")
    elif options.format in files.FORMATS:
        print("\n".join(files.FORMATS[options.format](table) for table in tables), end="")
    elif options.check:
        return check(published, options) or int(bool(broken))
    else:
        write(tables, published, options)
    return int(bool(broken))


def _left_out(problems: list[str]) -> None:
    for problem in problems:
        complain(f"left out: {problem}")


def wanted(tables: list[Table], options: argparse.Namespace) -> dict[Path, str]:
    """The files to make: the tables of the studies, and the docs unless only some studies are named."""
    unreadable = set(study_names()) - {table.study.name for table in tables}
    docs = {} if options.study else files.docs(tables, options.results_dir.parent, unreadable)
    return docs if options.docs else files.generated(tables, options.results_dir) | docs


def check(tables: list[Table], options: argparse.Namespace) -> int:
    stale = files.stale(wanted(tables, options))
    orphans = [] if options.study else files.orphans(study_names(), options.results_dir)
    for complaint in stale + orphans:
        complain(f"stale: {complaint}")
    if stale:
        complain("Run `lra tables` and commit what it makes.")
    return 1 if stale or orphans else 0


def write(tables: list[Table], published: list[Table], options: argparse.Namespace) -> None:
    made = {} if options.format else wanted(published, options)
    for file, content in made.items():  # first: printing ends where a pipe such as `| head` does
        write_text(file, content)
    console = Console()
    for table in tables:
        if options.study or table.records:
            console.print(render.terminal(table), "")
        else:
            console.print(f"{table.study.name}: no runs yet ({counted(len(table.measured), 'cell')})")
    if options.format is None:
        console.print(f"{counted(len(made), 'file')} written")


def print_group(records: list[RunRecord], options: argparse.Namespace) -> int:
    found = group.group(records, options.group, options.experiment)
    match options.format:
        case "md":
            print(render.markdown_document(group.document(found)), end="")
        case "tex":
            print(render.latex_document(group.document(found), "group"), end="")
        case "csv":
            print(group.csv_text(found), end="")
        case _:
            Console().print(render.terminal_document(group.document(found, compact=True)))
    return 0
