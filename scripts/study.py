"""Run and follow the studies of experiments/: python scripts/study.py list"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("study", sys.argv[1:])
