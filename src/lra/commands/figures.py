"""Draw the theory figures: `lra figures [--folder results/figures]`. Minutes on a CPU.

With `--weights model.safetensors` (`lra export` writes them) also the kernels that each layer has learned.
"""

import argparse
from pathlib import Path

import matplotlib

import lra
from lra.errors import UserError
from lra.figures import theory
from lra.mixers.convolution import Convolution
from lra.paths import workspace


def main(arguments: list[str]) -> None:
    """Draw what is asked for and print the files."""
    parser = argparse.ArgumentParser(
        prog="lra figures", description="Compute and draw the figures as PNG and PDF."
    )
    parser.add_argument("--folder", type=Path, default=workspace() / "results" / "figures")
    parser.add_argument("--weights", type=Path, help="draw the learned kernels of this model")
    parser.add_argument("--length", type=int, default=1024, help="of the learned kernels (default 1024)")
    options = parser.parse_args(arguments)
    matplotlib.use("agg")
    for draw in (theory.eigenvalues, theory.basis_kernels, theory.convergence):
        for path in draw(options.folder):
            print(path)
    if options.weights:
        model = lra.load(options.weights)
        for i, block in enumerate(model.backbone.blocks):
            if not isinstance(block.mixer, Convolution):
                raise UserError(f"Layer {i + 1} of {options.weights} has no kernel to draw.")
            name = f"{options.weights.stem}-layer-{i + 1}"
            for path in theory.learned_kernels(options.folder, block.mixer.kernel, options.length, name):
                print(path)
