"""S4 against the published implementation and a dense float64 recursion."""

import pytest
import torch

from lra.errors import UserError
from lra.kernels.s4 import S4
from lra.ops import dplr

FILES = ["legs", "fout", "legt", "hippo_combo", "legs_rank3", "legs_nssm2_ch2"]
PARAMETERS = {"log_dt": "inv_dt", "A_real": "A_real", "A_imag": "A_imag", "P": "P", "B": "B", "C": "C"}
FLOAT32 = {"fout": 3e-3, "hippo_combo": 3e-3, "legt": 2e-2}  # legs: 1e-3
CHANGED_RATE = ["legs", "fout", "legt", "hippo_combo", "legs_rank3"]


def relative(ours: torch.Tensor, expected: torch.Tensor) -> float:
    ours, expected = ours.detach(), expected.detach()
    ours = ours.reshape(expected.shape).to(expected.dtype)
    return float((ours - expected).norm() / expected.norm())


def filled(case, length: int | None = None, C: str = "raw_C") -> S4:
    """An S4 with the parameters of a golden case; truncated if a length is given."""
    channels, features, modes, _ = case["raw_C"].shape
    kernel = S4(
        features,
        channels,
        state_size=2 * modes,
        rank=len(case["raw_P"]),
        n_ssm=len(case["raw_A_real"]),
        c_parameter="plain" if length is None else "truncated",
        length=length,
    ).double()
    with torch.no_grad():
        for ours, theirs in PARAMETERS.items():
            parameter = getattr(kernel, ours)
            parameter.copy_(case[C if ours == "C" else f"raw_{theirs}"].reshape(parameter.shape))
    return kernel


@pytest.mark.parametrize("name", FILES)
def test_golden_kernel_and_gradients(golden, name):
    case = golden(f"s4_{name}").case("pert_")
    length = case["K"].shape[-1]
    kernel = filled(case, length)
    K = kernel(length)
    assert relative(K, case["K"]) < 1e-9
    assert relative(K, case["K_dense"]) < 1e-9
    (K * case["g"]).sum().backward()
    for ours, theirs in PARAMETERS.items():
        assert relative(getattr(kernel, ours).grad, case[f"grad_{theirs}"]) < 1e-9, ours
    assert relative(kernel.float()(length), case["K_dense"]) < FLOAT32.get(name, 1e-3)


@pytest.mark.parametrize("name", FILES)
def test_golden_plain_parameter(golden, name):
    case = golden(f"s4_{name}").case("pert_")
    length = case["K"].shape[-1]
    plain = filled(case, C="raw_C_before")
    assert relative(plain(length), case["K_dense"]) < 1e-9
    A, P, _, C, dt = plain.continuous()
    stored = torch.view_as_real(dplr.truncated_output(A, P, P, C, dt, length))
    assert relative(stored, case["raw_C"]) < 1e-9
    assert relative(plain.float()(length), case["K_dense"]) < FLOAT32.get(name, 1e-3)


@pytest.mark.parametrize("name", CHANGED_RATE)
def test_golden_rates(golden, name):
    """Truncated parameters keep C (I − Ā^T), plain ones resample the system."""
    case = golden(f"s4_{name}")
    length = case["K"].shape[-1]
    kernel = filled(case, length)
    assert relative(kernel(length), case["K"]) < 1e-9
    assert relative(kernel(case["K_rate2"].shape[-1], rate=2.0), case["K_rate2"]) < 1e-9
    plain = filled(case, C="raw_C_before")
    assert relative(plain(case["K_rate2"].shape[-1], rate=2.0), case["K_rate2_dense"]) < 1e-9


def test_golden_slower_rate_and_aliasing(golden):
    case = golden("s4_legs")
    length = case["K"].shape[-1]
    assert relative(filled(case, length)(2 * length, rate=0.5), case["K_rate0.5"]) < 1e-9
    assert relative(filled(case, length, C="raw_C_before")(length), case["K_nocorr"]) < 1e-9


@pytest.mark.parametrize("init", ["legs", "fout", "legt"])
def test_golden_recurrence(golden, init):
    case = golden("s4_recurrence").case(f"{init}.")
    features, modes = case["B"].shape
    kernel = S4(features, state_size=2 * modes, rank=max(2, len(case["P"]))).double()
    with torch.no_grad():
        kernel.log_dt.copy_(case["dt"].log())
        kernel.A_real.copy_((-case["Lambda"].real).log())
        kernel.A_imag.copy_(-case["Lambda"].imag)
        kernel.P.zero_()[: len(case["P"])] = torch.view_as_real(case["P"])
        kernel.B.copy_(torch.view_as_real(case["B"]))
        kernel.C.copy_(torch.view_as_real(case["C"]).unsqueeze(0))
        system, u = kernel.discretize(), case["u"]
        for start, expected in [(kernel.initial_state(len(u)), "y_conv"), (case["state0"], "y_conv_state")]:
            state, outputs = start, []
            for t in range(u.shape[-1]):
                y, state = kernel.step(u[..., t], state, system)
                outputs.append(y[:, 0] + case["D"] * u[..., t])
            assert relative(torch.stack(outputs, -1), case[expected]) < 1e-9


def test_truncation_does_not_change_the_initial_function():
    kernels = []
    for options in ({}, {"c_parameter": "truncated", "length": 100}):
        torch.manual_seed(0)
        kernels.append(S4(4, 2, state_size=8, **options).double())
    assert relative(kernels[1](70), kernels[0](70)) < 1e-6
    assert relative(kernels[1](300), kernels[0](300)) < 1e-6
    assert relative(kernels[1].C, kernels[0].C) > 1e-3


def test_checkpoints_of_another_truncation_are_refused():
    options = {"state_size": 8, "c_parameter": "truncated"}
    kernel = S4(2, length=64, **options)
    same = S4(2, length=64, **options)
    same.load_state_dict(kernel.state_dict())
    assert torch.equal(same(64), kernel(64))
    with pytest.raises(UserError, match="truncated at length 64, this kernel's truncated at length 32"):
        S4(2, length=32, **options).load_state_dict(kernel.state_dict())
    with pytest.raises(UserError, match="this kernel's plain"):
        S4(2, state_size=8).load_state_dict(kernel.state_dict())


def test_inits_share_the_sets():
    kernel = S4(8, state_size=16, init=["legs", "fout"], n_ssm=4)
    A, P, *_ = kernel.continuous()
    assert P.shape == (1, 8, 8)
    torch.testing.assert_close(A.real[:, 0].float(), torch.tensor([-0.5, -0.5, -1e-3, -1e-3] * 2))
    mixed = S4(2, state_size=16, init=["legs", "legt"], rank=3)
    assert (mixed.P[1:, 0] == 0).all()
    assert (mixed.P[1, 1] != 0).any()


def test_initial_values_by_version():
    """Those of tag v3.0.0, and the later ones: Im B within ±2 and another floor of FouT's Re Λ."""
    sums, floors = {}, {}
    for version in ("v3", "v4"):
        sums[version] = S4(2, init_version=version).B[0].square().sum().item()
        floors[version] = S4(2, init="fout", init_version=version).continuous()[0].real.max().item()
    assert sums == pytest.approx({"v3": 2048, "v4": 74.9}, rel=1e-3)
    assert floors == pytest.approx({"v3": -1e-3, "v4": -1e-4})


def test_optimizer_rules():
    rules = S4(2, state_size=8, lr={"A": 0.001, "B": 0, "dt": None}).optimizer_rules()
    assert rules["P"] == rules["A_real"] == (0.001, 0)
    assert rules["B"] == (0, 0)
    assert "C" not in rules


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "lin"}, "S4.init is 'lin'; allowed: legs, legt, fout"),
        ({"state_size": 9}, "even"),
        ({"init": "legt", "rank": 1}, "low-rank part of rank 2"),
        ({"c_parameter": "truncated"}, "needs a T"),
        ({"c_parameter": "tilde"}, "allowed: plain, truncated"),
        ({"n_ssm": 3}, "does not divide"),
        ({"n_ssm": 1, "init": ["legs", "fout"]}, "multiple of the number of inits"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(UserError, match=message):
        S4(4, **options)
