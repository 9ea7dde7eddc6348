"""Figures from records, as SVG: learning curves, results with their spread, accuracy against compute."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lra.config import compose
from lra.nodes import kernel_factory
from lra.paths import CONFIG_DIR
from lra.records.schema import RunRecord
from lra.studies.schema import PAPER_DATA
from lra.tables.select import Cell, Table
from lra.tables.statistics import scale, summarize

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Okabe and Ito's colors, told apart by color-blind readers; the lightest are left out
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = (".", "x", "^")
WIDE = 10.0  # times of such a spread are drawn on a logarithmic axis
_SETTINGS: dict[RcKeyType, Any] = {
    "svg.hashsalt": "lra",  # the same figure gives the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are text, with $ in them too
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element, byte for byte the same for the same figure."""
    out = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight")
    text = out.getvalue()
    return " ".join(text[text.index("<svg") :].split())  # the same picture in fewer lines


def learning_curves(cells: Iterable[Cell]) -> str | None:
    """Validation metric by epoch, one panel a column, one color a row; dashed where a run is excluded."""
    columns: dict[str, list[tuple[Cell, RunRecord]]] = {}
    for cell in cells:
        for record in cell.records:
            if record.metrics.curve:
                columns.setdefault(cell.planned.column.title, []).append((cell, record))
    if not columns:
        return None
    with matplotlib.rc_context(_SETTINGS):
        figure, panels = _panels(len(columns))
        for axes, (title, runs) in zip(panels, columns.items(), strict=True):
            rows = list(dict.fromkeys(cell.planned.row.title for cell, _ in runs))
            for cell, record in runs:
                index = rows.index(cell.planned.row.title)
                _curve(axes, record, "--" if record in cell.excluded else "-", index)
            for i, row in enumerate(rows):
                color, marker = _look(i)
                axes.plot([], [], label=row, color=color, marker=marker)
            axes.set(title=title, xlabel="epoch", ylabel=f"validation {_unit(runs[0][1])}")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return svg(figure)


def run_curve(record: RunRecord) -> str | None:
    """One run: training and validation loss, and the validation metric with its best point."""
    if not record.metrics.curve:
        return None
    with matplotlib.rc_context(_SETTINGS):
        figure, (left, right) = _panels(2)
        for key, color in (("train_loss", COLORS[0]), ("val_loss", COLORS[1])):
            rows = [r for r in record.metrics.curve if key in r]
            left.plot([r["epoch"] for r in rows], [r[key] for r in rows], ".-", color=color, label=key)
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set(xlabel="epoch", ylabel="loss")
        left.legend()
        _curve(right, record, "-", 2)
        best = record.metrics.best_val
        if best:
            right.plot(best.epoch, best.value * scale(record), "o", color=COLORS[1], label="best")
            right.legend()
        right.set(xlabel="epoch", ylabel=f"validation {_unit(record)}")
        return svg(figure)


def dots(table: Table) -> str | None:
    """Mean and std of each complete cell, one panel a column; hollow diamonds are the paper's."""
    columns = [
        (column, cells)
        for column in table.study.columns
        if (cells := [c for row in table.study.rows if (c := table.cell(row, column)) and c.complete])
    ]
    if not columns:
        return None
    with matplotlib.rc_context(_SETTINGS):
        figure, panels = _panels(len(columns), height=0.6 + 0.35 * max(len(c) for _, c in columns))
        for axes, (column, cells) in zip(panels, columns, strict=True):
            for y, cell in enumerate(reversed(cells)):
                s = summarize(cell.complete)
                axes.errorbar(s.mean, y, xerr=s.std or 0, fmt="o", color=COLORS[0], capsize=3)
                value = cell.reported and cell.reported.value
                if value and value.mean is not None:
                    axes.errorbar(
                        float(value.mean),
                        y - 0.2,
                        xerr=float(value.std or 0),
                        fmt="D",
                        color=COLORS[1],
                        markerfacecolor="white",
                        capsize=3,
                    )
            axes.set_yticks(range(len(cells)), [c.planned.row.title for c in reversed(cells)])
            axes.set_ylim(-0.6, len(cells) - 0.4)
            axes.set(title=column.title, xlabel=f"test {_unit(cells[0].complete[0])}")
        return svg(figure)


def against_paper(table: Table) -> str | None:
    """Ours against the paper's for every complete cell that has both, with the standard deviations of both."""
    pairs = [
        (cell, float(cell.reported.value.mean), float(cell.reported.value.std or 0))
        for cell in table.cells.values()
        if cell.complete and cell.reported and cell.reported.value.mean is not None
    ]
    if not pairs:
        return None
    metrics = sorted({cell.complete[0].metrics.name for cell, *_ in pairs})
    with matplotlib.rc_context(_SETTINGS):
        figure, panels = _panels(len(metrics), height=3.6)
        for axes, metric in zip(panels, metrics, strict=True):
            shown = [pair for pair in pairs if pair[0].complete[0].metrics.name == metric]
            titles = list(dict.fromkeys(cell.planned.column.title for cell, *_ in shown))
            for cell, mean, std in shown:
                s, index = summarize(cell.complete), titles.index(cell.planned.column.title)
                color = COLORS[index % len(COLORS)]
                axes.errorbar(mean, s.mean, xerr=std, yerr=s.std or 0, fmt="o", color=color, capsize=3)
            ends = [x for cell, mean, _ in shown for x in (mean, summarize(cell.complete).mean)]
            axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.6", linewidth=1, zorder=0)
            for i, title in enumerate(titles):
                axes.plot([], [], "o", color=COLORS[i % len(COLORS)], label=title)
            unit = _unit(shown[0][0].complete[0])
            axes.set(xlabel=f"the paper's {unit}", ylabel=f"our test {unit}")
            axes.legend()
        return svg(figure)


def resources(records: Iterable[RunRecord]) -> str | None:
    """Hours of wall-clock time and peak memory of every finished run, by task; hollow where its budget was cut."""
    finished = [r for r in records if r.metrics.test and r.compute.wall_s > 0]
    if not finished:
        return None
    tasks = sorted({r.data.task for r in finished}, reverse=True)
    with matplotlib.rc_context(_SETTINGS):
        figure, (hours, memory) = _panels(2, height=0.8 + 0.35 * len(tasks))
        for record in finished:
            y, kind = tasks.index(record.data.task), record.budget.kind
            fill = COLORS[0] if kind == "paper" else "white"
            hours.plot(record.compute.wall_s / 3600, y, "o", color=COLORS[0], markerfacecolor=fill)
            if record.compute.peak_memory_bytes:
                gib = record.compute.peak_memory_bytes / 2**30
                memory.plot(gib, y, "o", color=COLORS[0], markerfacecolor=fill)
        for axes, label in ((hours, "hours of wall-clock time"), (memory, "GiB of memory at most")):
            axes.set_yticks(range(len(tasks)), tasks)
            axes.set(xlabel=label, ylim=(-0.6, len(tasks) - 0.4))
            axes.set_xlim(left=0)
        return svg(figure)


def against_compute(records: Iterable[RunRecord]) -> str | None:
    """Test result against wall-clock time of every finished run; hollow where it is not the paper's run."""
    finished = [r for r in records if r.metrics.test and r.compute.wall_s > 0]
    if not finished:
        return None
    metrics = sorted({r.metrics.name for r in finished})
    with matplotlib.rc_context(_SETTINGS):
        figure, panels = _panels(len(metrics))
        for axes, metric in zip(panels, metrics, strict=True):
            runs = [r for r in finished if r.metrics.name == metric]
            tasks = sorted({r.data.task for r in runs})
            for record in runs:
                color = COLORS[tasks.index(record.data.task) % len(COLORS)]
                full = record.budget.kind == "paper" and record.data.variant in PAPER_DATA
                hours, value = record.compute.wall_s / 3600, summarize([record]).mean
                fill = color if full else "white"
                axes.plot(hours, value, "o" if full else "v", color=color, markerfacecolor=fill)
            for i, task in enumerate(tasks):
                axes.plot([], [], "o", color=COLORS[i % len(COLORS)], label=task)
            times = [r.compute.wall_s / 3600 for r in runs]
            wide = max(times) > WIDE * min(times)
            axes.set(xscale="log" if wide else "linear", xlabel="hours of wall-clock time")
            axes.set(ylabel=f"test {_unit(runs[0])}")
            axes.legend()
        return svg(figure)


def kernels(length: int = 512, features: int = 4) -> str:
    """K (C, H, L) of every kernel in `configs/kernel` as it starts, one line a feature, with a fixed seed."""
    import torch

    names = sorted(file.stem for file in (CONFIG_DIR / "kernel").glob("*.yaml"))
    with matplotlib.rc_context(_SETTINGS), torch.random.fork_rng(devices=[]), torch.no_grad():
        figure, panels = _panels(len(names))
        for axes, name in zip(panels, names, strict=True):
            torch.manual_seed(0)
            kernel = kernel_factory(compose([f"kernel={name}"])["kernel"], length)(features, 1)
            for line, color in zip(kernel(length)[0], COLORS, strict=False):
                axes.plot(line / line.abs().max(), color=color, linewidth=1)
            axes.set(title=name, xlabel="lag", ylabel="kernel, scaled to 1")
        return svg(figure)


def _curve(axes: Axes, record: RunRecord, style: str, index: int) -> None:
    key = f"val_{record.metrics.name}"
    points = [(r["epoch"], r[key] * scale(record)) for r in record.metrics.curve if key in r]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    color, marker = _look(index)
    axes.plot([x for x, _ in points], [y for _, y in points], style, color=color, marker=marker)


def _look(index: int) -> tuple[str, str]:
    """Color and marker of a row; the marker changes when the colors come round again."""
    return COLORS[index % len(COLORS)], MARKERS[index // len(COLORS) % len(MARKERS)]


def _panels(n: int, height: float = 2.8) -> tuple[Figure, Sequence[Axes]]:
    across = min(n, 3)
    down = math.ceil(n / across)
    figure = Figure(figsize=(4.2 * across, max(height, 1.6) * down), layout="constrained", facecolor="white")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in panels[n:]:
        unused.remove()
    return figure, panels[:n]


def _unit(record: RunRecord) -> str:
    return "accuracy (%)" if record.metrics.name == "accuracy" else "RMSE"
