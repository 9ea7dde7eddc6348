"""A table as titled grids of styled text, before any format. The formats in `render` only set it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lra.studies.schema import Column, Row
from lra.tables import text
from lra.tables.result import Result, by_place, columns, results
from lra.tables.select import Table
from lra.tables.text import BLANK, Entry
from lra.terminal import counted

WHOSE = ""  # title of the column that says whether a line is the paper's or ours
Shown = dict[tuple[str, str], Result]  # by row key and column or average key


@dataclass
class Grid:
    columns: list[str]
    lines: list[list[Entry]]
    title: str = ""
    breaks: set[int] = field(default_factory=set)  # lines that a rule precedes


@dataclass
class Document:
    title: str
    header: list[tuple[str, str]]  # label and words
    grids: list[Grid]
    footer: list[str]


def document(table: Table, compact: bool = False) -> Document:
    """The study's table: as the paper prints it, or `compact`, one line a cell, for a terminal."""
    rows = table.study.rows
    if compact:
        rows = [row for row in rows if row.experiment] or rows
    found = results(table)
    shown = by_place(found)
    grids = [_long(table, rows, shown) if compact else _printed(table, shown)]
    if not any(cell.reported for cell in table.cells.values()):  # no paper: every line is ours, without a Δ
        grids[0] = _without_paper(grids[0])
    if excluded := [r for r in found if r.kind == "excluded"]:
        grids.append(_excluded(excluded))
    return Document(table.study.title, header(table), grids, _footer(table, grids, rows))


def header(table: Table) -> list[tuple[str, str]]:
    """Protocol, seeds, data, hardware, code, date and coverage, all from the study and the records in its cells."""
    study = table.study
    records = [r for c in table.cells.values() for r in c.counted]
    complete = sum(c.status in ("complete", "chance") for c in table.measured)
    finished = sum(r.status == "complete" for r in records)
    lines = [
        ("About", study.description),
        ("Source", study.source),
        ("Protocol", study.protocol),
    ]
    if table.measured:
        seeds = ", ".join(map(str, study.seeds))
        lines += [
            ("Seeds", f"{seeds} planned a cell; n is the number of finished runs"),
            (
                "Complete",
                f"{complete} of {counted(len(table.measured), 'cell')}; {counted(finished, 'run')} in them",
            ),
        ]
    if records:
        data = sorted({f"{r.data.task} {r.data.variant}" for r in records})
        devices = sorted({hardware for r in records for hardware in r.hardware})
        hours = sum(r.compute.wall_s for r in records) / 3600
        code = sorted({label for r in records for label in r.code_labels})
        lines += [
            ("Data", ", ".join(data)),
            ("Hardware", f"{', '.join(devices)}; {hours:.3g} h"),
            ("Code", ", ".join(code)),
            ("Date", max(r.finished_utc or r.created_utc for r in records)[:10]),
        ]
    return lines


def _printed(table: Table, shown: Shown) -> Grid:
    """Rows and columns as the paper prints them; under each paper line ours and the difference."""
    titles = [column.title for column in columns(table.study)]
    grid = Grid(["Model", WHOSE, *titles], [])
    family = None
    for row in table.study.rows:
        if family not in (None, row.family):
            grid.breaks.add(len(grid.lines))
        family = row.family
        cells = [shown.get((row.key, column.key)) for column in columns(table.study)]
        paper, ours, difference = (
            [getattr(r, name) if r else BLANK for r in cells] for name in ("paper", "ours", "difference")
        )
        lines = {"paper": paper, "ours": ours, "Δ": difference}
        always = "ours" if row.experiment else "paper"
        title = printed_title(table, row)
        for name, line in lines.items():
            if name == always or any(entry.text for entry in line):
                grid.lines.append([Entry(title), Entry(name), *line])
                title = ""
    return grid


def _without_paper(grid: Grid) -> Grid:
    """The grid without the columns that say or need the paper's number."""
    kept = [i for i, title in enumerate(grid.columns) if title not in ("Paper", "Δ", WHOSE)]
    lines = [[line[i] for i in kept] for line in grid.lines]
    return replace(grid, columns=[grid.columns[i] for i in kept], lines=lines)


def printed_title(table: Table, row: Row) -> str:
    """The row's title, with the number of parameters where the paper prints it: `S4D-LegS (306K)`."""
    cells = (table.cell(row, column) for column in table.study.columns)
    sizes = [c.reported.parameters for c in cells if c and c.reported and c.reported.parameters]
    return f"{row.title} ({sizes[0]})" if sizes else row.title


def _long(table: Table, rows: list[Row], shown: Shown) -> Grid:
    """One line a cell, which fits 80 columns whatever the study."""
    grid = Grid(["Model", "Task", "Paper", "Ours", "Δ"], [])
    start, family = 0, ""
    for row in rows:
        first = len(grid.lines)
        if first and (first - start > 1 or row.family != family):
            grid.breaks.add(first)
        start, family = first, row.family
        title = row.title
        for column in columns(table.study):
            r = shown.get((row.key, column.key))
            if r and (r.paper.text or r.ours.text):
                grid.lines.append([Entry(title), Entry(column.title), r.paper, r.ours, r.difference])
                title = ""
    return grid


def _excluded(found: list[Result]) -> Grid:
    return Grid(
        ["Model", "Task", "Paper", "Ours", "Why excluded"],
        [[Entry(r.row.title), Entry(r.column.title), r.paper, r.ours, Entry(r.why())] for r in found],
        title="Excluded: reduced budgets, other data, other recipes. Not comparable with the paper; no verdict",
    )


def family_grid(table: Table, column: Column) -> Grid:
    """One column of a table that has the rows of a model family, one line a row."""
    lines = [
        [Entry(r.row.title), r.paper, r.ours, r.difference]
        for r in results(table)
        if r.column is column and r.kind == "cell"
    ]
    grid = Grid([column.title, "Paper", "Ours", "Δ"], lines, title=table.study.title)
    return grid if any(line[1].text for line in lines) else _without_paper(grid)


def _footer(table: Table, grids: list[Grid], rows: list[Row]) -> list[str]:
    """Only the marks that occur, the sources of the paper's numbers, and what was left out."""
    lines = text.shown_marks(e.text for grid in grids for line in grid.lines for e in line)
    if any(c.comparison.verdict for c in table.cells.values()):
        lines.append(text.VERDICT)
    lines += [f"{policy.title}: {average_policy(policy)}" for policy in table.study.averages]
    sources: dict[str, list[str]] = {}
    for cell in table.cells.values():
        if cell.reported and cell.spec.row in rows:
            sources.setdefault(cell.reported.source, []).append(cell.spec.row.title)
    for source, titles in sources.items():
        lines.append(f"Paper's {', '.join(dict.fromkeys(titles))}: {source}")
    hidden = len(table.study.rows) - len(rows)
    if hidden:
        lines.append(f"Rows that only papers report ({hidden}): results/tables/{table.study.name}.md")
    return lines + table.notes


def average_policy(policy) -> str:
    words = f"mean of {', '.join(policy.columns)}; only when all are complete"
    if policy.chance_counts is not None:
        words += f"; a cell at chance counts {policy.chance_counts:g}"
    return words
