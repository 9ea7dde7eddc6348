"""The compiled part of the Pathfinder generator: places paddles, then paints them.

Coordinates are (y, x). A paddle is (y, x, orientation), an orientation being an index into `PaddleTables`.
Occupancy is kept in bytes k, for the generator's k / 255, as two images: `room[0]`, the mask, and `room[1]`,
the mask dilated by the disc of the paddle margin. Dilation distributes over the maximum, so both grow by
stamps; what a stamp loses at the image's border can only matter within one margin of it, which the padding
has blocked anyway.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from lra.pathfinder.random import below, start, uniform

# numba's cache notices changes to this file alone: constants of the compiled code are defined here.
DEGREES = 360  # the first 360 orientations are those of seeds, -180° to 179°; extensions follow
COLLISION = 459  # 1.8 · 255: the sum of two masks that an extension may not reach
OCCUPIED = 76  # a seed's place is free where ceil(m - 0.3) = 0, that is m ≤ 76 / 255
LEAST_WEIGHT = 1e-4  # an extension whose steps weigh less in all is a dead end
SCARCE = 0.01  # no distractor is tried when less of the mask is free
DARTS = 64  # places tried at random before all are listed; the distribution is the same
GIVE_UP = 1_000_000  # attempts at one image; the published parameters need at most 3000 on average


class Rules(NamedTuple):
    """The numbers of `PathfinderParameters` that placing paddles needs."""

    padding: int
    margin: int
    seed_distance: int
    paddle_retrials: int
    distractor_retrials: int


@njit(cache=True, nogil=True)
def _inside(size, y, x):
    return 0 <= y < size and 0 <= x < size


@njit(cache=True, nogil=True)
def _translate(y, x, by):
    return math.ceil(y + by[0]), math.ceil(x + by[1])


@njit(cache=True, nogil=True)
def _is_free(mask, footprint, y, x, border):
    """Whether a seed with its tail at (y, x) meets nothing, nor the image's outer `border` pixels."""
    size = mask.shape[0]
    for k in range(footprint.shape[0]):
        v, u = y + footprint[k, 0], x + footprint[k, 1]
        if not _inside(size, v, u):
            continue
        if v < border or u < border or v >= size - border or u >= size - border or mask[v, u] > OCCUPIED:
            return False
    return True


@njit(cache=True, nogil=True)
def _free_place(mask, footprint, border, state):
    """A place drawn uniformly among the free ones; (-1, -1) without any or if the orientation is unusable."""
    size = mask.shape[0]
    if footprint.shape[0] == 0:
        return -1, -1
    for _ in range(DARTS):
        y, x = below(state, size), below(state, size)
        if _is_free(mask, footprint, y, x, border):
            return y, x
    found, place_y, place_x = 0, -1, -1
    for y in range(size):
        for x in range(size):
            if _is_free(mask, footprint, y, x, border):
                found += 1
                if below(state, found) == 0:
                    place_y, place_x = y, x
    return place_y, place_x


@njit(cache=True, nogil=True)
def _put_seed(size, y, x, orientation, t, paddle, pivot):
    """Set a snake's first paddle, its tail at (y, x); False when its head or pivot is outside the image."""
    head_y, head_x = _translate(y, x, t.head[orientation])
    pivot[0], pivot[1] = _translate(head_y, head_x, t.pivot[orientation])
    paddle[0], paddle[1], paddle[2] = y, x, orientation
    return _inside(size, head_y, head_x) and _inside(size, pivot[0], pivot[1])


@njit(cache=True, nogil=True)
def _seed(mask, border, t, rules, state, paddle, pivot):
    """Place the first paddle of a snake where the mask is free."""
    for _ in range(rules.paddle_retrials + 1):
        orientation = below(state, DEGREES)
        footprint = t.footprint[t.footprint_start[orientation] : t.footprint_start[orientation + 1]]
        y, x = _free_place(mask, footprint, border, state)
        if y < 0:
            return False
        if _put_seed(mask.shape[0], y, x, orientation, t, paddle, pivot):
            return True
    return False


@njit(cache=True, nogil=True)
def _seed_beside(size, first, t, rules, state, paddle, pivot):
    """Place the second target's first paddle, its tail `seed_distance` from the first one's tail."""
    for _ in range(rules.paddle_retrials + 1):
        orientation = below(state, DEGREES)
        direction = below(state, 360) * math.pi / 180
        y = round(first[0] + rules.seed_distance * math.sin(direction))
        x = round(first[1] + rules.seed_distance * math.cos(direction))
        if _put_seed(size, y, x, orientation, t, paddle, pivot):
            return True
    return False


@njit(cache=True, nogil=True)
def _collides(mask, core, y, x):
    for k in range(core.shape[0]):
        v, u = y + core[k, 0], x + core[k, 1]
        if _inside(mask.shape[0], v, u) and mask[v, u] + core[k, 2] >= COLLISION:
            return True
    return False


@njit(cache=True, nogil=True)
def _stamp(image, stamp, y, x):
    """image = max(image, stamp centered at (y, x))."""
    size, reach = image.shape[0], stamp.shape[0] // 2
    left, right = max(x - reach, 0), min(x + reach + 1, size)
    for v in range(max(y - reach, 0), min(y + reach + 1, size)):
        row = image[v, left:right]
        source = stamp[v - y + reach, left - x + reach : right - x + reach]
        for u in range(row.shape[0]):  # slices let the compiler use vector instructions
            row[u] = max(row[u], source[u])


@njit(cache=True, nogil=True)
def _occupy(room, t, paddle):
    _stamp(room[0], t.mask[paddle[2]], paddle[0], paddle[1])
    _stamp(room[1], t.widened[paddle[2]], paddle[0], paddle[1])


@njit(cache=True, nogil=True)
def _draw(state, weight, total):
    """An index drawn with probability weight / total."""
    target = uniform(state) * total
    last = 0
    for c in range(weight.shape[0]):
        if weight[c] > 0:
            last = c
            target -= weight[c]
            if target < 0:
                break
    return last


@njit(cache=True, nogil=True)
def _extend(room, t, rules, state, previous, paddle, pivot, weight):
    """Place a snake's next paddle; only then does the previous one occupy its place."""
    size = room.shape[1]
    pivot_y, pivot_x = _translate(pivot[0], pivot[1], t.advance[previous[2]])
    total = 0.0
    for c in range(t.step.shape[0]):
        y, x = pivot_y + t.step[c, 0], pivot_x + t.step[c, 1]
        weight[c] = t.preference[previous[2], c]
        if weight[c] > 0:
            weight[c] *= 1 - room[1, y, x] / 255 if _inside(size, y, x) else 0.0
        total += weight[c]
    if total < LEAST_WEIGHT:
        return False
    for _ in range(rules.paddle_retrials + 1):
        c = _draw(state, weight, total)
        y, x, orientation = pivot_y + t.step[c, 0], pivot_x + t.step[c, 1], DEGREES + c
        core = t.core[t.core_start[orientation] : t.core_start[orientation + 1]]
        if not _collides(room[0], core, y, x):
            _occupy(room, t, previous)
            paddle[0], paddle[1], paddle[2] = y, x, orientation
            pivot[0], pivot[1] = pivot_y, pivot_x
            return True
    return False


@njit(cache=True, nogil=True)
def _copy(room, source):
    to, of = room.ravel(), source.ravel()
    for i in range(to.size):  # nine times as fast as to[:] = of
        to[i] = of[i]


@njit(cache=True, nogil=True)
def _grow_targets(room, empty, t, rules, state, targets, pivots, weight):
    """Place both target snakes, `targets` (2, contour_length, 3), in an empty room, a paddle each in turn."""
    if not _seed(empty[0], 2 * rules.seed_distance, t, rules, state, targets[0, 0], pivots[0]):
        return False
    if not _seed_beside(room.shape[1], targets[0, 0], t, rules, state, targets[1, 0], pivots[1]):
        return False
    _copy(room, empty)
    for k in range(1, targets.shape[1]):
        for s in range(2):
            if not _extend(room, t, rules, state, targets[s, k - 1], targets[s, k], pivots[s], weight):
                return False
    # The generator merges the second snake's last paddle only: the first one's stays free for distractors.
    _occupy(room, t, targets[1, -1])
    return True


@njit(cache=True, nogil=True)
def _grow_distractor(room, t, rules, state, snake, pivot, weight):
    free = 0
    for value in room[0].flat:
        free += value <= OCCUPIED
    if free < SCARCE * room[0].size or not _seed(room[0], 1, t, rules, state, snake[0], pivot):
        return False
    for k in range(1, snake.shape[0]):
        if not _extend(room, t, rules, state, snake[k - 1], snake[k], pivot, weight):
            return False
    _occupy(room, t, snake[-1])
    return True


@njit(cache=True, nogil=True)
def _grow_distractors(room, before, t, rules, state, distractors, pivot, weight):
    """Place what distractors fit at the front of `distractors` (·, distractor_length, 3); return how many."""
    placed = 0
    for _ in range(distractors.shape[0]):
        for _ in range(rules.distractor_retrials + 1):
            _copy(before, room)
            if _grow_distractor(room, t, rules, state, distractors[placed], pivot, weight):
                placed += 1
                break
            _copy(room, before)
    return placed


@njit(cache=True, nogil=True)
def _empty_room(room, rules):
    for layer, border in enumerate((rules.padding, rules.padding + rules.margin)):
        room[layer] = 255
        room[layer, border:-border, border:-border] = 0


@njit(cache=True, nogil=True)
def _paint(canvas, stamp, level, y, x, center_y, center_x):
    """canvas = max(canvas, level[stamp]) with the stamp's pixel (center_y, center_x) at (y, x)."""
    size, n = canvas.shape[0], stamp.shape[0]
    for v in range(max(y - center_y, 0), min(y - center_y + n, size)):
        for u in range(max(x - center_x, 0), min(x - center_x + n, size)):
            value = level[stamp[v - y + center_y, u - x + center_x]]
            canvas[v, u] = max(canvas[v, u], value)


@njit(cache=True, nogil=True)
def _border_class(position, size, n):
    """Which of the n marker stamps fits an axis of `size` pixels; see `marker_stamps`."""
    return max(min(position, n // 2), position - size + n)


@njit(cache=True, nogil=True)
def _stretch(canvas, image):
    """Stretch min..max to bytes 0..255, rounding half up."""
    low, high = canvas.min(), canvas.max()
    scale = 255 / (high - low)
    for v in range(canvas.shape[0]):
        for u in range(canvas.shape[1]):
            image[v, u] = int((canvas[v, u] - low) * scale + 0.5)


@njit(cache=True, nogil=True)
def draw_images(
    seed,
    first,
    rows,
    t,
    rules,
    levels,
    marker,
    contour_length,
    distractor_count,
    distractor_length,
    images,
    labels,
):
    """Draw images first + rows, all with the margin of tables `t`, into the rows of the output arrays.

    `levels` (3, 256) float64: grey of target, distractor and marker bytes. `marker`: see `marker_stamps`.
    Outputs: `images` (B, S, S), `labels` (B,). Returns -1, or the first image for which no two targets were found.
    """
    size, n = images.shape[1], marker.shape[0]
    state = np.empty(1, np.uint64)
    empty = np.empty((2, size, size), np.uint8)
    room, before = np.empty_like(empty), np.empty_like(empty)
    _empty_room(empty, rules)
    canvas = np.empty((size, size))
    pivots = np.empty((2, 2), np.int64)
    weight = np.empty(t.step.shape[0])
    targets = np.empty((2, contour_length, 3), np.int16)
    distractors = np.empty((distractor_count, distractor_length, 3), np.int16)
    center = t.line.shape[1] // 2
    for row in rows:
        start(state, seed, np.uint64(first + row))
        uniform(state)  # the margin's draw
        labels[row] = below(state, 2)
        attempts = 0
        while not _grow_targets(room, empty, t, rules, state, targets, pivots, weight):
            attempts += 1
            if attempts == GIVE_UP:
                return first + row
        grown = _grow_distractors(room, before, t, rules, state, distractors, pivots[0], weight)
        canvas[:] = 0
        for s in range(2):
            for y, x, orientation in targets[s]:
                _paint(canvas, t.line[orientation], levels[0], y, x, center, center)
        for s in range(grown):
            for y, x, orientation in distractors[s]:
                _paint(canvas, t.line[orientation], levels[1], y, x, center, center)
        origin = below(state, 2)
        terminal = origin if labels[row] == 1 else 1 - origin
        for y, x in (targets[origin, 0, :2], targets[terminal, -1, :2]):
            class_y, class_x = _border_class(y, size, n), _border_class(x, size, n)
            _paint(canvas, marker[class_y, class_x], levels[2], y, x, class_y, class_x)
        _stretch(canvas, images[row])
    return -1
