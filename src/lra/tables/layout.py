"""A table as titled grids of styled text, before any format. The formats in `render` only set it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from lra.studies.schema import Column, Row
from lra.tables import text
from lra.tables.select import Alike, Cell, Table
from lra.tables.statistics import summarize

Style = Literal["", "bold", "italic", "good", "bad"]


_VERDICT_STYLE: dict[str, Style] = {"match": "good", "below": "bad", "worse": "bad"}


class Entry(NamedTuple):
    text: str
    style: Style = ""


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
    grids = [_long(table, rows) if compact else _printed(table)]
    if not any(cell.reported for cell in table.cells.values()):  # no paper: every line is ours, without a Δ
        grids[0] = _without(grids[0], (2, 4) if compact else (1,))
    excluded = [(c, alike) for c in table.cells.values() for alike in c.excluded_alike]
    if excluded:
        grids.append(_excluded(excluded))
    return Document(table.study.title, header(table), grids, _footer(table, grids, rows))


def header(table: Table) -> list[tuple[str, str]]:
    """Protocol, seeds, data, hardware, code, date and coverage, all from the study and its records."""
    study = table.study
    records = table.records
    complete = sum(c.status in ("complete", "chance") for c in table.measured)
    counted = [r for c in table.cells.values() for r in c.complete]
    lines = [
        ("About", study.description),
        ("Source", study.source),
        ("Protocol", study.protocol),
    ]
    if table.measured:
        seeds = ", ".join(map(str, study.seeds))
        lines += [
            ("Seeds", f"{seeds} planned a cell; n is the number of finished runs"),
            ("Complete", f"{complete} of {len(table.measured)} cells; {len(counted)} runs in them"),
        ]
    if records:
        data = sorted({f"{r.data.task} {r.data.variant}" for r in records})
        devices = sorted({hardware for r in records for hardware in r.hardware})
        hours = sum(r.compute.wall_s for r in records) / 3600
        code = sorted({label for r in records for label in r.code_labels})
        lines += [
            ("Data", ", ".join(data)),
            ("Hardware", f"{', '.join(devices)}; {hours:.3g} hours"),
            ("Code", ", ".join(code)),
            ("Date", max(r.finished_utc or r.created_utc for r in records)[:10]),
        ]
    return lines


def _printed(table: Table) -> Grid:
    """Rows and columns as the paper prints them; under each paper line ours and the difference."""
    study = table.study
    best = best_cells(table)
    grid = Grid(["Model", "", *[c.title for c in study.columns], *[a.title for a in study.averages]], [])
    family = None
    for row in study.rows:
        if family not in (None, row.family):
            grid.breaks.add(len(grid.lines))
        family = row.family
        cells = [table.cell(row, c) for c in study.columns]
        averages = [table.averages.get((row.key, a.key)) for a in study.averages]
        printed = [Entry(text.paper_average(a)) for a in averages]
        paper_line = [Entry(text.paper(c.reported) if c else "") for c in cells] + printed
        title = printed_title(table, row)
        if any(e.text for e in paper_line) or row.experiment is None:
            grid.lines.append([Entry(title), Entry("paper"), *paper_line])
        if row.experiment is None:
            continue
        own = [Entry(text.ours(c), "bold" if c in best else "") if c else Entry("") for c in cells]
        own += [Entry(text.average(a)) for a in averages]
        named = bool(grid.lines) and grid.lines[-1][0].text == title
        grid.lines.append([Entry("" if named else title), Entry("ours"), *own])
        delta = [difference(c) if c else Entry("") for c in cells]
        if any(e.text for e in delta):
            grid.lines.append([Entry(""), Entry("Δ"), *delta, *[Entry("") for _ in averages]])
    return grid


def _without(grid: Grid, columns: tuple[int, ...]) -> Grid:
    kept = [i for i in range(len(grid.columns)) if i not in columns]
    lines = [[line[i] for i in kept] for line in grid.lines]
    return replace(grid, columns=[grid.columns[i] for i in kept], lines=lines)


def printed_title(table: Table, row: Row) -> str:
    """The row's title, with the number of parameters where the paper prints it: `S4D-LegS (306K)`."""
    cells = (table.cell(row, column) for column in table.study.columns)
    sizes = [c.reported.parameters for c in cells if c and c.reported and c.reported.parameters]
    return f"{row.title} ({sizes[0]})" if sizes else row.title


def _long(table: Table, rows: list[Row]) -> Grid:
    """One line a cell, which fits 80 columns whatever the study."""
    study = table.study
    best = best_cells(table)
    grid = Grid(["Model", "Task", "Paper", "Ours", "Δ"], [])
    start, family = 0, ""
    for row in rows:
        first = len(grid.lines)
        if first and (first - start > 1 or row.family != family):
            grid.breaks.add(first)
        start, family = first, row.family
        for column in study.columns:
            cell = table.cell(row, column)
            if cell and (row.experiment or cell.reported):
                own = Entry(text.ours(cell), "bold" if cell in best else "")
                paper = Entry(text.paper(cell.reported))
                grid.lines.append([Entry(""), Entry(column.title), paper, own, difference(cell)])
        for policy in study.averages:
            a = table.averages.get((row.key, policy.key))
            entries = [Entry(text.paper_average(a)), Entry(text.average(a) if row.experiment else "")]
            if any(e.text for e in entries):
                grid.lines.append([Entry(""), Entry(policy.title), *entries, Entry("")])
        grid.lines[first][0] = Entry(row.title)
    return grid


def _excluded(pairs: list[tuple[Cell, Alike]]) -> Grid:
    lines = []
    for cell, alike in pairs:
        row, column = cell.planned.row, cell.planned.column
        lines.append(
            [
                Entry(row.title),
                Entry(column.title),
                Entry(text.paper(cell.reported)),
                Entry(text.excluded(*alike.records), "italic"),
                Entry("; ".join([seeds(alike), *alike.reasons])),
            ]
        )
    return Grid(
        ["Model", "Task", "Paper", "Ours", "Why excluded"],
        lines,
        title="Excluded: reduced budgets, other data, other recipes. Not comparable with the paper; no verdict",
    )


def seeds(alike: Alike) -> str:
    """`seed 0` or `seeds 0, 1`."""
    return f"{'seed' if len(alike.records) == 1 else 'seeds'} {alike.seeds}"


def family_grid(table: Table, column: Column) -> Grid:
    """One column of a table that has the rows of a model family, one line a row."""
    lines = []
    for row in table.study.rows:
        if cell := table.cell(row, column):
            ours = Entry(text.ours(cell))
            lines.append([Entry(row.title), Entry(text.paper(cell.reported)), ours, difference(cell)])
    return Grid([column.title, "Paper", "Ours", "Δ"], lines, title=table.study.title)


def difference(cell: Cell) -> Entry:
    comparison = cell.comparison
    words = text.difference(comparison, cell.planned.column.metric)
    return Entry(words, _VERDICT_STYLE.get(comparison.verdict, ""))


def best_cells(table: Table) -> list[Cell]:
    """The best complete cell of each column that has several."""
    best = []
    for column in table.study.columns:
        cells = [c for row in table.study.rows if (c := table.cell(row, column)) and c.status == "complete"]
        if len(cells) > 1:
            higher = cells[0].complete[0].metrics.higher_is_better
            best.append((max if higher else min)(cells, key=lambda c: summarize(c.complete).mean))
    return best


def _footer(table: Table, grids: list[Grid], rows: list[Row]) -> list[str]:
    """Only the marks that occur, the sources of the paper's numbers, and what was left out."""
    lines = text.shown_marks(e.text for grid in grids for line in grid.lines for e in line)
    if any(c.comparison.verdict for c in table.cells.values()):
        lines.append(text.VERDICT)
    lines += [f"{policy.title}: {average_policy(policy)}" for policy in table.study.averages]
    sources: dict[str, list[str]] = {}
    for cell in table.cells.values():
        if cell.reported and cell.planned.row in rows:
            sources.setdefault(cell.reported.source, []).append(cell.planned.row.title)
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
