"""Generator of Pathfinder and Path-X images: do the two marked spots lie on the same dashed contour?

The algorithm is that of Linsley et al. 2018 (arXiv:1805.08315; github drewlinsley/pathfinder, commit ab9c130,
2019) with the parameters that the Long Range Arena documents for 32, 64, 128 (Path-X) and 256 pixels;
compiled, and seeded an image at a time. Pure functions of parameters and seed: nothing is stored here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from lra.errors import UserError, choose

LEVELS = {"hard": 14, "intermediate": 9, "baseline": 6}
"""Difficulty → paddles in a target contour. The Long Range Arena uses `hard`."""


@dataclass(frozen=True)
class PathfinderParameters:
    """What defines a Pathfinder set. Lengths are in pixels; a snake is a contour of dashes, called paddles.

    Raises UserError for a thickness that cannot be drawn and for targets that cannot start inside the image.
    """

    size: int  # side S of the square image
    padding: int  # border that no snake enters
    paddle_margins: tuple[int, ...]  # free space around a paddle; an image draws one
    paddle_length: int
    paddle_thickness: float
    marker_radius: float
    seed_distance: int  # between the origin tips of the two targets
    continuity: float  # how strongly a snake goes straight on; 1 forbids turns beyond 90°
    distractor_paddles: int  # paddles shared out to the distractor snakes
    snake_contrast: float
    paddle_contrast: float  # of a target's paddles, times snake_contrast
    contour_length: int = LEVELS["hard"]  # paddles in a target
    antialias_scale: int = 2
    paddle_retrials: int = 2
    distractor_retrials: int = 4

    def __post_init__(self):
        width = self.paddle_thickness * self.antialias_scale
        if width != round(width) or width < 1:
            raise UserError(
                f"A Pathfinder paddle of thickness {self.paddle_thickness:g} is {width:g} pixels wide at "
                f"antialias scale {self.antialias_scale}; their product must be a whole number from 1 on. "
                "Change one of them."
            )
        if self.size <= 4 * self.seed_distance:
            raise UserError(
                f"Pathfinder targets start 2 · seed_distance = {2 * self.seed_distance} pixels or more from "
                f"every border, which leaves no place in an image of {self.size}. Take a seed_distance below "
                f"{self.size / 4:g}."
            )

    @property
    def distractor_length(self) -> int:
        """Paddles in a distractor snake."""
        return self.contour_length // 3

    @property
    def distractors(self) -> int:
        """Distractor snakes tried in an image; those that do not fit are left out."""
        return self.distractor_paddles // self.distractor_length


PRESETS = {
    32: PathfinderParameters(32, 1, (1,), 2, 0.5, 1.5, 7, 1.0, 20, 2.0, 0.75),
    64: PathfinderParameters(64, 1, (1,), 5, 1.0, 2.5, 12, 1.8, 22, 0.8, 1.0),
    128: PathfinderParameters(128, 1, (2, 3), 5, 1.5, 3.0, 20, 1.8, 35, 0.9, 1.0),
    256: PathfinderParameters(256, 22, (3,), 5, 2.0, 5.0, 27, 1.8, 30, 1.0, 1.0),
}
"""Image side → parameters of the Long Range Arena at the hard level (its `pathfinder.py`); 128 is Path-X."""


def preset(size: int, level: str = "hard") -> PathfinderParameters:
    """The published parameters of one image side and difficulty. Raises UserError for an unknown choice."""
    choose("The Pathfinder image side", size, PRESETS)
    choose("The Pathfinder level", level, LEVELS)
    return replace(PRESETS[size], contour_length=LEVELS[level])


@dataclass(frozen=True)
class PathfinderBatch:
    """B generated images."""

    images: np.ndarray  # (B, S, S) uint8
    labels: np.ndarray  # (B,) uint8: 1 if both markers lie on one target snake
    margins: np.ndarray  # (B,) uint8: paddle margin drawn


def generate_batch(parameters: PathfinderParameters, seed: int, first: int, count: int) -> PathfinderBatch:
    """Images first … first + count - 1 of the set `seed`. Image i depends on (parameters, seed, i) alone.

    Raises UserError for a seed outside 0 … 2⁶³ - 1 and when no two targets fit.
    """
    from lra.pathfinder import placement, stamps
    from lra.pathfinder.random import choose_margins

    if not 0 <= seed < 2**63:
        raise UserError(f"The Pathfinder seed is {seed}; it must lie in 0 … 2⁶³ - 1.")
    p, size, key = parameters, parameters.size, np.uint64(seed)
    images = np.empty((count, size, size), np.uint8)
    labels = np.empty(count, np.uint8)

    choice = np.empty(count, np.int64)
    choose_margins(key, first, choice, len(p.paddle_margins))
    sizes = p.contour_length, p.distractors, p.distractor_length
    for index, margin in enumerate(p.paddle_margins):
        rows = np.flatnonzero(choice == index)
        tables = stamps.paddle_tables(p.paddle_length, p.paddle_thickness, margin, p.continuity, p.antialias_scale)
        rules = placement.Rules(p.padding, margin, p.seed_distance, p.paddle_retrials, p.distractor_retrials)
        marker = stamps.marker_stamps(p.marker_radius, p.antialias_scale)
        failed = placement.draw_images(key, first, rows, tables, rules, _levels(p), marker, *sizes, images, labels)
        if failed >= 0:
            raise UserError(
                f"No two target snakes of {p.contour_length} paddles were found in {placement.GIVE_UP:,} "
                f"attempts at Pathfinder image {failed}. Take a larger image, shorter contours or smaller "
                f"margins: {p}"
            )
    margins = np.asarray(p.paddle_margins, np.uint8)[choice]
    return PathfinderBatch(images, labels, margins)


def generate(
    parameters: PathfinderParameters,
    seed: int,
    count: int,
    workers: int = 1,
    chunk: int = 1000,
    first: int = 0,
) -> Iterator[tuple[int, PathfinderBatch]]:
    """Yield (index of its first image, batch) for images first … count - 1, in order, `chunk` at a time.

    Workers are threads: the compiled code holds no interpreter lock. At most workers + 1 finished batches
    wait. To resume, pass as `first` the number of images already stored.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[tuple[int, Future[PathfinderBatch]]] = deque()
        try:
            for start in range(first, count, chunk):
                size = min(chunk, count - start)
                pending.append((start, pool.submit(generate_batch, parameters, seed, start, size)))
                if len(pending) > workers:
                    start, batch = pending.popleft()
                    yield start, batch.result()
            while pending:
                start, batch = pending.popleft()
                yield start, batch.result()
        finally:
            for _, batch in pending:
                batch.cancel()


def _levels(parameters: PathfinderParameters) -> np.ndarray:
    """(3, 256) float64: grey of each byte of a stamp in targets, distractors and markers.

    The original keeps dashes, but not markers, as float32.
    """
    grey = np.arange(256) / 255
    target = grey * (parameters.paddle_contrast * parameters.snake_contrast)
    distractor = grey * parameters.snake_contrast
    return np.stack([target.astype(np.float32), distractor.astype(np.float32), grey]).astype(np.float64)
