"""Figures of several panels, for the report as SVG and for the docs as PNG."""

from __future__ import annotations

import functools
import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from lra.figures.style import STYLE

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

P = ParamSpec("P")
Drawn = TypeVar("Drawn")

# Okabe and Ito's colors, told apart by color-blind readers; the lightest are left out
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS, LINES = (".", "x", "^"), ("-", ":", "-.")  # "--" is for excluded runs
WIDE = 10.0  # values of such a spread are drawn on a logarithmic axis
_SETTINGS: dict[RcKeyType, Any] = STYLE | {
    "svg.hashsalt": "lra",  # the same figure gives the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are text, with $ in them too
    "lines.markersize": 4,
}


def in_style(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """Run a drawing function in the one look of these figures."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


@in_style
def svg(figure: Figure | None) -> str | None:
    """The figure as an `<svg>` element, byte for byte the same for the same figure."""
    if figure is None:
        return None
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight")
    content = out.getvalue()
    return " ".join(content[content.index("<svg") :].split())  # the same picture in fewer lines


def panels(n: int, height: float = 2.8, title: str = "") -> tuple[Figure, Sequence[Axes]]:
    """A figure of n axes, three in a row at most, `height` inches each, under a title."""
    across = min(n, 3)
    down = math.ceil(n / across)
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, 50 * across)]
    size = 4.2 * across, max(height, 1.6) * down + 0.2 * len(lines)
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
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(left=0)
