"""Figures of kernels: as every kind starts, as a layer has learned them, and where training moved the eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lra.composition import compose
from lra.figures.panels import COLORS, in_plain_numbers, in_style, panels
from lra.kernels.base import Kernel
from lra.nodes import kernel_factory
from lra.paths import CONFIG_DIR


@in_style
def starting_kernels(length: int = 512, features: int = 4) -> Figure:
    """K (C, H, L) of every kernel in `configs/kernel` as it starts, one line a feature, with a fixed seed."""
    names = sorted(file.stem for file in (CONFIG_DIR / "kernel").glob("*.yaml"))
    figure, axes_of = panels(len(names))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for axes, name in zip(axes_of, names, strict=True):
            torch.manual_seed(0)
            kernel = kernel_factory(compose([f"kernel={name}"])["kernel"], length)(features, 1)
            for line, color in zip(kernel(length)[0], COLORS, strict=False):
                axes.plot(line / line.abs().max(), color=color, linewidth=1)
            axes.set(title=name, xlabel="lag", ylabel="kernel, scaled to 1")
    return figure


@in_style
def learned(kernel: Kernel, length: int, title: str, shown: int = 12) -> Figure:
    """First-channel kernels of a trained module, for features spread evenly over the order of step sizes."""
    with torch.no_grad():
        K = kernel(length)[0].cpu()
        dt = kernel.get_parameter("log_dt").exp().reshape(kernel.features, -1).mean(1).cpu()
    features = dt.argsort()[torch.linspace(0, len(dt) - 1, min(shown, len(dt))).round().long()].tolist()
    figure, axes_of = panels(len(features), 1.6, title, across=4)
    for axes, feature in zip(axes_of, features, strict=True):
        axes.plot(K[feature].numpy(), linewidth=0.7)
        axes.set(title=f"feature {feature}, Δ = {dt[feature]:.2g}", xlabel="lag")
        axes.margins(x=0)
    return figure


def continuous_eigenvalues(kernel: Kernel) -> np.ndarray | None:
    """Λ of a kernel's continuous system, complex128 (H N,) or (N,); None for a kernel that has none."""
    continuous = getattr(kernel, "continuous", None)
    if continuous is None:
        return None
    with torch.no_grad():
        return continuous()[0].reshape(-1).cpu().numpy()


@in_style
def eigenvalues(layers: Sequence[tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """Λ of each layer, initial and learned, with a line between: one of each conjugate pair, drawn upward."""
    figure, axes_of = panels(len(layers), title=title, across=2)
    for number, (axes, pair) in enumerate(zip(axes_of, layers, strict=True), start=1):
        moves = np.unique(np.stack(pair, axis=1), axis=0)  # features that share Λ are drawn once
        points = np.stack([moves.real, np.abs(moves.imag)], axis=-1)
        axes.add_collection(LineCollection(list(points), colors="0.7", linewidths=0.6))
        for column, label, color in ((0, "initial", "0.45"), (1, "learned", COLORS[1])):
            axes.plot(*points[:, column].T, "o", markersize=2.4, color=color, label=label)
        axes.set_yscale("symlog", linthresh=1, linscale=0.4)
        in_plain_numbers(axes.yaxis)
        axes.set(title=f"layer {number}", xlabel="Re Λ", ylabel="|Im Λ|", ylim=(-0.1, None))
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes_of[0].legend()
    return figure
