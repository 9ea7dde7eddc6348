"""S4D-DFouT: discrete modes on a uniform grid of angles, against the formula of arXiv 2508.20441, section 4.2."""

import math

import pytest
import torch
import vectors

from lra.errors import UserError
from lra.kernels.s4d import S4D

FORMULA = vectors.load("dfout")
H, N = 4, 8


def made(**options) -> S4D:
    kernel = S4D(H, state_size=N, **{"init": "dfout", "discretization": "none"} | options).double()
    with torch.no_grad():
        kernel.log_dt.copy_(FORMULA["xi"].log())
    return kernel


def test_the_modes_are_the_formulas():
    kernel = made()
    modes = kernel.discretize().A  # of the two halves of the circle the lower one
    torch.testing.assert_close(modes.conj(), FORMULA["lambda_layer"][:, : N // 2], rtol=1e-6, atol=1e-6)
    angles = torch.sort(kernel.A_imag.flatten()).values
    torch.testing.assert_close(angles, math.pi / 16 * torch.arange(16).double(), rtol=1e-6, atol=1e-6)


def test_a_single_machine_repeats_its_angles():
    modes = made(init="dfout-single").discretize().A[1]
    half_plane = FORMULA["lambda_half_plane_xi1"]  # its last angle is π, which is not kept
    torch.testing.assert_close(modes.conj(), half_plane[:-1], rtol=1e-6, atol=1e-6)


def test_the_kernel_is_the_formulas():
    """Kept modes stand for themselves and their conjugates: the formula's whole circle, of twice the real part."""
    kernel, C = made(), FORMULA["C"][:, : N // 2]
    with torch.no_grad():
        kernel.C.copy_(torch.view_as_real(C.conj_physical()).unsqueeze(0))
        powers = FORMULA["lambda_layer"][:, : N // 2].unsqueeze(-1) ** torch.arange(24)
        wanted = 2 * torch.einsum("hm,hml->hl", C, powers).real
        torch.testing.assert_close(kernel(24)[0], wanted, rtol=1e-5, atol=1e-5)


def test_the_angles_do_not_depend_on_the_decay():
    kernel = made()
    kernel(24).square().sum().backward()
    gradient = kernel.log_dt.grad.clone()
    before = kernel.discretize().A.angle()
    with torch.no_grad():
        kernel.log_dt.add_(1.0)
    torch.testing.assert_close(kernel.discretize().A.angle(), before)
    assert (gradient != 0).all()  # but the decay does train


def test_a_signal_at_half_the_rate_squares_the_modes():
    kernel = made()
    system, halved = kernel.discretize(), kernel.discretize(rate=2.0)
    torch.testing.assert_close(halved.A, system.A**2)
    torch.testing.assert_close(halved.B, system.B)


@pytest.mark.parametrize("options", [{"discretization": "zoh"}, {"init": "lin"}, {"init": ["dfout", "lin"]}])
def test_init_and_discretization_go_together(options):
    with pytest.raises(UserError, match="need discretization: none"):
        made(**options)
    with pytest.raises(UserError, match="need discretization: none"):
        made(init=["dfout", "lin"], discretization="zoh")


def test_no_law_to_randomize():
    with pytest.raises(UserError, match="init 'dfout' has none"):
        made(random_imag=True)
