"""Test a finished run again: python scripts/evaluate.py RUN [task.rate=2 ...]"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("evaluate", sys.argv[1:])
