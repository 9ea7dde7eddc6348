"""The compared models are the same function, and the benchmark's rows are complete, at toy sizes."""

from dataclasses import replace

import pytest
import torch
from benchmarks import cost, step
from benchmarks.cost import Cost
from benchmarks.straightforward import straightforward

from lra.config import Config
from lra.tables.benchmarks import document


def test_a_table_has_the_columns_that_were_measured():
    row = {"setting": "lra/text-dss", "length": 2048, "batch": 50, "fast_seconds": 0.0215, "launches": 964}
    machine = {
        "device": "GPU",
        "cpu": "CPU",
        "threads": 1,
        "torch": "2.11.0",
        "git_rev": "0" * 12,
        "date": "2026-11-26",
    }
    (grid,) = document("step-cuda", {"machine": machine, "rows": [row | {"busy_seconds": 0.0091}]}).grids
    assert grid.columns == ["model", "L", "B", "ms", "launches", "busy, ms"]
    assert [entry.text for entry in grid.lines[0]] == ["lra/text-dss", "2048", "50", "22", "964", "9.1"]


def toy(kernel: str, **changes) -> step.Setting:
    setting = step.floor_setting(kernel, 1024)
    model = setting.config.model | {"layers": 2, "features": 8} | changes
    spec = replace(setting.spec, max_length=48)
    values = setting.config.model_dump() | {
        "model": model,
        "kernel": setting.config.kernel | {"state_size": 8},
    }
    return replace(setting, config=Config.parse(values), spec=spec, batch=3, length=48)


def test_what_is_measured_on_a_gpu_besides(monkeypatch):
    monkeypatch.setattr(step, "gpu_activity", lambda work: work() or {"launches": 1, "busy_seconds": 0.1})
    found = step._on_gpu(toy("s4d"), 2, torch.device("cpu"))
    assert found.keys() == {"launches", "busy_seconds", "graphs_seconds"}
    assert found["graphs_seconds"] > 0


@pytest.mark.parametrize("kernel", ["s4d", "s4"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("prenorm", [True, False])
@pytest.mark.parametrize("mixing", ["glu", "linear"])
def test_twins_agree_in_outputs_and_gradients(kernel, norm, prenorm, mixing):
    setting = toy(kernel, norm=norm, prenorm=prenorm, mixing=mixing)
    model = setting.model().double()
    x, lengths, _ = setting.inputs(torch.device("cpu"))
    lengths[1] = 20

    def run():
        outputs = model(x.double(), lengths)
        return outputs, *torch.autograd.grad(outputs.square().sum(), list(model.parameters()))

    fast = run()
    with straightforward():
        naive = run()
    for ours, expected in zip(fast, naive, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-7, atol=1e-9)


def test_rows_are_complete(monkeypatch):
    monkeypatch.setattr(step, "costs", lambda *_, **__: {"fast": Cost(2.0, 5), "naive": Cost(6.0, 7)})
    row = step.compare(toy("s4d"), 1, torch.device("cpu"))
    assert (row["fast_seconds"], row["naive_seconds"], row["ratio"]) == (2, 6, 3)
    assert (row["fast_peak_bytes"], row["naive_peak_bytes"]) == (5, 7)
    parts = ["encoder", "norm", "kernel", "convolution", "mixing", "loss", "optimizer"]
    assert list(row["breakdown"]) == parts
    assert min(row["breakdown"].values()) > 0


@pytest.mark.slow
def test_our_step_holds_less_memory(monkeypatch):
    monkeypatch.setattr(cost, "TURNS", 1)
    setting = replace(toy("s4d"), length=4096, spec=replace(toy("s4d").spec, max_length=4096))
    found = step.costs(step._work, setting, repeats=1)
    assert 0 < found["fast"].peak_bytes < found["naive"].peak_bytes
