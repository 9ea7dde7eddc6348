"""One look for all figures: sizes of a paper's page, small type, no clutter. PNG to look at, PDF to print."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

P = ParamSpec("P")

STYLE: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
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
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
}
COLORS_KEPT = 64  # in a PNG, which is a third as large as with all
WIDTH = 6.75  # inches, two columns of a conference page


def styled(draw: Callable[P, tuple[Figure, Path]]) -> Callable[P, list[Path]]:
    """Run a drawing function in `STYLE` and `save` the figure that it returns with its stem."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> list[Path]:
        from matplotlib import pyplot

        with pyplot.rc_context(STYLE):
            fig, stem = draw(*args, **kwargs)
            paths = save(fig, stem)
            pyplot.close(fig)
        return paths

    return wrapper


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


def grid(columns: int, rows: int = 1, height: float = 2.3) -> tuple[Figure, np.ndarray]:
    """A page-wide figure and its (rows, columns) array of axes; `height` in inches is that of each row."""
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=(WIDTH, rows * height), squeeze=False)


def shade(index: int, count: int) -> tuple[float, ...]:
    """Colors from dark to light for ordered curves."""
    import matplotlib

    return matplotlib.colormaps["viridis"](0.85 * index / max(count - 1, 1))
