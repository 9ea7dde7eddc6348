"""S5 against the published code (float64): values, gradients, initial values; and against its own recurrence."""

import math
import re

import pytest
import torch
import vectors
from s5_golden import seq_arrays

from lra.errors import UserError
from lra.mixers.s5 import S5

GOLDEN = vectors.load("s5_ssm")
INIT = vectors.load("s5_init")


def filled(case: vectors.Golden) -> S5:
    """Our mixer with the parameters and options of the published one."""
    options = {"discretization": case["cfg.discretization"], "clip_eigs": bool(case["cfg.clip_eigs"])}
    mixer = S5(int(case["cfg.H"]), bool(case["cfg.bidirectional"]), state_size=int(case["cfg.P"]), **options).double()
    with torch.no_grad():
        for ours, theirs in seq_arrays(mixer, case.case("param.")).values():
            ours.copy_(theirs)
    return mixer


@pytest.mark.parametrize("name", GOLDEN.cases())
def test_values_and_gradients_are_the_published_ones(name):
    case = GOLDEN.case(f"{name}/")
    mixer = filled(case)
    u = case["u"].T.unsqueeze(0).requires_grad_()
    y = mixer(u, rate=float(case["cfg.step_rescale"]))[0].T
    # At the start D u is all but a few percent of the output, and would hide a wrong system.
    system = (y - mixer.D * u[0].T).detach()
    assert (system - case["y_without_Du"]).abs().max() < 1e-12 * case["y_without_Du"].abs().max()
    torch.testing.assert_close(y.detach(), case["y"], rtol=1e-10, atol=1e-12)
    (case["w"] * y).sum().backward()
    torch.testing.assert_close(u.grad[0].T, case["grad.u"], rtol=1e-10, atol=1e-12)
    for parameter, gradient in seq_arrays(mixer, case.case("grad.")).values():
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", GOLDEN.cases())
def test_float32_is_close(name):
    case = GOLDEN.case(f"{name}/")
    y = filled(case).float()(case["u"].T.unsqueeze(0).float(), rate=float(case["cfg.step_rescale"]))
    assert (y[0].T - case["y"]).norm() / case["y"].norm() < 1e-5


@pytest.mark.parametrize("name", sorted(key.split("/")[1] for key in INIT if key.startswith("lambda/")))
def test_initial_eigenvalues_are_the_published_ones(name):
    states, blocks = map(int, re.fullmatch(r"P(\d+)_J(\d+)", name).groups())
    mixer = S5(2, state_size=states, blocks=blocks)
    ours = torch.complex(mixer.Lambda_real, mixer.Lambda_imag).detach()
    torch.testing.assert_close(ours, INIT[f"lambda/{name}"].to(ours), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted({k.split("/")[1].split(".")[0] for k in INIT if k.startswith("init/")}))
def test_initial_scales_are_the_published_ones(name):
    torch.manual_seed(0)
    features, states, blocks, C_init = re.fullmatch(r"H(\d+)_P(\d+)_J(\d+)_conj_(\w+)_bi", name).groups()
    features, states, blocks = int(features), int(states), int(blocks)
    mixer = S5(features, state_size=states, blocks=blocks, C_init=C_init, bidirectional=True)
    published = INIT.case(f"init/{name}.")

    def rms(pairs: torch.Tensor) -> float:
        return pairs.square().sum(-1).mean().sqrt().item()

    few = 0.1 if states < 64 else 0.03  # statistics of fewer than a few thousand numbers
    assert math.isclose(rms(mixer.B), published["B.rms_complex"], rel_tol=few)
    for index, C in enumerate(mixer.C):
        both = published.get("C.rms_complex", published.get(f"C{index + 1}.rms_complex"))
        assert math.isclose(rms(C), both, rel_tol=few)
    assert math.isclose(mixer.D.std().item(), 1, rel_tol=0.2)
    low, high = published["log_step.min_max"]
    assert math.log(0.001) <= mixer.log_dt.min() < low + 1
    assert high - 1 < mixer.log_dt.max() <= math.log(0.1)


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_a_stream_gives_the_same(rate):
    torch.manual_seed(0)
    mixer = S5(4, state_size=8, blocks=2).double()
    u, state, outputs = torch.randn(3, 4, 41).double(), mixer.start(3, rate), []
    for position in u.unbind(-1):
        y, state = mixer.step(position, state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, -1), mixer(u, rate=rate))


def test_two_directions_have_no_stream():
    with pytest.raises(UserError, match="bidirectional S5 needs the whole sequence"):
        S5(4, bidirectional=True).start(1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_mask_clears_padding(bidirectional):
    torch.manual_seed(0)
    mixer, u = S5(4, state_size=8, bidirectional=bidirectional), torch.randn(1, 4, 20)
    mask = (torch.arange(20) < 13).float().view(1, 1, -1)
    torch.testing.assert_close(mixer(u, mask)[..., :13], mixer(u[..., :13]))


def test_rules_are_those_of_the_published_groups():
    rules = S5(4, lr={"Lambda": 0.001, "B": 0.001}, decay=["B", "dt", "C"]).optimizer_rules()
    assert rules["Lambda_real"] == rules["Lambda_imag"] == (0.001, 0)
    assert rules["B"] == (0.001, None)
    assert rules["log_dt"] == rules["C"] == (None, None)
    assert rules["D"] == (None, 0)
    assert not S5(4, lr={"B": 0}).B.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state_size": 12, "blocks": 4}, "Use a multiple of 8 states"),
        ({"state_size": 10, "blocks": 4}, "same even number of states"),
        ({"C_init": "normal"}, "C_init"),
        ({"discretization": "dss"}, "discretization"),
        ({"lr": {"A": 0.1}}, "lr.*Lambda"),
        ({"decay": ["A"]}, "decay.0 is 'A'; allowed: Lambda, dt, B, C, D"),
    ],
)
def test_mistakes_are_answered_in_words(options, message):
    with pytest.raises(UserError, match=message):
        S5(4, **options)
