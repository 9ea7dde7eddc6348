"""The figures are drawn, and show what they say."""

import pytest
import theory
import torch

from lra.figures import kernels
from lra.figures.panels import save
from lra.kernels.dss import DSS
from lra.kernels.s4d import S4D


@pytest.mark.parametrize(
    "draw",
    [
        lambda: theory.eigenvalues(state_size=8),
        lambda: theory.basis_kernels(state_size=16, shown=3),
        lambda: theory.convergence(sizes=(4, 8, 16)),
        lambda: kernels.learned(S4D(5, state_size=4), 50, "s4d"),
        lambda: kernels.learned(DSS(13, state_size=4), 50, "dss"),
    ],
)
def test_writes_png_and_pdf(tmp_path, draw):
    png, pdf = save(draw(), tmp_path / "figure")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert png.parent == pdf.parent == tmp_path


def test_same_figure_is_the_same_file(tmp_path):
    first, second = (save(theory.eigenvalues(state_size=8), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_diagonal_legs_nears_legs():
    """The theorem: halving the error takes about twice the state size."""
    errors = []
    for size in (64, 128, 256):
        _, exact, near = theory._sampled_legs(size, 0.02)
        errors.append(float((near - exact).norm() / exact.norm()))
    assert errors[0] < 0.2
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_exact_legs_kernel_is_that_of_the_dense_system():
    _, exact, _ = theory._sampled_legs(8, 0.01)
    fine = torch.arange(4001, dtype=torch.float64) / 1000
    dense = theory._dense_basis("legs", 8, fine)[0]
    averages = dense[:-1].add(dense[1:]).div(2).view(-1, 10).mean(1)
    torch.testing.assert_close(exact, averages, rtol=1e-5, atol=1e-8)
