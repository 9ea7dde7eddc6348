"""Run and follow the studies of experiments/.

    lra study list
    lra study status s4d-lra
    lra study run s4d-lra budget=demo only=s4d-legs:listops seeds=0,1
    lra study explain s4d-lra s4d-legs:listops

`run` skips what is recorded and resumes what was interrupted.

    only=…         a row, a column or row:column, with * for anything
    seeds=0,1      these seeds in place of the study's
    launcher=…     slurm or ray: the runs go to a cluster (docs/clusters.md)
    time_limit=2h  all runs end by then, each with a checkpoint; the same
                   command resumes

Any other option is one of `lra train`, for every run: budget=demo.
"""

from __future__ import annotations

from lra.bounds import seconds
from lra.errors import UserError, choose, key_value
from lra.terminal import Console, complain

COMMANDS = ("list", "status", "run", "explain")


def main(arguments: list[str]) -> int:
    """Carry out one command; the exit status is 1 if a run of the study is not complete at the end."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    command = choose("The command", arguments[0], COMMANDS)
    console = Console()
    if command == "list":
        return list_studies(console)
    if len(arguments) < 2:
        raise UserError(f"`lra study {command}` needs the name of a study; `lra study list` shows them.")
    if command == "explain":
        return explain_cell(arguments[1:])
    return follow(command, arguments[1], arguments[2:], console)


def list_studies(console: Console) -> int:
    """Name, number of cells and title of every study."""
    from rich.table import Table
    from rich.text import Text

    from lra.studies.schema import load_studies

    table = Table("study", "cells", "title", box=None, pad_edge=False)
    studies, problems = load_studies()
    for study in studies:
        cells = sum(spec.experiment is not None for spec in study.cells())
        table.add_row(Text(study.name, style="bold"), str(cells), study.title)
    console.print(table)
    for problem in problems:
        complain(f"left out: {problem}")
    return int(bool(problems))


def explain_cell(arguments: list[str]) -> int:
    """The paper's number and every record behind a cell."""
    from lra.commands import tables

    if len(arguments) != 2:
        raise UserError("`lra study explain` needs a study and a cell: lra study explain s4d-lra s4d-legs:listops")
    return tables.main([arguments[0], "--explain", arguments[1]])


def follow(command: str, name: str, options: list[str], console: Console) -> int:
    """`status` and `run`."""
    from lra.studies.jobs import jobs
    from lra.studies.run import overview, run_all, tally
    from lra.studies.schema import load_study

    own: dict[str, str | None] = {"only": None, "seeds": None, "launcher": None, "time_limit": None}
    extra = []
    for option in options:
        key, value = key_value(option, "budget=demo only=s4d-legs")
        if key in own:
            own[key] = value
        else:
            extra.append(option)
    wanted = jobs(load_study(name), only=own["only"], seeds=_seeds(own["seeds"]), extra=extra)
    for job in (job for job in wanted if job.note):
        complain(f"{job.name}: {job.note}")
    if command == "status":
        console.print(overview(wanted))
        return 0
    counts = run_all(wanted, console, own["launcher"], _limit(own["time_limit"]))
    console.print(", ".join(f"{n} {s}" for s, n in counts.items()))
    return 0 if set(tally(wanted)) == {"complete"} else 1


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(map(str.isdecimal, parts)) or len(set(map(int, parts))) < len(parts):
        raise UserError(f"seeds={text}: give whole numbers, each once, with commas between them, e.g. seeds=0,1,2.")
    return [int(part) for part in parts]


def _limit(text: str | None) -> float | None:
    try:
        return None if text is None else seconds(text)
    except ValueError as error:
        raise UserError(f"time_limit={text}: {error}.") from None
