"""Optimizer groups as in the published code (S4D paper's recipe), and the schedules."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lra.config import Cosine, Optimizer, Plateau
from lra.data.spec import TaskSpec
from lra.errors import UserError
from lra.kernels.base import Rule
from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4d import S4D
from lra.mixers.convolution import Convolution
from lra.models.backbone import Backbone
from lra.models.classifier import Classifier
from lra.training.optim import (
    constant_factor,
    cosine_factor,
    linear_factor,
    make_optimizer,
    make_scheduler,
    parameter_groups,
)

OPTIMIZER = Optimizer(lr=0.01, weight_decay=0.05, decay_norms_and_biases=False)


def make(kernel=S4D, lr=None, **model) -> Classifier:
    spec = TaskSpec("toy", "tokens", 7, 64, 3, {"train": 1, "val": 1, "test": 1})
    options = {
        "layers": 2,
        "features": 4,
        "norm": "batch",
        "prenorm": True,
        "dropout": 0.0,
        "tie_dropout": True,
    }
    options |= {"mixing": "glu", "bidirectional": True, "mask_padding": True} | model
    kernel = partial(kernel, state_size=4, lr=lr or {})
    return Classifier(spec, Backbone(partial(Convolution, kernel=kernel), **options), pooling="mean")


def group_of(model: Classifier) -> dict[str, tuple[float, float]]:
    return {n: (g["lr"], g["weight_decay"]) for g in parameter_groups(model, OPTIMIZER) for n in g["names"]}


@pytest.mark.parametrize("kernel", [S4D, S4, DSS])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_every_parameter_is_in_exactly_one_group(kernel, norm):
    model = make(kernel, norm=norm)
    names = [name for group in parameter_groups(model, OPTIMIZER) for name in group["names"]]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    optimized = [p for group in make_optimizer(model, OPTIMIZER).param_groups for p in group["params"]]
    assert sorted(map(id, optimized)) == sorted(id(p) for p in model.parameters())


def test_groups_of_s4d_are_those_of_the_published_code():
    groups = group_of(make(lr={"A": 0.001, "B": 0.001, "dt": None}))
    layer = "backbone.blocks.0.mixer"
    assert groups[f"{layer}.kernel.A_real"] == (0.001, 0)
    assert groups[f"{layer}.kernel.A_imag"] == (0.001, 0)
    assert groups[f"{layer}.kernel.B"] == (0.001, 0)
    assert groups[f"{layer}.kernel.log_dt"] == (0.01, 0)
    assert groups[f"{layer}.kernel.C"] == (0.01, 0.05)
    assert groups[f"{layer}.D"] == (0.01, 0.05)
    assert groups["backbone.blocks.0.mixing.linear.weight"] == (0.01, 0.05)
    assert groups["backbone.blocks.0.mixing.linear.bias"] == (0.01, 0)
    assert groups["backbone.blocks.0.norm.weight"] == (0.01, 0)
    assert groups["backbone.norm.bias"] == (0.01, 0)
    assert groups["encoder.weight"] == (0.01, 0.05)
    assert groups["head.weight"] == (0.01, 0.05)
    assert groups["head.bias"] == (0.01, 0.05)  # encoder and head keep the decay, biases included


@pytest.mark.parametrize("decayed", [True, False])
def test_groups_on_several_gpus_are_those_on_one(decayed):
    """Lightning turns batch norms into SyncBatchNorm before the optimizer is made."""
    optimizer = OPTIMIZER.model_copy(update={"decay_norms_and_biases": decayed})
    one, several = make(), torch.nn.SyncBatchNorm.convert_sync_batchnorm(make())
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in several.modules())
    names = [[(g["lr"], g["weight_decay"], g["names"]) for g in parameter_groups(m, optimizer)] for m in (one, several)]
    assert names[0] == names[1]


def test_norms_and_biases_decay_where_the_recipe_says():
    """v1 to v4.0 and DSS decay them, v4.1 does not; what a kernel exempts stays exempt."""
    groups = {
        name: group["weight_decay"]
        for group in parameter_groups(make(), OPTIMIZER.model_copy(update={"decay_norms_and_biases": True}))
        for name in group["names"]
    }
    assert {name for name, decay in groups.items() if decay == 0} == {
        f"backbone.blocks.{i}.mixer.kernel.{p}" for i in (0, 1) for p in ("A_real", "A_imag", "B", "log_dt")
    }


def test_groups_of_dss_keep_w_slow_and_undecayed():
    groups = group_of(make(DSS, lr={"Lambda": 0.001, "W": 0.001, "dt": 0.02}))
    kernel = "backbone.blocks.0.mixer.kernel"
    assert groups[f"{kernel}.W"] == groups[f"{kernel}.Lambda_real"] == (0.001, 0)
    assert groups[f"{kernel}.log_dt"] == (0.02, 0)


def test_rate_zero_freezes():
    model = make(lr={"B": 0})
    assert "backbone.blocks.0.mixer.kernel.B" not in group_of(model)
    assert not model.backbone.blocks[0].mixer.kernel.B.requires_grad


@pytest.mark.parametrize(("step", "factor"), [(0, 0), (5, 0.5), (10, 1), (55, 0.5), (100, 0), (145, 0.5)])
def test_cosine(step, factor):
    assert math.isclose(cosine_factor(step, warmup=10, total=100), factor, abs_tol=1e-12)


def test_cosine_scales_every_group():
    optimizer = make_optimizer(make(lr={"A": 0.001}), OPTIMIZER)
    scheduler = make_scheduler(optimizer, Cosine(name="cosine", warmup_steps=2, total_steps=10), True)
    optimizer.step()
    scheduler.step()
    assert sorted({g["lr"] for g in optimizer.param_groups}) == [0.0005, 0.005]


@pytest.mark.parametrize(("higher_is_better", "worse"), [(True, -1.0), (False, 1.0)])
def test_plateau_waits_for_its_patience(higher_is_better, worse):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer, Plateau(name="plateau", factor=0.2, patience=2), higher_is_better)
    rates = []
    for epoch in range(5):
        scheduler.step(epoch * worse)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 0.2, 0.2]


@pytest.mark.parametrize(("step", "factor"), [(0, 0), (5, 0.5), (10, 1), (55, 0.5), (100, 0), (120, 0)])
def test_linear(step, factor):
    assert math.isclose(linear_factor(step, warmup=10, total=100), factor, abs_tol=1e-12)


@pytest.mark.parametrize(("step", "factor"), [(0, 0), (5, 0.5), (10, 1), (10**6, 1)])
def test_constant(step, factor):
    assert math.isclose(constant_factor(step, warmup=10), factor)


def test_a_minimal_rate_is_the_same_for_every_group():
    optimizer = make_optimizer(make(lr={"A": 0.001}), OPTIMIZER)
    scheduler = make_scheduler(optimizer, Cosine(name="cosine", warmup_steps=0, total_steps=4, min_lr=1e-4), True)
    seen = [sorted({g["lr"] for g in optimizer.param_groups})]
    for _ in range(4):
        optimizer.step()
        scheduler.step()
        seen.append(sorted({g["lr"] for g in optimizer.param_groups}))
    assert seen[0] == [0.001, 0.01]
    assert seen[2] == pytest.approx([1e-4 + 0.0009 / 2, 1e-4 + 0.0099 / 2])
    assert seen[4] == pytest.approx([1e-4] * len(seen[4]))


def test_betas_are_the_recipes():
    optimizer = make_optimizer(make(), OPTIMIZER.model_copy(update={"betas": (0.9, 0.98)}))
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.98)}


def test_rules_stated_by_parameters_and_by_any_module():
    model = make()
    model.head.weight._no_weight_decay = True
    model.encoder.weight._optim = {"lr": 0.5}
    model.head.optimizer_rules = lambda: {"bias": Rule(0.25, 0.125)}
    groups = group_of(model)
    assert groups["head.weight"] == (0.01, 0)
    assert groups["encoder.weight"] == (0.5, 0.05)
    assert groups["head.bias"] == (0.25, 0.125)


def test_norms_of_every_kind_are_exempt_if_the_recipe_says_so():
    model = make()
    for name, norm in [("a", nn.SyncBatchNorm(4)), ("b", nn.RMSNorm(4)), ("c", nn.GroupNorm(2, 4))]:
        model.backbone.add_module(name, norm)
    decayed = OPTIMIZER.model_copy(update={"decay_norms_and_biases": True})
    for optimizer, decay in [(decayed, 0.05), (OPTIMIZER, 0.0)]:
        found = {n: g["weight_decay"] for g in parameter_groups(model, optimizer) for n in g["names"]}
        assert [found[f"backbone.{name}.weight"] for name in "abc"] == [decay] * 3


def test_a_parameter_with_two_rules_is_refused():
    model = make()
    model.backbone.blocks[0].mixer.kernel.B._no_weight_decay = True  # the kernel has a rule for it: the same
    parameter_groups(model, OPTIMIZER)
    model.backbone.blocks[0].mixer.kernel.B._optim = {"lr": 0.5}
    with pytest.raises(UserError, match=r"kernel\.B has two optimizer rules"):
        parameter_groups(model, OPTIMIZER)


def test_a_rule_of_no_parameter_is_refused():
    model = make()
    model.head.optimizer_rules = lambda: {"wieght": Rule(None, 0.0)}
    with pytest.raises(UserError, match=r"head\.wieght, but no such parameter"):
        parameter_groups(model, OPTIMIZER)


@pytest.mark.parametrize("rules", [None, [], {"bias": (0.25, 0.125)}, {"bias": None}])
def test_rules_are_a_dictionary_of_rules(rules):
    model = make()
    model.head.optimizer_rules = lambda: rules
    with pytest.raises(UserError, match=r"optimizer_rules\(\) of Linear gave .*or {} for none"):
        parameter_groups(model, OPTIMIZER)
