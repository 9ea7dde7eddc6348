"""Blocks of positions: on a CPU, work on (B, H, L) goes through the cache once, a block at a time."""

from __future__ import annotations

from torch import Tensor

CPU_BLOCK = 1 << 18  # numbers; a few blocks fit into the second-level caches of two cores


def plus(total: Tensor | None, part: Tensor) -> Tensor:
    """The sum over blocks, so far: in place, and without zeros to begin with."""
    return part if total is None else total.add_(part)


def position_blocks(x: Tensor) -> list[tuple]:
    """Indices of `x` (B, H, L): (H, L) or (H, l) blocks on a CPU, all of it elsewhere."""
    if x.device.type != "cpu":
        return [(...,)]
    batch, features, length = x.shape
    step = max(1, CPU_BLOCK // features)
    if step >= length:
        return [(row,) for row in range(batch)]
    starts = range(0, length, step)
    return [(row, slice(None), slice(start, start + step)) for row in range(batch) for start in starts]
