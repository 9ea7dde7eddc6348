"""Figures of a table: learning curves, results with their spread, against the paper's, by options.

Each is a `Figure`, or None where nothing has been run that it could show.
"""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lra.figures.panels import COLORS, in_style, look, name_rows, panels
from lra.records.schema import RunRecord
from lra.tables.group import Groups
from lra.tables.result import Result
from lra.tables.run_figures import curve, unit
from lra.tables.select import Cell, Table
from lra.tables.statistics import summarize


@in_style
def learning_curves(table: Table) -> Figure | None:
    """Validation metric by epoch, one panel a column, one color a row; dashed where a run is excluded."""
    columns: dict[str, list[tuple[Cell, RunRecord]]] = {}
    for column in table.study.columns:
        for cell in filter(None, (table.cell(row, column) for row in table.study.rows)):
            runs = [(cell, record) for record in cell.records if record.metrics.curve]
            if runs:
                columns.setdefault(column.title, []).extend(runs)
    if not columns:
        return None
    figure, axes_of = panels(len(columns), title=table.study.title)
    for axes, (title, runs) in zip(axes_of, columns.items(), strict=True):
        rows = list(dict.fromkeys(cell.spec.row.title for cell, _ in runs))
        for cell, record in runs:
            index = rows.index(cell.spec.row.title)
            curve(axes, record, index, excluded=record in cell.excluded)
        for i, row in enumerate(rows):
            axes.plot([], [], label=row, **look(i))
        if any(record in cell.excluded for cell, record in runs):
            axes.plot([], [], "--", color="0.4", label="excluded runs")
        axes.set(title=title, xlabel="epoch", ylabel=f"validation {unit(runs[0][1])}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@in_style
def dots(table: Table) -> Figure | None:
    """Mean and std of each complete cell, one panel a column; hollow diamonds are the paper's."""
    columns = [
        (column, cells)
        for column in table.study.columns
        if (cells := [c for row in table.study.rows if (c := table.cell(row, column)) and c.complete])
    ]
    if not columns:
        return None
    height = 0.6 + 0.35 * max(len(c) for _, c in columns)
    figure, axes_of = panels(len(columns), height, table.study.title)
    for axes, (column, cells) in zip(axes_of, columns, strict=True):
        for y, cell in enumerate(reversed(cells)):
            s = summarize(cell.complete)
            axes.errorbar(s.mean, y, xerr=s.std, fmt="o", color=COLORS[0], capsize=3)
            if paper := _paper(cell):
                mean, std = paper
                axes.errorbar(mean, y - 0.2, xerr=std, fmt="D", color=COLORS[1], markerfacecolor="white", capsize=3)
        name_rows(axes, [c.spec.row.title for c in reversed(cells)])
        if any(map(_paper, cells)):
            axes.plot([], [], "o", color=COLORS[0], label="ours")
            axes.plot([], [], "D", color=COLORS[1], markerfacecolor="white", label="the paper's")
            axes.legend()
        axes.set(title=column.title, xlabel=f"test {unit(cells[0].complete[0])}")
    return figure


@in_style
def against_paper(table: Table) -> Figure | None:
    """Ours against the paper's for every complete cell that has both, with the standard deviations of both."""
    pairs = [(cell, *paper) for cell in table.cells.values() if cell.complete and (paper := _paper(cell))]
    if not pairs:
        return None
    metrics = sorted({cell.complete[0].metrics.name for cell, *_ in pairs})
    figure, axes_of = panels(len(metrics), 3.6, table.study.title)
    for axes, metric in zip(axes_of, metrics, strict=True):
        shown = [pair for pair in pairs if pair[0].complete[0].metrics.name == metric]
        titles = list(dict.fromkeys(cell.spec.column.title for cell, *_ in shown))
        for cell, mean, std in shown:
            s, index = summarize(cell.complete), titles.index(cell.spec.column.title)
            color = COLORS[index % len(COLORS)]
            axes.errorbar(mean, s.mean, xerr=std, yerr=s.std, fmt="o", color=color, capsize=3)
        ends = [x for cell, mean, _ in shown for x in (mean, summarize(cell.complete).mean)]
        axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.6", linewidth=1, zorder=0)
        for i, title in enumerate(titles):
            axes.plot([], [], "o", color=COLORS[i % len(COLORS)], label=title)
        what = unit(shown[0][0].complete[0])
        axes.set(xlabel=f"the paper's {what}", ylabel=f"our test {what}")
        axes.legend()
    return figure


@in_style
def by_options(found: Groups) -> Figure | None:
    """Test results by the values of the first key, one color for each of the others', one panel a recipe.

    Mean and std over seeds; hollow where the runs are excluded, with the reasons below.
    """
    recipes: dict[str, list[tuple[str, str, Result]]] = {}
    for group in found.groups:
        first, *others = group.values.values()
        title = "\n".join([group.experiment, *textwrap.wrap(group.also, 44)])
        for result in group.results:
            if "mean" in result.numbers:
                recipes.setdefault(title, []).append((first, ", ".join(others), result))
    if not recipes:
        return None
    ours = [point for points in recipes.values() for point in points]
    others = list(dict.fromkeys(other for _, other, *_ in ours))
    most = max(len({first for first, *_ in points}) for points in recipes.values())
    title = f"Test results by {' and '.join(found.keys)}"
    figure, axes_of = panels(len(recipes), 0.9 + 0.3 * most, title)
    for axes, (name, points) in zip(axes_of, recipes.items(), strict=True):
        values = list(dict.fromkeys(first for first, *_ in points))[::-1]
        for first, other, result in points:
            s, i = summarize(result.records), others.index(other)
            color, y = COLORS[i % len(COLORS)], values.index(first) - 0.3 * i / len(others)
            fill = "white" if result.reasons else color
            axes.errorbar(s.mean, y, xerr=s.std, fmt="o", color=color, markerfacecolor=fill, capsize=3)
        name_rows(axes, values)
        axes.set(title=name, xlabel=f"test {unit(points[0][2].records[0])}", ylabel=found.keys[0])
    for i, other in enumerate(filter(None, others)):
        axes_of[0].plot([], [], "o", color=COLORS[i % len(COLORS)], label=other)
    figure.legend(loc="outside right upper")
    if why := sorted({reason for *_, result in ours for reason in result.reasons}):
        figure.supxlabel(textwrap.fill(f"Hollow: {'; '.join(why)}", 110), fontsize="small")
    return figure


def _paper(cell: Cell) -> tuple[float, float | None] | None:
    """The paper's mean and std."""
    value = cell.reported and cell.reported.value
    if not value or value.mean is None:
        return None
    return float(value.mean), None if value.std is None else float(value.std)
