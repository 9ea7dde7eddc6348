"""A file of results/benchmarks as a document, for the terminal and for generated blocks of the docs."""

from __future__ import annotations

from typing import Any

from lra.tables.layout import Document, Grid
from lra.tables.text import Entry

Row = dict[str, Any]

# Column title -> key in a row. A unit in the title says how the value is shown.
_TWINS = {"ms": "fast_seconds", "naive, ms": "naive_seconds", "ratio": "ratio"}
_MEMORY = {"MiB": "fast_peak_bytes", "naive, MiB": "naive_peak_bytes"}
_COLUMNS = {
    "kernels": {"operation": "operation", "L": "length"}
    | _TWINS
    | _MEMORY
    | {"error": "fast_float32_error", "naive error": "naive_float32_error"},
    "step": {"model": "setting", "L": "length", "B": "batch"}
    | _TWINS
    | {"launches": "launches", "busy, ms": "busy_seconds", "graphs, ms": "graphs_seconds"}  # of a GPU
    | _MEMORY,
    "bytes": {
        "recipe": "setting",
        "L": "length",
        "B": "batch",
        "signals a layer": "signals_a_layer",
        "GB": "bytes",
        "launches": "launches",
        "memory, ms": "memory_seconds",
        "float32, ms": "float32_seconds",
        "TF32, ms": "tf32_seconds",
    },
}
_TITLES = {
    "kernels": "Forward and backward, float32",
    "step": "A training step: forward, backward, optimizer",
    "data": "Batches from prepared data, one thread",
    "bytes": "A training step on a GPU, counted; the least times for its memory and products",
}


def document(name: str, content: dict[str, Any]) -> Document:
    """`content` is what `scripts/benchmark.py` writes to `name`.json, such as `step-cpu`: `machine` and `rows`."""
    what, rows = name.partition("-")[0], content["rows"]
    measured = {key: key for row in rows for key in row}
    columns = _COLUMNS.get(what) or measured
    columns = {title: key for title, key in columns.items() if key in measured}
    lines = [[Entry(_shown(title, row.get(key))) for title, key in columns.items()] for row in rows]
    machine = content["machine"]
    when = f"{machine['date'][:10]}, torch {machine['torch']}, code {machine['git_rev'][:10]}"
    if what == "bytes":
        header = [("Card", f"{machine['device']}, by its data sheet"), ("Counted", when)]
    else:
        header = [("Machine", f"{machine['device']}, {machine['cpu']}, {machine['threads']} threads")]
        header.append(("Measured", when))
    return Document(_TITLES[what], header, [Grid(list(columns), lines)], [])


def breakdown(content: dict[str, Any]) -> Document:
    """The parts of the steps, each measured on its own."""
    rows = content["rows"]
    parts = list(rows[0]["breakdown"])
    lines = [
        [Entry(row["setting"]), Entry(str(row["length"])), *(Entry(_ms(row["breakdown"][p])) for p in parts)]
        for row in rows
    ]
    titles = ["conv" if part == "convolution" else part for part in parts]
    return Document("Parts of a training step, ms", [], [Grid(["model", "L", *titles], lines)], [])


def _shown(title: str, value: Any) -> str:
    if value is None:
        return "–"
    if title.endswith("ms"):
        return _ms(value)
    if title == "GB":
        return f"{value / 1e9:.0f}"
    if title.endswith("MiB"):
        return f"{value / 2**20:,.0f}"
    if title.endswith("error"):
        return f"{value:.0e}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.{0 if seconds >= 0.01 else 1}f}"
