"""Figures of the theory: initial eigenvalues, basis kernels, diagonal against dense LegS."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lra.figures.panels import in_plain_numbers, in_style, panels, shade
from lra.kernels import inits
from lra.kernels.hippo import Measure, hippo, normal_plus_low_rank

LABELS: dict[inits.Init, str] = {
    "legs": "S4D-LegS",
    "inv": "S4D-Inv",
    "lin": "S4D-Lin",
    "inv2": "S4D-Inv2",
    "quad": "S4D-Quad",
}


@in_style
def eigenvalues(state_size: int = 64) -> Figure:
    """Frequencies −Im A_n of the diagonal inits (S4D, section 4), and how S4D-Inv follows S4D-LegS."""
    figure, (left, right) = panels(2)
    modes = np.arange(1, state_size // 2 + 1)
    frequencies = {init: np.sort(-inits.diagonal_eigenvalues(init, state_size)[0].imag.numpy()) for init in LABELS}
    for init, label in LABELS.items():
        left.plot(modes, frequencies[init], marker="o", markersize=2.2, linewidth=0.9, label=label)
    left.set_yscale("symlog", linthresh=1, linscale=0.4)
    in_plain_numbers(left.yaxis)
    left.set(xlabel="mode, slowest first", ylabel="frequency −Im A", ylim=(-0.1, 1e4))
    left.set_title(f"Initial frequencies, N = {state_size}")
    left.legend(ncols=2, loc="upper left")

    for init in ("inv", "lin"):
        ratio = frequencies[init] / frequencies["legs"]
        right.plot(modes, ratio, marker="o", markersize=2.2, linewidth=0.9, label=LABELS[init])
    right.axhline(1, color="0.3", linewidth=0.8, linestyle="--")
    right.set(xlabel="mode, slowest first", ylabel="relative to S4D-LegS", ylim=(0, None))
    right.set_title("Against the eigenvalues of LegS")
    right.legend()
    return figure


@in_style
def basis_kernels(state_size: int = 64, shown: int = 5) -> Figure:
    """The first components of e^{tA} B for the dense HiPPO systems, and the slowest of diagonal ones."""
    time = torch.linspace(0, 3, 1200, dtype=torch.float64)
    odd = slice(0, 2 * shown, 2)  # FouT: the cosines; the sines between them have B = 0
    bases = {
        "S4-LegS": _dense_basis("legs", state_size, time)[:shown],
        "S4-FouT (cosines)": _dense_basis("fout", state_size, time)[odd],
        "S4D-LegS": _diagonal_basis("legs", state_size, time)[-shown:].flip(0),
        "S4D-Lin": _diagonal_basis("lin", state_size, time)[:shown],
    }
    figure, axes_of = panels(len(bases), 2.1, across=2)
    for axes, (title, values) in zip(axes_of, bases.items(), strict=True):
        for index, row in enumerate(values):
            axes.plot(time.numpy(), row.numpy(), color=shade(index, shown), linewidth=1, label=f"n = {index}")
        axes.set(title=title, xlabel="time t", ylabel="(exp(tA) B)ₙ" if title.startswith("S4-") else "Re exp(tAₙ)")
        axes.margins(x=0)
    axes_of[0].legend(ncols=2)
    return figure


@in_style
def convergence(sizes: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)) -> Figure:
    """The diagonal LegS system nears S4-LegS as N grows (S4D, theorem 3), in kernels as a model samples them.

    A = A_D − P Pᵀ; the theorem says that e^{t A_D} B/2 tends to e^{tA} B. It does so weakly: the normal part
    adds oscillations of up to N²/π radians, whose size does not shrink. Averaged over steps of Δ, as
    zero-order hold does, they cancel. The error is relative, in L₂ over [0, 4], for the first component.
    """
    figure, (left, right) = panels(2)
    steps = (0.1, 0.02, 0.005)
    for index, size in enumerate((16, 64, 256)):
        time, exact, near = _sampled_legs(size, steps[1])
        label = f"diagonal, N = {size}"
        left.plot(time.numpy(), near.numpy(), color=shade(index, 3), linewidth=0.9, label=label)
    left.plot(time.numpy(), exact.numpy(), color="black", linewidth=1, linestyle="--", label="S4-LegS")
    left.set(xlabel="time t", ylabel="zero-order hold of (exp(tA) B)₀", xlim=(0, 4))
    left.set_title(f"Kernels sampled at Δ = {steps[1]}")
    left.legend()
    for index, step in enumerate(steps):
        pairs = [_sampled_legs(size, step)[1:] for size in sizes]
        errors = [float((near - exact).norm() / exact.norm()) for exact, near in pairs]
        right.loglog(sizes, errors, "o-", markersize=3, color=shade(index, 3), label=f"Δ = {step}")
    guide = np.array(sizes[2:], dtype=float)
    right.loglog(guide, 0.06 * guide[0] / guide, color="0.5", linestyle=":", label="1/N")
    right.set(xlabel="state size N", ylabel="relative L₂ error")
    right.set_xticks(sizes, [str(size) for size in sizes])
    right.minorticks_off()
    right.yaxis.set_major_formatter("{x:g}")
    right.set_title("Error of the diagonal kernel")
    right.legend()
    return figure


def _dense_basis(measure: Measure, size: int, time: Tensor) -> Tensor:
    """e^{tA} B of a HiPPO system, (N, T), by steps of the matrix exponential on an even grid."""
    system = hippo(measure, size)
    step = torch.linalg.matrix_exp((time[1] - time[0]) * system.A)
    states = [system.B]
    for _ in range(len(time) - 1):
        states.append(step @ states[-1])
    return torch.stack(states, dim=1)


def _diagonal_basis(init: inits.Init, size: int, time: Tensor) -> Tensor:
    """Re e^{t A_n}, (N/2, T)."""
    A = inits.diagonal_eigenvalues(init, size)[0]
    return torch.exp(A.unsqueeze(1) * time).real


def _sampled_legs(size: int, step: float, span: float = 4.0) -> tuple[Tensor, Tensor, Tensor]:
    """Times (T,), and the means over each step of (e^{tA} B)_0 and of its diagonal version e^{t A_D} B/2."""
    count = round(span / step)
    time = step * torch.arange(count, dtype=torch.float64)
    exact = torch.exp(-time) * -math.expm1(-step) / step  # the first row of the triangular A is −1
    form = normal_plus_low_rank("legs", size)
    scaled = step * form.eigenvalues
    weight = form.V[0] * torch.expm1(scaled) / scaled * form.B
    near = torch.exp(torch.outer(time, form.eigenvalues)) @ weight
    return time, exact, near.real  # twice the real part of half the input
