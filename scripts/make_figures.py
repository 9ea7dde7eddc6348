"""Draw figures: python scripts/make_figures.py [--weights FILE | --run ID | --study NAME | …]

The options are those of `lra figures`. Without one: the figures of the theory, minutes on a CPU.
"""

import sys

import theory

from lra.cli import run
from lra.commands import figures
from lra.paths import workspace


def main(arguments: list[str]) -> None:
    """Draw what is asked for and print the files."""
    if arguments:
        figures.main(arguments)
        return
    drawn = {
        "theory-eigenvalues": theory.eigenvalues(),
        "theory-basis-kernels": theory.basis_kernels(),
        "theory-convergence": theory.convergence(),
    }
    figures.write(drawn, workspace() / "results" / "figures")


if __name__ == "__main__":
    run(main, sys.argv[1:])
