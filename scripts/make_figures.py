"""Draw the theory figures: `python scripts/make_figures.py [--folder results/figures]`. Minutes on a CPU.

With `--weights model.safetensors` (scripts/export.py writes them) also the kernels that each layer has learned.
"""

import argparse
from pathlib import Path

import matplotlib

import lra
from lra.cli import explain_errors
from lra.figures import theory


def main() -> None:
    """Draw what is asked for and print the files."""
    parser = argparse.ArgumentParser(description="Compute and draw the figures as PNG and PDF.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "results" / "figures")
    parser.add_argument("--weights", type=Path, help="draw the learned kernels of this model")
    parser.add_argument("--length", type=int, default=1024, help="of the learned kernels (default 1024)")
    options = parser.parse_args()
    matplotlib.use("agg")
    for draw in (theory.eigenvalues, theory.basis_kernels, theory.convergence):
        for path in draw(options.folder):
            print(path)
    if options.weights:
        model = lra.load(options.weights)
        for i, block in enumerate(model.backbone.blocks):
            name = f"{options.weights.stem}-layer-{i + 1}"
            for path in theory.learned_kernels(options.folder, block.layer.kernel, options.length, name):
                print(path)


if __name__ == "__main__":
    with explain_errors():
        main()
