"""Draw the figures: python scripts/make_figures.py [--weights FILE | --run ID | --study NAME | …]"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("figures", sys.argv[1:])
