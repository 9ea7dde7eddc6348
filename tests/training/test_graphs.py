"""Steps replayed from CUDA graphs are those that are launched one by one, to the last bit."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from lra.training.graphs import Graphs
from lra.training.run import run


class Foreign(nn.Linear):
    def forward(self, x, lengths, rate):
        return super().forward(x) * rate


def test_on_a_cpu_the_model_is_called():
    model = Foreign(2, 2)
    notes: list[str] = []
    x = torch.randn(3, 2)
    assert torch.equal(Graphs(model, notes.append)(x, torch.ones(3), 2.0), model(x, None, 2.0))
    assert not notes


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", ["s4d", "s4"])
def test_replayed_training_is_the_same(toy, family, monkeypatch):
    from lra.training import graphs

    captures: list[str] = []
    for name in ("_with_gradient", "_without_gradient"):
        make = getattr(graphs, name)
        monkeypatch.setattr(
            graphs, name, lambda *a, name=name, make=make: (captures.append(name), make(*a))[1]
        )
    monkeypatch.setattr(graphs, "AFTER", 2)
    toy["trainer"]["accelerator"] = "gpu"
    toy["model"] |= {"dropout": 0.2, "norm": "batch"}
    toy["kernel"] = {"_target_": f"lra.kernels.{family}.{family.upper()}", "state_size": 4}
    weights, curves = [], []
    for cuda_graphs in (True, False):
        config = copy.deepcopy(toy)
        config["trainer"]["cuda_graphs"] = cuda_graphs
        for key in ("output_dir", "results_dir"):
            config[key] = f"{config[key]}-{cuda_graphs}"
        record = run(config)
        assert not record.health
        curves.append(record.metrics)
        path = max(Path(config["output_dir"]).rglob("step-*.ckpt"))
        weights.append(torch.load(path, weights_only=True)["state_dict"])
    assert captures.count("_with_gradient") == 1
    assert captures.count("_without_gradient") >= 1
    assert curves[0] == curves[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
