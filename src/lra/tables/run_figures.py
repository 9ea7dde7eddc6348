"""Figures of runs: one run's learning curve; time, memory and results of all.

Each is a `Figure`, or None where nothing has been run that it could show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lra.figures.panels import COLORS, in_style, look, name_rows, panels, spread
from lra.records.schema import RunRecord
from lra.studies.schema import PAPER_DATA
from lra.tables import text
from lra.tables.select import reasons_excluded
from lra.tables.statistics import scale, summarize


@in_style
def run_curve(record: RunRecord) -> Figure | None:
    """One run: training and validation loss, and the validation metric with its best point."""
    if not record.metrics.curve:
        return None
    figure, (left, right) = panels(2, title=_name(record))
    for key, label, color in (("train_loss", "training", COLORS[0]), ("val_loss", "validation", COLORS[1])):
        rows = [r for r in record.metrics.curve if key in r]
        left.plot([r["epoch"] for r in rows], [r[key] for r in rows], ".-", color=color, label=label)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="epoch", ylabel="loss")
    left.legend()
    curve(right, record, 2)
    best = record.metrics.best_val
    if best:
        right.plot(best.epoch, best.value * scale(record.metrics.name), "o", color=COLORS[1], label="best")
        right.legend()
    right.set(xlabel="epoch", ylabel=f"validation {unit(record)}")
    return figure


@in_style
def resources(records: Iterable[RunRecord]) -> Figure | None:
    """Seconds a step, hours and peak memory of every finished run, by recipe, which names task and model.

    One color for each hardware; hollow where the budget was cut. A run on several has no one speed.
    """
    finished = [r for r in records if r.metrics.test and r.compute.wall_s > 0]
    if not finished:
        return None
    recipes = sorted({r.identity.experiment for r in finished}, reverse=True)
    devices = sorted({", then ".join(r.hardware) for r in finished})
    measures = {
        "seconds a step": lambda r: 1 / r.compute.steps_per_s if r.compute.steps_per_s and not r.hardware[1:] else None,
        "hours in all": lambda r: r.compute.wall_s / 3600,
        "GiB of memory at most": lambda r: r.compute.peak_memory_bytes and r.compute.peak_memory_bytes / 2**30,
    }
    figure, axes_of = panels(len(measures), 1.1 + 0.25 * len(recipes), "Time and memory of finished runs")
    for axes, (label, measure) in zip(axes_of, measures.items(), strict=True):
        shown = [(record, value) for record in finished if (value := measure(record))]
        for record, value in shown:
            color = COLORS[devices.index(", then ".join(record.hardware)) % len(COLORS)]
            fill = color if record.budget.kind == "paper" else "white"
            y = recipes.index(record.identity.experiment)
            axes.plot(value, y, "o", color=color, markerfacecolor=fill, alpha=0.8)
        name_rows(axes, recipes if axes is axes_of[0] else [""] * len(recipes))
        spread(axes, [value for _, value in shown])
        axes.set(xlabel=f"{label} (logarithmic)" if axes.get_xscale() == "log" else label)
    for i, device in enumerate(devices):
        figure.axes[0].plot([], [], "o", color=COLORS[i % len(COLORS)], label=device)
    if any(record.budget.kind != "paper" for record in finished):
        figure.axes[0].plot([], [], "o", color="0.3", markerfacecolor="white", label="reduced budget")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@in_style
def against_compute(records: Iterable[RunRecord]) -> Figure | None:
    """Test result against wall-clock time of every finished run; hollow where it is not the paper's run."""
    finished = [r for r in records if r.metrics.test and r.compute.wall_s > 0]
    if not finished:
        return None
    metrics = sorted({r.metrics.name for r in finished})
    figure, axes_of = panels(len(metrics))
    for axes, metric in zip(axes_of, metrics, strict=True):
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
        axes.set(xlabel="hours of wall-clock time", ylabel=f"test {unit(runs[0])}")
        spread(axes, [r.compute.wall_s for r in runs])
        axes.legend()
    return figure


def curve(axes: Axes, record: RunRecord, index: int, *, excluded: bool = False) -> None:
    """Draw the validation metric by epoch in the look of row `index`, dashed if it is excluded."""
    key = f"val_{record.metrics.name}"
    points = [(r["epoch"], r[key] * scale(record.metrics.name)) for r in record.metrics.curve if key in r]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    shown = look(index) | ({"linestyle": "--"} if excluded else {})
    axes.plot([x for x, _ in points], [y for _, y in points], **shown)


def unit(record: RunRecord) -> str:
    """What the axis of a result says."""
    return "accuracy (%)" if record.metrics.name == "accuracy" else "RMSE"


def _name(record: RunRecord) -> str:
    """A run and its result; on lines of their own the reasons for which no paper's cell may count it."""
    name = " ".join([record.identity.experiment, *record.identity.changed])
    lines = [f"{name}, seed {record.identity.seed}: {text.excluded(record)}"]
    if why := reasons_excluded(record, record.data.protocol):
        lines.append(f"not comparable with a paper: {'; '.join(why)}")
    return "\n".join(lines)
