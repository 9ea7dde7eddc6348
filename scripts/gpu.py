"""A day with a GPU: check it, measure it, plan and fill the cheapest cells: python scripts/gpu.py time_limit=2h"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("gpu", sys.argv[1:])
