"""Initial values of the diagonal kernels."""

import math
from typing import get_args

import pytest
import torch

from lra.errors import UserError
from lra.kernels import inits

NAMES = {"legs": "diag-legs", "lin": "diag-lin", "inv": "diag-inv", "inv2": "diag-inv2", "quad": "diag-quad",
         "real": "diag-real", "fout": "fout"}  # fmt: skip


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("init", NAMES)
def test_eigenvalues_match_the_published_ones(golden, init, size):
    expected = golden("s4d_inits").case(f"{NAMES[init]}.N{size}_")
    ours = inits.diagonal_eigenvalues(init, size)[0]
    rounding = 1e-6 if init == "legs" else 1e-12  # the published diag-legs routine works in float32
    torch.testing.assert_close(ours, expected["A"], rtol=rounding, atol=rounding)
    real, imag = inits.floor_parts(ours, "v4")
    torch.testing.assert_close(-torch.complex(real, imag), expected["A_f32"].to(ours), rtol=1e-6, atol=1e-6)


def test_legs_eigenvalues_in_float64(golden):
    expected = golden("s4d_inits")["legs.N64_A"]
    ours = inits.diagonal_eigenvalues("legs", 64)[0]
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("measure", ["legs", "legt", "fout"])
def test_hippo_input_matches_up_to_sign(golden, measure, size):
    """The sign is LAPACK's. The clamp of v4 depends on the phase, so this fixes ours to the published one."""
    expected = golden("hippo").case(f"{measure}_N{size}_")
    free = inits.hippo_input(measure, size, "v3")
    torch.testing.assert_close(free.abs(), expected["absBnoclip"], rtol=1e-9, atol=1e-9)
    if measure != "fout":  # whose first component vanishes, so that its phase is free; it stays below the limit
        clamped = inits.hippo_input(measure, size, "v4")
        sign = (clamped * expected["Bclip"].conj()).real.sign()
        torch.testing.assert_close(sign * clamped, expected["Bclip"], rtol=1e-9, atol=1e-9)


def test_hippo_input_of_legs_by_version():
    """Σ|B|² over the kept half at N = 64: 2048 at tag v3.0.0, 74.9 once Im B is limited."""
    assert inits.hippo_input("legs", 64, "v3").abs().square().sum() == pytest.approx(2048)
    assert inits.hippo_input("legs", 64, "v4").abs().square().sum() == pytest.approx(74.9, abs=0.05)


def test_floors_by_version():
    A = inits.diagonal_eigenvalues("lin", 8)
    assert inits.floor_parts(A, "v3")[1][0, 0] == 0
    assert inits.floor_parts(A, "v4")[1][0, 0] == inits.FLOOR
    assert inits.floor_parts(-A.imag + 0j, "v3", 1e-3)[0].min() == 1e-3


def test_random_parts():
    torch.manual_seed(0)
    real = inits.diagonal_eigenvalues("lin", 64, 100, random_real=True)
    assert -1 < real.real.min() < -0.95
    assert -0.05 < real.real.max() <= 0
    torch.testing.assert_close(real.imag[0], -math.pi * torch.arange(32, dtype=torch.float64))
    index = -inits.diagonal_eigenvalues("lin", 64, 100, random_imag=True).imag / math.pi
    assert 0 <= index.min() < 0.5
    assert 31.5 < index.max() < 32
    for version, normal in (("v3", lambda imag: imag), ("v4", torch.log)):
        free = inits.diagonal_eigenvalues("random", 64, 1000, version=version)
        assert (free.real == -0.5).all()
        assert abs(normal(-free.imag).mean()) < 0.02
        assert abs(normal(-free.imag).std() - 1) < 0.02
        assert not torch.equal(free[0], free[1])


def test_step_sizes_are_log_uniform():
    torch.manual_seed(0)
    log_dt = inits.log_step_sizes(20_000, 0.001, 0.1)
    assert math.log(0.001) <= log_dt.min()
    assert log_dt.max() <= math.log(0.1)
    quarters = torch.histc(log_dt, bins=4, min=math.log(0.001), max=math.log(0.1))
    assert (quarters / 5000 - 1).abs().max() < 0.05


@pytest.mark.parametrize(("choice", "variance"), [("code", 0.5), ("paper", 1.0)])
def test_output_variance(choice, variance):
    torch.manual_seed(0)
    C = inits.output_vectors(1, 200, 200, C_init=choice)
    assert abs(C.real.var() / variance - 1) < 0.03
    assert abs(C.imag.var() / variance - 1) < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inits.diagonal_eigenvalues("ling", 8), "Did you mean 'lin'"),
        (lambda: inits.diagonal_eigenvalues("lin", 7), "even"),
        (lambda: inits.diagonal_eigenvalues("legs", 8, random_imag=True), "no|none"),
        (lambda: inits.diagonal_input("inv", 8, "hippo", "v3"), "no HiPPO system"),
        (lambda: inits.log_step_sizes(4, 0.1, 0.001), "dt_min <= dt_max"),
        (lambda: inits.log_step_sizes(4, 0.0, 0.1), "0 < dt_min"),
        (lambda: inits.count_sets(3, 8, ["lin"]), "does not divide"),
        (lambda: inits.count_sets(4, 8, ["lin", "inv", "real"]), "multiple of the number of inits"),
        (lambda: inits.output_vectors(1, C_init="papers"), "Did you mean 'paper'"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_every_name_has_its_law():
    assert get_args(inits.Init) == (*inits.HIPPO, *inits.LAWS, *inits.ANGLES)
