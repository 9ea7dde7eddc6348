"""DSS against the published implementation."""

from typing import get_args

import pytest
import torch

from lra.errors import UserError
from lra.kernels.dss import DSS, Version, initial_eigenvalues
from lra.ops.long_conv import long_conv

VERSIONS = [
    "exp-re-im",
    "exp-no-scale",
    "clip",
    "clip-no-scale",
    "softmax_channels2",
    "softmax_tieddt",
    "exp_tieddt",
]


@pytest.mark.parametrize("version", get_args(Version))
def test_all_but_the_softmax_are_nested(version):
    kernel = DSS(3, state_size=4, version=version).double()
    assert kernel.nested == torch.allclose(kernel(37), kernel(64)[..., :37]) == (version != "softmax")


def relative(ours: torch.Tensor, expected: torch.Tensor) -> float:
    ours, expected = ours.detach(), expected.detach()
    ours = ours.reshape(expected.shape).to(expected.dtype)
    return float((ours - expected).norm() / expected.norm())


def filled(case, version: str, gradient: str = "published") -> DSS:
    channels, features, size, _ = case["raw_W"].shape
    log_dt = case["raw_log_dt"].reshape(features, -1)
    options = {"version": version, "separate_dt": log_dt.shape[1] == 2, "gradient": gradient}
    kernel = DSS(features, channels, state_size=size, **options).double()
    with torch.no_grad():
        kernel.log_dt.copy_(log_dt)
        kernel.W.copy_(case["raw_W"])
        if "raw_Lambda" in case:
            real, imag = case["raw_Lambda"].unbind(-1)
        else:
            real = case["raw_Lambda_log_neg_re"]
            imag = case["raw_Lambda_log_im" if version == "exp-re-im" else "raw_Lambda_im"]
        kernel.Lambda_real.copy_(real)
        kernel.Lambda_imag.copy_(imag)
    return kernel


def gradients(kernel: DSS) -> dict[str, torch.Tensor]:
    real, imag = kernel.Lambda_real.grad, kernel.Lambda_imag.grad
    return {
        "log_dt": kernel.log_dt.grad,
        "W": kernel.W.grad,
        "Lambda": torch.stack([real, imag], -1),
        "Lambda_log_neg_re": real,
        "Lambda_im": imag,
        "Lambda_log_im": imag,
    }


def check(kernel: DSS, case, stored: str = "grad") -> None:
    """Values and gradients; `gradtrue_` has the derivative where the published gradient is another."""
    length = case["K"].shape[-1]
    K = kernel(length)
    assert relative(K, case["K"]) < 1e-10
    (K * case["g"]).sum().backward()
    compared = 0
    for name, gradient in gradients(kernel).items():
        expected = case.get(f"{stored}_{name}", case.get(f"grad_{name}"))
        if expected is not None:
            assert relative(gradient, expected) < 1e-9, name
            compared += 1
    assert compared >= 3
    assert relative(kernel.float()(length), case["K"]) < 1e-4


@pytest.mark.parametrize("prefix", ["", "pert_"])
@pytest.mark.parametrize("version", ["softmax", "exp"])
def test_golden_kernels(golden, version, prefix):
    case = golden("dss_kernels").case(f"{version}.{prefix}")
    check(filled(case, version), case)
    check(filled(case, version, "exact"), case, "gradtrue")


def test_published_gradient_of_growing_modes_is_no_derivative(golden):
    case = golden("dss_kernels").case("softmax.pert_")
    assert relative(case["grad_Lambda"], case["gradtrue_Lambda"]) > 0.1


@pytest.mark.parametrize("name", VERSIONS)
def test_golden_versions(golden, name):
    case = golden("dss_versions").case(f"{name}.")
    check(filled(case, name.split("_")[0]), case)
    check(filled(case, name.split("_")[0], "exact"), case, "gradtrue")


def test_softmax_with_fast_growing_modes_does_not_overflow(golden):
    case = golden("dss_kernels").case("softmax.pert_")
    kernel = filled(case, "softmax").float()
    with torch.no_grad():
        kernel.Lambda_real[:4] = 100.0
    K = kernel(4096)
    K.sum().backward()
    assert K.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in kernel.parameters())


@pytest.mark.parametrize("growing", [False, True])
def test_softmax_recurrence_of_a_given_length_is_the_convolution(growing):
    torch.manual_seed(0)
    kernel = DSS(3, 2, state_size=8).double()
    with torch.no_grad():
        kernel.Lambda_real[:2] = 0.3 if growing else -0.1
        u = torch.randn(2, 3, 40).double()
        system, state, outputs = kernel.discretize(length=40), kernel.initial_state(2), []
        for t in range(40):
            y, state = kernel.step(u[..., t], state, system)
            outputs.append(y)
        assert relative(torch.stack(outputs, -1), long_conv(u, kernel(40))) < 1e-10


def test_softmax_depends_on_the_length_and_exp_does_not():
    kernel = DSS(2, state_size=8).double()
    assert relative(kernel(100)[..., :50], kernel(50)) > 1e-3
    kernel = DSS(2, state_size=8, version="exp").double()
    assert relative(kernel(100)[..., :50], kernel(50)) < 1e-12


def test_max_kernel_length_cuts():
    kernel = DSS(2, state_size=8, max_kernel_length=10)
    assert kernel(100).shape == (1, 2, 10)
    assert kernel(7).shape == (1, 2, 7)


def test_inits():
    torch.manual_seed(0)
    skew, random = initial_eigenvalues("skew-hippo", 64), initial_eigenvalues("random", 4000)
    assert (skew.imag.diff() < 0).all()
    assert (skew.imag > 0).all()
    assert (skew.real == -0.5).all()
    for part in (random.real, random.imag):  # E|Λ|² = 1
        assert abs(part.mean()) < 0.05
        assert abs(part.var() - 0.5) < 0.05
    W = DSS(100, state_size=64).W
    assert abs(W.var() - 1) < 0.05


def test_optimizer_rules_and_freezing():
    kernel = DSS(2, state_size=8, lr={"Lambda": 0, "W": 0.001, "dt": 0.02})
    assert kernel.optimizer_rules() == {
        "log_dt": (0.02, 0),
        "Lambda_real": (0, 0),
        "Lambda_imag": (0, 0),
        "W": (0.001, 0),
    }
    assert {name for name, p in kernel.named_parameters() if not p.requires_grad} == {
        "Lambda_real",
        "Lambda_imag",
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DSS(2, version="softmx"), "Did you mean 'softmax'"),
        (lambda: DSS(2, init="legs"), "allowed: skew-hippo, random"),
        (lambda: DSS(2, init="random", version="exp-re-im"), "Re Λ > 0"),
        (
            lambda: DSS(2, max_kernel_length=0),
            "max_kernel_length: Input should be greater than or equal to 1",
        ),
        (lambda: DSS(2, lr={"A": 0.1}), "lr.A is 'A'; allowed: Lambda, W, dt"),
        (lambda: DSS(2).discretize(), "needs the length"),
        (lambda: DSS(2, version="exp", max_kernel_length=9).discretize(), "cannot forget"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(UserError, match=message):
        call()
