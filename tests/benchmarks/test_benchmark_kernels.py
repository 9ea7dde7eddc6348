"""The benchmark measures what it says, at toy sizes."""

import pytest
from benchmarks import cost, kernels
from benchmarks.cost import Cost


@pytest.mark.slow
def test_rows_are_complete(monkeypatch):
    monkeypatch.setattr(cost, "TURNS", 1)
    rows = [kernels.compare(make, 128, features=4, state_size=8, repeats=1) for make in kernels.CASES]
    assert [row["operation"] for row in rows] == ["s4d", "dss", "s4", "convolution"]
    for row in rows:
        assert row["length"] == 128
        assert row["ratio"] == row["naive_seconds"] / row["fast_seconds"] > 0
        assert row["fast_float32_error"] < 1e-5
        assert row["naive_float32_error"] < 1e-2
        assert row["fast_peak_bytes"] >= 0


def test_a_twin_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(kernels, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(kernels, "costs", lambda *_, sides, **__: {side: Cost(1.0, 5) for side in sides})
    row = kernels.compare(kernels.s4d, 64, features=2, state_size=4, repeats=1)
    assert row["naive_seconds"] is row["ratio"] is row["naive_peak_bytes"] is None
    assert row["fast_seconds"] > 0
