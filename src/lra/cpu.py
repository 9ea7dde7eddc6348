"""The processor, and settings that make training on it faster; they do not change what is learned."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import torch

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
NEVER_TRIMMED = (1 << 31) - 1


def tune() -> None:
    """Round denormal numbers to zero, and keep freed memory instead of asking the system for it in every step.

    Far-off entries of decaying kernels are denormal, and arithmetic with them is many times slower. Pages that go
    back to the system are cleared and mapped again when the next step wants them.
    """
    torch.set_flush_denormal(True)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # tensors of any size come from the heap
        mallopt(M_ARENA_MAX, 1)  # one for all threads: what the backward pass frees, the forward pass finds
        mallopt(M_TRIM_THRESHOLD, NEVER_TRIMMED)


def model_name() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
