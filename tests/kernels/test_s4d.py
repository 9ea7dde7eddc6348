"""S4D against the published implementation, its own naive twin and its recurrence."""

import pytest
import torch

from lra.errors import UserError
from lra.kernels.s4d import S4D, diagonal_kernel

INITS = [
    "diag-inv",
    "diag-inv2",
    "diag-legs",
    "diag-lin",
    "diag-quad",
    "diag-rand",
    "diag-real",
    "fout",
    "legs",
]
DISCRETIZATIONS = ["zoh", "bilinear"]
PARAMETERS = {"log_dt": "inv_dt", "A_real": "A_real", "A_imag": "A_imag", "B": "B", "C": "C"}


def relative(ours: torch.Tensor, expected: torch.Tensor) -> float:
    ours, expected = ours.detach(), expected.detach()
    ours = ours.reshape(expected.shape).to(expected.dtype)
    return float((ours - expected).norm() / expected.norm())


def filled(case, **options) -> S4D:
    """An S4D with the parameters of a golden case."""
    channels, features, modes, _ = case["raw_C"].shape
    kernel = S4D(features, channels, state_size=2 * modes, n_ssm=case["raw_A_real"].shape[0], **options).double()
    with torch.no_grad():
        for ours, theirs in PARAMETERS.items():
            parameter = getattr(kernel, ours)
            parameter.copy_(case[f"raw_{theirs}"].reshape(parameter.shape))
    return kernel


def check(kernel: S4D, case, gradient: str = "grad") -> None:
    """Kernel and gradients in float64; kernel in float32."""
    K = kernel(case["K"].shape[-1])
    assert relative(K, case["K"]) < 1e-10
    (K * case["g"]).sum().backward()
    for ours, theirs in PARAMETERS.items():
        assert relative(getattr(kernel, ours).grad, case[f"{gradient}_{theirs}"]) < 1e-9, ours
    assert relative(kernel.float()(case["K"].shape[-1]), case["K"]) < 1e-4


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
def test_golden_kernels(golden, discretization, init):
    case = golden(f"s4d_kernels_{discretization}").case(f"{init}.pert_")
    check(filled(case, discretization=discretization), case)


@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
@pytest.mark.parametrize("init", ["diag-lin", "legs"])
def test_golden_rate(golden, discretization, init):
    case = golden(f"s4d_kernels_{discretization}").case(f"{init}.")
    kernel = filled(case, discretization=discretization)
    assert relative(kernel(case["K"].shape[-1]), case["K"]) < 1e-10
    assert relative(kernel(case["K_rate2"].shape[-1], rate=2.0), case["K_rate2"]) < 1e-10
    system = kernel.discretize()
    assert relative(system.A, case["Abar"]) < 1e-10
    assert relative(system.B, case["Bbar"]) < 1e-10


@pytest.mark.parametrize("name", ["nssm1", "nssm2", "channels2", "relu", "noneA", "combo_diag_nssm2"])
def test_golden_options(golden, name):
    case = golden("s4d_options").case(f"{name}.")
    check(filled(case, real_part={"relu": "relu", "noneA": "none"}.get(name, "exp")), case)


def test_golden_steps_of_each_mode(golden):
    """`diagonal_kernel` takes a step size for each feature and mode."""
    case = golden("s4d_options").case("dtuntied.")
    raw = {name: case[f"raw_{name}"].clone().requires_grad_() for name in ("inv_dt", "A_real", "A_imag")}
    A = torch.complex(-raw["A_real"].exp(), -raw["A_imag"])
    B, C = torch.view_as_complex(case["raw_B"][0]), torch.view_as_complex(case["raw_C"])
    K = diagonal_kernel(A, B, C, raw["inv_dt"].exp(), case["K"].shape[-1])
    assert relative(K, case["K"]) < 1e-10
    (K * case["g"]).sum().backward()
    for name, value in raw.items():
        assert relative(value.grad, case[f"grad_{name}"]) < 1e-9


@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
def test_golden_recurrence(golden, discretization):
    case = golden("s4d_recurrence").case(f"{discretization}.")
    features, modes = case["B"].shape
    kernel = S4D(features, state_size=2 * modes, discretization=discretization, real_part="none").double()
    with torch.no_grad():
        kernel.log_dt.copy_(case["dt"].log())
        kernel.A_real.copy_(-case["Lambda"].real)
        kernel.A_imag.copy_(-case["Lambda"].imag)
        kernel.B.copy_(torch.view_as_real(case["B"]))
        kernel.C.copy_(torch.view_as_real(case["C"]).unsqueeze(0))
        system, u = kernel.discretize(), case["u"]
        assert relative(torch.view_as_real(system.A), torch.view_as_real(case["Abar"])) < 1e-10
        assert relative(torch.view_as_real(system.B), torch.view_as_real(case["Bbar"])) < 1e-10
        for start, expected in [(kernel.initial_state(len(u)), "y_conv"), (case["state0"], "y_conv_state")]:
            state, outputs = start, []
            for t in range(u.shape[-1]):
                y, state = kernel.step(u[..., t], state, system)
                outputs.append(y[:, 0] + case["D"] * u[..., t])
            assert relative(torch.stack(outputs, -1), case[expected]) < 1e-10


@pytest.mark.parametrize("role", ["A", "B", "dt"])
def test_zero_learning_rate_freezes(role):
    kernel = S4D(4, state_size=8, lr={"A": 0.001, "B": None, role: 0})
    frozen = {name for name, parameter in kernel.named_parameters() if not parameter.requires_grad}
    assert frozen == {"A": {"A_real", "A_imag"}, "B": {"B"}, "dt": {"log_dt"}}[role]
    kernel(16).sum().backward()


def test_optimizer_rules():
    rules = S4D(4, state_size=8, lr={"A": 0.001, "B": 0.002, "dt": None}).optimizer_rules()
    assert rules == {"log_dt": (None, 0), "A_real": (0.001, 0), "A_imag": (0.001, 0), "B": (0.002, 0)}


def test_features_share_sets_in_turn():
    kernel = S4D(6, state_size=8, n_ssm=2, init=["inv", "lin"])
    A, *_ = kernel.continuous()
    assert torch.equal(A[0], A[2])
    assert torch.equal(A[1], A[5])
    assert not torch.equal(A[0], A[1])


@pytest.mark.parametrize("real_part", ["exp", "relu", "none"])
def test_initial_system_by_version(real_part):
    """Tag v3.0.0 stores Im A as it is, and −Re A without taking relu's floor off; later code floors and takes off."""
    for version, floor in (("v3", 0.0), ("v4", -1e-4)):
        A, *_ = S4D(2, state_size=8, init="real", real_part=real_part, init_version=version).continuous()
        real = torch.tensor([-1.0, -2.0, -3.0, -4.0]).double()
        real -= 1e-4 if (real_part, version) == ("relu", "v3") else 0
        torch.testing.assert_close(A.real[0], real)
        torch.testing.assert_close(A.imag[0], torch.full((4,), floor).double())


def test_bfloat16_parameters_give_a_float32_kernel():
    kernel = S4D(2, state_size=8).bfloat16()
    assert kernel(33).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "legt"}, "S4D.init is 'legt'; allowed: legs, fout, lin"),
        ({"discretization": "zoo"}, "Did you mean 'zoh'"),
        ({"real_part": "softplus"}, "allowed: exp, relu, none"),
        ({"state_size": 5}, "even"),
        ({"n_ssm": 3}, "does not divide the 4 features"),
        ({"B_init": "hippo", "init": "lin"}, "no HiPPO system"),
        ({"dt_min": 0.2}, "dt_min <= dt_max"),
        ({"lr": {"a": 0.1}}, "lr.a is 'a'; allowed: A, B, dt"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(UserError, match=message):
        S4D(4, **options)
