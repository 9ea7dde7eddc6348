"""HiPPO matrices and their normal plus low rank form: published numbers and identities."""

import pytest
import torch

from lra.errors import UserError
from lra.kernels.hippo import hippo, normal_plus_low_rank

CASES = [("legs", 4), ("legs", 16), ("legs", 64), ("legt", 16), ("legt", 64), ("fout", 16), ("fout", 64)]


@pytest.mark.parametrize(("measure", "size"), CASES)
def test_matches_the_published_system(golden, measure, size):
    expected = golden("hippo").case(f"{measure}_N{size}_")
    system = hippo(measure, size)
    torch.testing.assert_close(system.B, expected["B"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(system.P, expected["Pdense"], rtol=1e-12, atol=1e-12)
    if "A" in expected:
        torch.testing.assert_close(system.A, expected["A"], rtol=1e-12, atol=1e-12)

    form = normal_plus_low_rank(measure, size)
    torch.testing.assert_close(form.eigenvalues, expected["Lambda"], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(form.P.abs(), expected["absP"], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(form.B.abs(), expected["absBnoclip"], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(form.P.conj() * form.B, expected["conjP_B"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [2, 6, 16, 64])
@pytest.mark.parametrize("measure", ["legs", "legt", "fout"])
def test_normal_plus_low_rank_rebuilds_the_matrix(measure, size):
    """A = V(Λ − PP*)V* over the whole spectrum, which is the kept half and its conjugate."""
    system, form = hippo(measure, size), normal_plus_low_rank(measure, size)
    normal = 2 * (form.V @ torch.diag(form.eigenvalues) @ form.V.mH).real
    scale = system.A.norm()
    assert (normal - system.P.T @ system.P - system.A).norm() < 1e-12 * scale
    assert (2 * (form.V @ form.B).real - system.B).norm() < 1e-12 * scale
    assert (2 * (form.V @ form.P.T).real.T - system.P).norm() < 1e-12 * scale


def test_legs_frequencies_are_those_of_the_skew_matrix_of_dss(golden):
    for size in (4, 16, 64):
        expected = golden("hippo")[f"dss_skew_n{size}_imag_f64"]
        ours = -normal_plus_low_rank("legs", 2 * size).eigenvalues.imag
        torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)


def test_refuses_unknown_measures_and_odd_sizes():
    with pytest.raises(UserError, match="Did you mean 'legs'"):
        hippo("leggs", 8)
    with pytest.raises(UserError, match="even"):
        normal_plus_low_rank("legs", 7)
