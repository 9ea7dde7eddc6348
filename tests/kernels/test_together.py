"""The kernels of several layers in one call are those of the layers, whatever they share."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from benchmarks.traffic import META, Traffic

from lra.kernels.dss import DSS
from lra.kernels.s4 import S4
from lra.kernels.s4d import S4D
from lra.kernels.together import joinable, together
from lra.mixers import convolution
from lra.mixers.convolution import Convolution
from lra.models.backbone import Backbone

H, L = 6, 20


def layers(make, count=3):
    torch.manual_seed(0)
    return [make(H, 2, state_size=8).double() for _ in range(count)]


def gradients(kernels, modules):
    loss = sum((i + 1) * kernel.sin().sum() for i, kernel in enumerate(kernels))
    return torch.autograd.grad(loss, [p for module in modules for p in module.parameters() if p.requires_grad])


@pytest.mark.parametrize(
    "make",
    [
        partial(S4D, n_ssm=2),
        partial(S4D, n_ssm=2, init=["legs", "lin"], discretization="bilinear", real_part="relu"),
        partial(S4D, discretization="dss"),
        partial(S4D, discretization="none", init="dfout"),
        partial(S4D, lr={"B": 0.0}),
        partial(S4, n_ssm=3),
        partial(S4, init=["legs", "fout"], n_ssm=2, rank=2),
        partial(S4, c_parameter="truncated", length=L),
        partial(DSS, version="exp", separate_dt=False),
        partial(DSS, version="clip", init="random"),
        partial(DSS, init="random", gradient="exact", max_kernel_length=11),
    ],
)
def test_together_equals_one_by_one(make):
    modules = layers(make)
    one_by_one, at_once = [module(L) for module in modules], together(modules, L).chunk(3, dim=1)
    torch.testing.assert_close(list(at_once), one_by_one)
    torch.testing.assert_close(gradients(at_once, modules), gradients(one_by_one, modules))


@pytest.fixture
def _no_autocast(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know the meta device


def launches(count):
    """Those that generate the kernels of so many layers, forward and backward."""
    modules = [module.to(META) for module in layers(S4D, count)]
    with Traffic() as traffic:
        gradients(together(modules, L).chunk(count, dim=1), modules)
    return traffic.launches


@pytest.mark.usefixtures("_no_autocast")
def test_a_layer_more_costs_a_gpu_no_more_than_what_is_done_with_its_kernel():
    loss_of_a_layer = 10
    assert launches(9) - launches(2) < 7 * loss_of_a_layer


class Derived(S4D):
    """A kernel that may do anything with the features."""


@pytest.mark.parametrize(
    ("others", "possible"),
    [
        (partial(S4D, lr={"A": 0.1}), False),
        (partial(S4D, discretization="bilinear"), False),
        (partial(S4D, n_ssm=2), False),
        (DSS, False),
        (S4D, True),
    ],
)
def test_only_equal_kernels_are_joined_and_on_a_gpu_alone(others, possible):
    modules = layers(S4D, 2) + layers(others, 1)
    assert not joinable(modules)
    assert joinable([module.to(META) for module in modules]) == possible
    assert not joinable([module.to(META) for module in layers(Derived, 2)])


class Doubled(Convolution):
    """A convolution that makes its kernel itself."""

    def forward(self, u, mask=None, rate=1.0):
        return 2 * super().forward(u, mask, rate)


def test_a_mixer_that_convolves_otherwise_is_given_nothing(monkeypatch):
    monkeypatch.setattr(convolution, "joinable", lambda kernels: True)
    mixers = [kind(H, partial(S4D, state_size=8)) for kind in (Convolution, Doubled)]
    assert [list(*type(mixer).prepare([mixer], L, 1.0)) for mixer in mixers] == [["spectrum"], []]


@pytest.mark.parametrize("options", [{}, {"mlp": 5}, {"channels": 2}, {"bidirectional": False}])
def test_a_backbone_that_generates_at_once_computes_the_same(options, monkeypatch):
    torch.manual_seed(0)
    backbone = Backbone(
        partial(Convolution, kernel=partial(S4D, state_size=8)),
        layers=3, features=H, norm="layer", prenorm=True, dropout=0.0, tie_dropout=True, mixing="glu",
        mask_padding=False, **({"bidirectional": True} | options),
    ).double()  # fmt: skip
    x, mask = torch.randn(2, H, L).double(), torch.ones(2, 1, L).double()

    def results():
        y = backbone(x, mask, 2.0)
        return [y, *torch.autograd.grad(y.sin().sum(), list(backbone.parameters()))]

    expected = results()
    monkeypatch.setattr(convolution, "joinable", lambda kernels: True)
    torch.testing.assert_close(results(), expected)
