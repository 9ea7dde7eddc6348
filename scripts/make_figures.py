"""Draw the theory figures: `python scripts/make_figures.py [--folder results/figures]`. Minutes on a CPU."""

import argparse
from pathlib import Path

import matplotlib

from lra.figures import theory

parser = argparse.ArgumentParser(description="Compute and draw the theory figures as PNG and PDF.")
parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "results" / "figures")
folder = parser.parse_args().folder

matplotlib.use("agg")
for draw in (theory.eigenvalues, theory.basis_kernels, theory.convergence):
    for path in draw(folder):
        print(path)
