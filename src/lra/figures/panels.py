"""One look for all figures: panels in small type, without clutter. SVG for the report, PNG and PDF for the docs."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Okabe and Ito's colors, told apart by color-blind readers; the lightest are left out
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS, LINES = (".", "x", "^"), ("-", ":", "-.")  # "--" is for excluded runs
WIDE = 10.0  # values of such a spread are drawn on a logarithmic axis
COLORS_KEPT = 64  # in a PNG, which is a third as large as with all
STYLE: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "pdf.fonttype": 42,
    "svg.hashsalt": "lra",  # the same figure gives the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are text, with $ in them too
    "lines.markersize": 4,
}
in_style = matplotlib.rc_context(STYLE)  # for the functions that draw


@in_style
def svg(figure: Figure | None) -> str | None:
    """The figure as an `<svg>` element, byte for byte the same for the same figure."""
    if figure is None:
        return None
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight")
    content = out.getvalue()
    return " ".join(content[content.index("<svg") :].split())  # the same picture in fewer lines


@in_style
def save(figure: Figure, stem: Path) -> list[Path]:
    """Write the stem's .png and .pdf. No date is written, so that the same figure is the same file."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf")]
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=160)
    Image.open(drawn).convert("RGB").quantize(COLORS_KEPT, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        paths[0], optimize=True
    )
    figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def panels(n: int, height: float = 2.8, title: str = "", across: int = 3) -> tuple[Figure, Sequence[Axes]]:
    """A figure of n axes, `across` in a row at most, `height` inches each, under a title."""
    across = min(n, across)
    down = math.ceil(n / across)
    width = min(4.2 * across, 12.6)
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, round(50 * width / 4.2))]
    size = width, max(height, 1.6) * down + 0.2 * len(lines)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    figure.suptitle("\n".join(lines))
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in axes[n:]:
        unused.remove()
    return figure, axes[:n]


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """A vertical axis of rows with these names, from below, wrapped."""
    axes.set_yticks(range(len(names)), [textwrap.fill(name, 28) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)


def look(index: int) -> dict[str, Any]:
    """Color, marker and line of a row; the latter change when the colors come round again."""
    again = index // len(COLORS) % len(MARKERS)
    return {"color": COLORS[index % len(COLORS)], "marker": MARKERS[again], "linestyle": LINES[again]}


def spread(axes: Axes, values: Sequence[float]) -> None:
    """A horizontal axis from zero, or logarithmic where the values are far apart."""
    if values and max(values) > WIDE * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        in_plain_numbers(axes.xaxis)
    else:
        axes.set_xlim(left=0)


def shade(index: int, count: int) -> tuple[float, ...]:
    """Colors from dark to light for ordered curves."""
    return matplotlib.colormaps["viridis"](0.85 * index / max(count - 1, 1))


def in_plain_numbers(axis: Axis) -> None:
    """0.01, 1, 100 on a logarithmic axis, and nothing between."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
