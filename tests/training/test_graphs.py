"""Steps replayed from CUDA graphs are those that are launched one by one."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from lra.training import graphs
from lra.training.graphs import Graphs
from lra.training.run import run


class Scaled(nn.Linear):
    def forward(self, x, lengths, rate):
        return super().forward(x) * rate


def test_on_a_cpu_the_model_is_called():
    model = Scaled(2, 2)
    notes: list[str] = []
    x = torch.randn(3, 2)
    assert torch.equal(Graphs(model, notes.append)(x, torch.ones(3), 2.0), model(x, None, 2.0))
    assert not notes


def test_a_shape_prevails_when_it_makes_up_half_of_the_calls():
    calls = Graphs(nn.Identity(), print)
    often, seldom = (True, (2, 8), 1.0), (True, (2, 7), 1.0)
    said = [calls._prevails(key) for key in [often, often, seldom] * 12]
    assert said.index(True) == 15  # the eleventh of its shape
    assert not any(said[2::3])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", ["s4d", "s4"])
def test_replayed_training_is_the_same(toy, family, monkeypatch):
    captures: list[bool] = []
    capture = Graphs._capture

    def counted(self, *arguments):
        captures.append(self.model.training)
        return capture(self, *arguments)

    monkeypatch.setattr(Graphs, "_capture", counted)
    monkeypatch.setattr(graphs, "AFTER", 2)
    toy["trainer"]["accelerator"] = "gpu"
    toy["model"] |= {"dropout": 0.2, "norm": "batch"}
    toy["kernel"] = {"_target_": f"lra.kernels.{family}.{family.upper()}", "state_size": 4}
    weights, metrics = [], []
    for cuda_graphs in (True, False):
        config = copy.deepcopy(toy)
        config["trainer"]["cuda_graphs"] = cuda_graphs
        for key in ("output_dir", "results_dir"):
            config[key] = f"{config[key]}-{cuda_graphs}"
        captures.clear()
        record = run(config)
        assert not record.health
        assert set(captures) == ({True, False} if cuda_graphs else set())
        metrics.append(record.metrics)
        path = max(Path(config["output_dir"]).rglob("step-*.ckpt"))
        weights.append(torch.load(path, weights_only=True)["state_dict"])
    assert metrics[0].curve[-1]["val_loss"] == pytest.approx(metrics[1].curve[-1]["val_loss"], rel=1e-4)
    for name, expected in weights[1].items():
        torch.testing.assert_close(weights[0][name], expected, rtol=1e-4, atol=1e-5)
