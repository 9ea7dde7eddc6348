"""Peaks are of the work alone, whatever this process and its parent held before."""

import pytest
import torch

from lra.benchmarks.memory import peak

MIB = 1 << 20


def prepare(mebibytes: int):
    """Work that holds so much at once, twice in a row."""

    def work():
        for _ in range(2):
            torch.ones(mebibytes * MIB // 4)

    return (lambda: torch.ones(1)), work


def fail():
    raise MemoryError


@pytest.mark.slow
def test_peak_counts_what_is_held_at_once():
    held = torch.ones(200 * MIB // 4)  # the parent's memory is not counted
    measured = peak(prepare, 64)
    assert held.numel()
    assert 64 * MIB <= measured < 80 * MIB


@pytest.mark.slow
def test_work_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="exit code"):
        peak(fail)
