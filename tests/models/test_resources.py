"""What a training step keeps for the gradient, and that it never waits for the device."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from benchmarks.step import Setting, recipe_setting

from lra.composition import compose
from lra.config import Config
from lra.data.spec import TaskSpec

META = torch.device("meta")  # shapes without numbers: reading a number raises


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know the meta device
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)


def step(setting: Setting) -> int:
    """Forward and backward on the meta device; bytes kept for the gradient, each tensor once, and no parameters."""
    model = setting.model().to(META).train()
    x, lengths, y = setting.inputs(META)
    parameters = {id(p) for p in model.parameters()}
    kept = {}

    def keep(tensor):
        if id(tensor) not in parameters:
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(model(x, lengths), y)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("kernel", ["s4d", "s4", "dss"])
@pytest.mark.parametrize("options", [["model.norm=layer"], ["model.prenorm=false", "model.pooling=last"]])
@pytest.mark.parametrize("recipe", ["cosine", "plateau"])
def test_a_step_reads_nothing_back(kernel, options, recipe):
    composed = compose([f"kernel={kernel}", f"recipe={recipe}", "model.layers=2", "model.dropout=0.1", *options])
    spec = TaskSpec("toy", "tokens", 9, 64, 3, {"train": 1, "val": 1, "test": 1})
    assert step(Setting("toy", Config.parse(composed), spec, 4, 64)) > 0


def test_pathx_keeps_three_signals_a_layer():
    setting = recipe_setting("lra/pathx-s4d", None)
    features, layers = setting.config.model["features"], setting.config.model["layers"]
    signal = 4 * setting.batch * features * setting.length
    kept = step(setting)
    assert 3 < kept / (signal * layers) < 3.5
    assert kept < 6 << 30
