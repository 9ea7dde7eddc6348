"""Measure speed and memory: python scripts/benchmark.py kernels|step|data"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("benchmark", sys.argv[1:])
