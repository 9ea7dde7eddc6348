"""Paddle and marker stamps of the Pathfinder generator: everything that can be drawn once and copied ever
after.

A paddle's picture depends only on its orientation and the parameters, and only finitely many orientations
occur: seeds use integer degrees, extensions the displacements of one circle of pixels. Grey values are bytes
k, standing for k / 255.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from lra.pathfinder.placement import COLLISION, DEGREES

LANCZOS_SUPPORT = 3  # output pixels on each side of a resized pixel


class PaddleTables(NamedTuple):
    """Tables for one paddle margin.

    K = 360 + C orientations, the last C those of the extension steps; s the side of a stamp. Displacements
    and offsets are (y, x). Lists that differ in length from one orientation to the next lie end to end,
    orientation k's from start[k] to start[k + 1].
    """

    line: np.ndarray  # (K, s, s) uint8: the paddle, centered on the seed's tail or the extension's head
    mask: np.ndarray  # (K, s, s) uint8: the paddle and its margin
    widened: np.ndarray  # (K, s + 2·margin, s + 2·margin) uint8: `mask` dilated by the disc of the margin
    core: np.ndarray  # (·, 3) int32: offsets and values of the mask's pixels that can collide
    core_start: np.ndarray  # (K + 1,) int32
    footprint: np.ndarray  # (·, 2) int32: offsets from a seed's tail that must be free
    footprint_start: np.ndarray  # (361,) int32
    head: np.ndarray  # (360, 2) float64: seed's tail to head
    pivot: np.ndarray  # (360, 2) float64: seed's head to pivot
    advance: np.ndarray  # (K, 2) float64: from the pivot of a paddle to the next one's
    step: np.ndarray  # (C, 2) int32: pivot to head of an extension
    # (K, C) float64: weight of each step after a paddle of orientation k, in free space
    preference: np.ndarray


@lru_cache(maxsize=8)
def paddle_tables(length: int, thickness: float, margin: int, continuity: float, antialias_scale: int) -> PaddleTables:
    """Draw every paddle that can occur with this margin."""
    step = extension_steps(length + margin)
    degrees = np.arange(-DEGREES // 2, DEGREES // 2) * np.pi / 180
    step_angle = np.arctan2(step[:, 0], step[:, 1])
    angle = np.concatenate([degrees, step_angle])  # of a seed, tail to head; of an extension, pivot to head
    drawn = np.concatenate([degrees, opposite(step_angle)])
    stamps = [paddle_stamp(a, length, thickness, margin, antialias_scale) for a in drawn]
    line, mask = (np.stack(kind) for kind in zip(*stamps, strict=True))
    disc_of_margin = disc(margin)
    frame = np.pad(mask, ((0, 0), (margin, margin), (margin, margin)))
    core, core_start = end_to_end([collision_core(m) for m in mask])
    footprint, footprint_start = end_to_end([seed_footprint(m, length + margin) for m in mask[:DEGREES]])
    return PaddleTables(
        line=line,
        mask=mask,
        widened=np.stack([ndimage.grey_dilation(f, footprint=disc_of_margin) for f in frame]),
        core=core,
        core_start=core_start,
        footprint=footprint,
        footprint_start=footprint_start,
        head=displacement(degrees, length),
        pivot=displacement(opposite(degrees), length + margin),
        advance=displacement(angle, length + 2 * margin),
        step=step,
        preference=step_preference(angle, step_angle, continuity),
    )


def opposite(angle: np.ndarray) -> np.ndarray:
    return np.where(angle < 0, angle + np.pi, angle - np.pi)


def displacement(angle: np.ndarray, distance: int) -> np.ndarray:
    """(K, 2) float64: distance · (sin, cos).

    Not rounded here: ceil(c + 4 cos 90°), where cos 90° comes out as 6e-17, is c + 1 for c = 1, 2 and 3 but c
    from 4 on, and this shifts the snakes that run along the low borders.
    """
    return distance * np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def end_to_end(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All lists in one int32 array, and where each starts."""
    return np.concatenate(lists).astype(np.int32), np.cumsum([0] + [len(x) for x in lists]).astype(np.int32)


def step_preference(angle: np.ndarray, step_angle: np.ndarray, continuity: float) -> np.ndarray:
    """(K, C) float64: cos² of the turning angle times `continuity`, 0 from 90° on."""
    turn = np.abs(step_angle - angle[:, None])
    turn = continuity * np.minimum(turn, 2 * np.pi - turn)
    return np.where(turn < np.pi / 2, np.cos(turn) ** 2, 0.0)


def paddle_stamp(
    angle: float, length: int, thickness: float, margin: int, antialias_scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """(line, mask), each (s, s) uint8, of the paddle that leaves the center along (sin angle, cos angle)."""
    reach = length + int(np.ceil(thickness)) + margin
    center = reach * antialias_scale
    head_y, head_x = (int(np.ceil(center + length * antialias_scale * part)) for part in (np.sin(angle), np.cos(angle)))
    canvas = Image.new("L", (2 * center + 1, 2 * center + 1))
    ImageDraw.Draw(canvas).line(
        [(center, center), (head_x, head_y)], fill=255, width=round(thickness * antialias_scale)
    )
    fine = np.asarray(canvas)
    occupied = ndimage.binary_dilation(fine, disc(margin * antialias_scale)).astype(np.uint8) * 255
    side = 2 * reach + 1
    return shrink(fine, side), shrink(occupied, side)


def extension_steps(radius: int) -> np.ndarray:
    """(C, 2) int32: the pixels met by a walk of unit arcs around a circle, each once.

    The generator truncates coordinates inside the image, which are not negative: displacements are rounded
    down.
    """
    arc = np.arange(0, 360, 360 / (2 * radius * np.pi)) * np.pi / 180
    return np.unique(np.floor(radius * np.stack([np.sin(arc), np.cos(arc)], axis=1)), axis=0).astype(np.int32)


def collision_core(mask: np.ndarray) -> np.ndarray:
    """(·, 3): y and x offset and value of the pixels whose sum with a full mask reaches the limit."""
    y, x = np.nonzero(mask >= COLLISION - 255)
    reach = mask.shape[0] // 2
    return np.stack([y - reach, x - reach, mask[y, x]], axis=1)


def seed_footprint(mask: np.ndarray, reach: int) -> np.ndarray:
    """(F, 2): offsets of the structuring element that a seed's tail dilates the mask with; none if it is
    unusable.

    The element is the paddle mask cast to uint8, which keeps only full ones, in a window of side 2·reach + 1
    whose paddle starts one pixel beside the window's center. OpenCV anchors the element at the center, does
    not reflect it, and gives minus infinity where it lies outside the image altogether; the generator takes a
    negative minimum for a full mask. That happens in a corner of the image unless the element enters all four
    quadrants, and with a margin of 1 it rules out most orientations: at 32 and 64 pixels it decides how many
    distractors there are.
    """
    offsets = np.argwhere(mask == 255) - mask.shape[0] // 2 + 1
    offsets = offsets[(np.abs(offsets) <= reach).all(axis=1)]
    usable = all(((offsets * side) >= 0).all(axis=1).any() for side in ((1, 1), (1, -1), (-1, 1), (-1, -1)))
    return offsets if usable else offsets[:0]


@lru_cache(maxsize=8)
def marker_stamps(radius: float, antialias_scale: int) -> np.ndarray:
    """(n, n, n, n) uint8: [class of y, class of x] is the marker's window of side n.

    Resizing renormalizes its filter at the image's border, so a marker near it looks different. With n =
    2·reach + 1, class reach is a marker far from both borders, class k < reach one k pixels from the low
    border, n - 1 - k the same from the high border.
    """
    # What the filter blurs must not touch what a border changes.
    reach = int(np.ceil(radius)) + 2 * LANCZOS_SUPPORT + 1
    n = 2 * reach + 1
    fine = np.arange(n * antialias_scale)
    stamps = np.empty((n, n, n, n), np.uint8)
    for y in range(n):
        for x in range(n):
            squared = (fine[:, None] - y * antialias_scale) ** 2 + (fine - x * antialias_scale) ** 2
            inside = squared <= (radius * antialias_scale) ** 2
            stamps[y, x] = shrink(inside.astype(np.uint8) * 255, n)
    return stamps


def disc(radius: int) -> np.ndarray:
    """(2·radius + 1, 2·radius + 1) bool: x² + y² ≤ radius²."""
    axis = np.arange(-radius, radius + 1)
    return axis[:, None] ** 2 + axis**2 <= radius**2


def shrink(fine: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(fine).resize((side, side), Image.Resampling.LANCZOS))
