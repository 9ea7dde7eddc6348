"""The benchmark measures what it says, at toy sizes."""

import torch
from benchmarks import kernels
from benchmarks.cost import Cost, seconds


def in_this_process(prepare, *sizes, repeats, sides):
    """Each side once; that they run in processes of their own is tested with `costs`."""
    works = {side: prepare(side, *sizes)[1] for side in sides}
    return {side: Cost(seconds(work, torch.device("cpu")), 5) for side, work in works.items()}


def test_rows_are_complete(monkeypatch):
    monkeypatch.setattr(kernels, "costs", in_this_process)
    rows = [kernels.compare(make, 128, features=4, state_size=8, repeats=1) for make in kernels.CASES]
    assert [row["operation"] for row in rows] == ["s4d", "dss", "s4", "convolution"]
    for row in rows:
        assert row["length"] == 128
        assert row["ratio"] == row["naive_seconds"] / row["fast_seconds"] > 0
        assert row["fast_float32_error"] < 1e-5
        assert row["naive_float32_error"] < 1e-2
        assert row["fast_peak_bytes"] == row["naive_peak_bytes"] == 5


def test_a_twin_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(kernels, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(kernels, "costs", lambda *_, sides, **__: {side: Cost(1.0, 5) for side in sides})
    row = kernels.compare(kernels.s4d, 64, features=2, state_size=4, repeats=1)
    assert row["naive_seconds"] is row["ratio"] is row["naive_peak_bytes"] is None
    assert row["fast_seconds"] > 0
