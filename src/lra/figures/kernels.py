"""Figures of kernels: as every kind starts, as a layer has learned them, and where training moved the eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lra.composition import compose
from lra.figures.panels import COLORS, in_style, panels
from lra.figures.style import grid, styled
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


@styled
def learned(folder: Path, kernel: Kernel, length: int, name: str, shown: int = 12):
    """First-channel kernels of a trained module, for features spread evenly over the order of step sizes."""
    with torch.no_grad():
        K = kernel(length)[0].cpu()
        dt = kernel.get_parameter("log_dt").exp().reshape(kernel.features, -1).mean(1).cpu()
    features = dt.argsort()[torch.linspace(0, len(dt) - 1, min(shown, len(dt))).round().long()].tolist()
    fig, axes = grid(columns=4, rows=math.ceil(len(features) / 4), height=1.15)
    for axis in axes.flat[len(features) :]:
        axis.axis("off")
    for axis, feature in zip(axes.flat, features, strict=False):
        axis.plot(K[feature].numpy(), linewidth=0.7)
        axis.set_title(f"$h = {feature}$, $\\Delta = {dt[feature]:.2g}$", fontsize=7)
        axis.margins(x=0)
        axis.tick_params(labelsize=6)
    for axis in axes[-1]:
        axis.set_xlabel("lag $\\ell$")
    return fig, folder / f"learned-kernels-{name}"


def continuous_eigenvalues(kernel: Kernel) -> np.ndarray | None:
    """Λ of a kernel's continuous system, complex128 (H N,) or (N,); None for a kernel that has none."""
    continuous = getattr(kernel, "continuous", None)
    if continuous is None:
        return None
    with torch.no_grad():
        return continuous()[0].reshape(-1).cpu().numpy()


@styled
def eigenvalues(folder: Path, layers: Sequence[tuple[np.ndarray, np.ndarray]], name: str, title: str):
    """Λ of each layer, initial and learned, with a line between: one of each conjugate pair, drawn upward."""
    fig, axes = grid(columns=2, rows=math.ceil(len(layers) / 2), height=2.1)
    for axis in axes.flat[len(layers) :]:
        axis.axis("off")
    for number, (axis, pair) in enumerate(zip(axes.flat, layers, strict=False), start=1):
        moves = np.unique(np.stack(pair, axis=1), axis=0)  # features that share Λ are drawn once
        points = np.stack([moves.real, np.abs(moves.imag)], axis=-1)
        axis.add_collection(LineCollection(list(points), colors="0.7", linewidths=0.6))
        for column, label, color in ((0, "initial", "0.45"), (1, "learned", "#D55E00")):
            axis.plot(*points[:, column].T, "o", markersize=2.4, color=color, label=label)
        axis.set_yscale("symlog", linthresh=1, linscale=0.4)
        axis.set(xlabel="$\\mathrm{Re}\\,\\Lambda$", ylim=(-0.1, None))
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_title(f"layer {number}")
    for axis in axes[:, 0]:
        axis.set_ylabel("$|\\mathrm{Im}\\,\\Lambda|$")
    axes[0, 0].legend()
    fig.suptitle(title)
    return fig, folder / f"learned-eigenvalues-{name}"
