"""Layers and classifiers of S5 and LRU against the published code (float64): values, gradients, running statistics."""

from functools import partial

import pytest
import torch
import vectors
from s5_golden import arrays, fill

from lra.composition import compose
from lra.config import Config
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.mixers.lru import LRU
from lra.mixers.s5 import S5
from lra.models.backbone import Backbone
from lra.models.block import NORMS, ResidualBlock
from lra.models.build import make_model
from lra.models.classifier import Classifier
from lra.models.mixing import Dropout, make_mixing

LAYERS = vectors.load("s5_layers")
CLASSIFIERS = vectors.load("s5_classifiers")
LRU_LAYER = vectors.load("lru").case("layer/")
GATED = [name for name in LAYERS.cases() if LAYERS[f"{name}/cfg.activation"] != "gelu"]  # no run goes without a gate


def block_of(mixer, case: vectors.Golden, mixing: str, momentum: float) -> ResidualBlock:
    batch = f"batch_stats_before.{'norm' if 'param.norm.bias' in case else 'normalization'}.mean" in case
    norm = NORMS["batch"](6, momentum=momentum) if batch else NORMS["layer"](6, eps=1e-6)  # eps: flax's
    gate = make_mixing(mixing, 6, 6, Dropout(0.0, tied=True))
    block = ResidualBlock(mixer, gate, norm, prenorm=bool(case["cfg.prenorm"])).double()
    fill(block, case)
    return block.train(bool(case["cfg.training"]))


def check(block: ResidualBlock, case: vectors.Golden) -> None:
    x = case["x"].mT.contiguous().requires_grad_()
    y = block(x)
    torch.testing.assert_close(y.mT, case["y"], rtol=1e-10, atol=1e-11)
    (case["w"] * y.mT).sum().backward()
    torch.testing.assert_close(x.grad.mT, case["grad.x"], rtol=1e-9, atol=1e-10)
    for name, (ours, theirs) in arrays(block, case, "grad.").items():
        torch.testing.assert_close(ours.grad, theirs, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")
    for key in [key for key in case if key.startswith("batch_stats_after.")]:
        ours = block.norm.running_mean if key.endswith("mean") else block.norm.running_var
        if key.endswith("var") and block.training:  # flax keeps the biased variance of a batch, PyTorch the unbiased
            n = x.numel() / x.shape[1]
            ours = ours - block.norm.momentum * _batch_variance(block, x) / (n - 1)
        torch.testing.assert_close(ours, case[key], rtol=1e-10, atol=1e-12)


def _batch_variance(block: ResidualBlock, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        normed = x if block.prenorm else x + block.mixing(block.mixer(x))
        return normed.var((0, 2), unbiased=False)


@pytest.mark.parametrize("name", GATED)
def test_layer_is_the_published_one(name):
    case = LAYERS.case(f"{name}/")
    states, two = int(case["cfg.P"]), bool(case["cfg.bidirectional"])
    mixer = S5(6, two, state_size=states, blocks=int(case["cfg.J"]))
    check(block_of(mixer, case, case["cfg.activation"], momentum=0.05), case)


def test_layer_of_lru_is_the_published_one():
    mixer = LRU(6, state_size=len(LRU_LAYER["param.seq.nu_log"]))
    check(block_of(mixer, LRU_LAYER, "full_glu", momentum=0.01), LRU_LAYER)


@pytest.mark.parametrize("name", CLASSIFIERS.cases())
def test_classifier_is_the_published_one(name):
    case = CLASSIFIERS.case(f"{name}/")
    model, inputs = classifier_of(case)
    lengths = case.get("lengths", torch.full((len(inputs),), inputs.shape[1]))
    logits = model(inputs, lengths, float(case["cfg.step_rescale"]))
    loss = torch.nn.functional.cross_entropy(logits, case["labels"])
    torch.testing.assert_close(logits.log_softmax(-1), case["log_probs"], rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(loss, case["loss"], rtol=1e-10, atol=0)
    loss.backward()
    for key, (ours, theirs) in arrays(model, case, "grad.").items():
        torch.testing.assert_close(ours.grad, theirs, rtol=1e-8, atol=1e-11, msg=lambda m, k=key: f"{k}: {m}")


def classifier_of(case: vectors.Golden) -> tuple[Classifier, torch.Tensor]:
    inputs = case["tokens"] if "tokens" in case else case["x"]
    paired, kind = "param.decoder.layer1.bias" in case, "tokens" if "tokens" in case else "features"
    outputs, splits = case["log_probs"].shape[1], dict.fromkeys(("train", "val", "test"), 1)
    spec = TaskSpec("toy", kind, int(case["cfg.d_in"]), inputs.shape[1], outputs, splits, paired=paired)
    mixer = partial(S5, state_size=int(case["cfg.P"]), blocks=int(case["cfg.J"]))
    backbone = Backbone(
        mixer,
        layers=int(case["cfg.n_layers"]),
        features=6,
        norm="batch" if case["cfg.batchnorm"] else "layer",
        prenorm=bool(case["cfg.prenorm"]),
        dropout=0.0,
        tie_dropout=True,
        mixing=case["cfg.activation"],
        bidirectional=bool(case["cfg.bidirectional"]),
        mask_padding=False,
        norm_momentum=0.05,
        conventions="s5",
    )
    for block in backbone.blocks:
        if not case["cfg.batchnorm"]:
            block.norm.eps = 1e-6  # flax's
    model = Classifier(spec, backbone, pooling="mean" if case["cfg.mode"] == "pool" else "last").double()
    fill(model, case)
    return model.train(bool(case["cfg.training"])), inputs


def test_batches_are_padded_to_the_tasks_length():
    """Running statistics count padding, so they may not depend on the longest sequence of a batch."""
    case = CLASSIFIERS.case("2_padded_train/")
    lengths = case["lengths"].clamp(max=30)
    tokens = case["tokens"] * (torch.arange(case["tokens"].shape[1]) < lengths.unsqueeze(1))
    (short, _), (whole, _) = classifier_of(case), classifier_of(case)
    torch.testing.assert_close(short(tokens[:, :30], lengths), whole(tokens, lengths))
    for ours, other in zip(short.buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(ours, other)


@pytest.mark.parametrize("mixing", ["full_glu", "half_glu1", "half_glu2"])
def test_dropout_is_shared_by_all_positions(mixing):
    torch.manual_seed(0)
    gate, y = make_mixing(mixing, 6, 6, Dropout(0.5, tied=True)), torch.ones(50, 6, 3)
    out = gate(y, residual=torch.zeros(50, 6, 3))
    torch.testing.assert_close(out[..., 0], out[..., 1])
    assert 0.3 < (out == 0).float().mean() < 0.9
    assert torch.equal(gate.eval()(y, residual=y), y + gate(y))


def test_half_a_gate_needs_as_many_outputs_as_features():
    with pytest.raises(UserError, match=r"Use model\.mixing=full_glu"):
        make_mixing("half_glu1", 12, 6, Dropout(0.0, tied=True))


def test_input_beyond_the_padding_is_refused_not_cut():
    spec = TaskSpec("toy", "tokens", 5, 16, 3, {"train": 1, "val": 1, "test": 1})
    config = Config.parse(compose(["experiment=lra/listops-s5", "model.features=8", "model.layers=1"]))
    model = make_model(spec, config.model, config.kernel, config.mixer)
    assert model(torch.ones(2, 16, dtype=torch.long), torch.tensor([16, 9])).shape == (2, 3)
    with pytest.raises(UserError, match="17 positions; this model pads it to 16"):
        model(torch.ones(2, 17, dtype=torch.long), torch.tensor([17, 9]))
