"""Peaks are of the work alone, whatever this process and its parent held before; each side has its own settings."""

import os

import pytest
import torch
from benchmarks.cost import PYTORCH_SETTINGS, costs

MIB = 1 << 20


def prepare(side: str, mebibytes: int):
    """Work that holds so much at once, twice in a row, and takes longer for the naive side."""
    for name, value in PYTORCH_SETTINGS.items():
        assert (os.environ[name] == value) == (side == "naive")

    def work():
        for _ in range(2 if side == "fast" else 20):
            torch.ones(mebibytes * MIB // 4)

    return (lambda: torch.ones(1)), work


def fail(side: str):
    raise MemoryError


@pytest.mark.slow
def test_peak_counts_what_is_held_at_once():
    held = torch.ones(200 * MIB // 4)  # the parent's memory is not counted
    found = costs(prepare, 64, repeats=2)
    assert held.numel()
    assert found["naive"].seconds > found["fast"].seconds > 0
    assert 60 * MIB < found["naive"].peak_bytes < 80 * MIB
    # Freed memory stays with this process, and whether the next block fits into it is up to the C library.
    assert 60 * MIB < found["fast"].peak_bytes < 160 * MIB


@pytest.mark.slow
def test_work_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="exit code"):
        costs(fail, repeats=1)
