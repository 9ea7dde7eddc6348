"""LRU against its authors' code (float64): values, gradients, the law of its initial values; and its recurrence."""

import math

import pytest
import torch
import vectors
from s5_golden import seq_arrays

from lra.errors import UserError
from lra.mixers.lru import LRU
from lra.ops.recurrence import recurrence_naive

GOLDEN = vectors.load("lru")


def test_values_and_gradients_are_the_published_ones():
    case = GOLDEN.case("disk/")
    mixer = LRU(6, state_size=8).double()
    with torch.no_grad():
        for ours, theirs in seq_arrays(mixer, case.case("param.")).values():
            ours.copy_(theirs)
    torch.testing.assert_close(mixer.system().exponent.exp(), case["lambda"], rtol=1e-12, atol=1e-12)
    u = case["u"].T.unsqueeze(0).requires_grad_()
    y = mixer(u)[0].T
    system = (y - mixer.D * u[0].T).detach()
    assert (system - case["y_without_Du"]).abs().max() < 1e-12 * case["y_without_Du"].abs().max()
    (case["w"] * y).sum().backward()
    torch.testing.assert_close(u.grad[0].T, case["grad.u"], rtol=1e-10, atol=1e-12)
    for parameter, gradient in seq_arrays(mixer, case.case("grad.")).values():
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


RINGS = {"disk": (0.0, 1.0, 6.28), "ring_.9_.999": (0.9, 0.999, 6.28), "pathx": (0.999, 0.9999, math.pi / 10)}


@pytest.mark.parametrize("name", RINGS)
def test_initial_eigenvalues_follow_the_law(name):
    torch.manual_seed(0)
    r_min, r_max, max_phase = RINGS[name]
    mixer = LRU(1, state_size=20_000, r_min=r_min, r_max=r_max, max_phase=max_phase).double()
    exponent, q = mixer.system().exponent.detach(), GOLDEN["init/q"]
    law = GOLDEN.case(f"init/{name}.")
    size = exponent.real.exp().quantile(q)
    assert (size - law["abs_quantiles_exact"]).abs().max() < 0.03 * (r_max - r_min)
    assert (exponent.imag.quantile(q) - law["phase_quantiles"]).abs().max() < 0.03 * max_phase
    normalizer = (1 - (2 * exponent.real).exp()).sqrt()
    torch.testing.assert_close(mixer.gamma_log.exp(), normalizer, rtol=1e-3, atol=1e-5)


def test_initial_scales_are_the_published_ones():
    torch.manual_seed(0)
    mixer = LRU(128, state_size=256, bidirectional=True)
    published = GOLDEN.case("init/std_H128_N256.")
    for pairs, name in ((mixer.B, "B"), (mixer.C[0], "C"), (mixer.C[1], "C")):
        for index, part in enumerate(("re", "im")):
            assert math.isclose(pairs[..., index].std().item(), published[f"{name}_{part}"], rel_tol=0.03)


def test_a_stream_gives_the_same():
    torch.manual_seed(0)
    mixer = LRU(4, state_size=8).double()
    u, state, outputs = torch.randn(3, 4, 41).double(), mixer.start(3), []
    for position in u.unbind(-1):
        y, state = mixer.step(position, state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, -1), mixer(u))


def test_the_second_direction_starts_after_the_present():
    torch.manual_seed(0)
    mixer, u = LRU(4, state_size=8, bidirectional=True).double(), torch.randn(2, 4, 9).double()
    exponent, B, C = mixer.system()
    v = torch.einsum("ph,bhl->pbl", B, u.to(B))
    past, future = (
        torch.complex(*recurrence_naive(torch.stack([v.real, v.imag]), exponent, reverse=r)) for r in (False, True)
    )
    wanted = torch.einsum("hp,pbl->bhl", C[0], past).real + mixer.D.unsqueeze(1) * u
    wanted[..., :-1] += torch.einsum("hp,pbl->bhl", C[1], future[..., 1:]).real
    torch.testing.assert_close(mixer(u), wanted)
    with pytest.raises(UserError, match="bidirectional LRU needs the whole sequence"):
        mixer.start(1)


def test_rules_are_those_of_the_published_groups():
    rules = LRU(4, lr={"Lambda": 0.1, "gamma": 0.1, "B": 0.1}).optimizer_rules()
    assert rules == dict.fromkeys(("nu_log", "theta_log", "gamma_log", "B"), (0.1, 0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"r_min": 0.9, "r_max": 0.5}, "0 <= r_min < r_max <= 1"), ({"max_phase": 0.0}, "max_phase is 0.0")],
)
def test_mistakes_are_answered_in_words(options, message):
    with pytest.raises(UserError, match=message):
        LRU(4, **options)


def test_there_is_no_step_size_to_multiply():
    with pytest.raises(UserError, match="no step size"):
        LRU(4)(torch.zeros(1, 4, 5), rate=2.0)
