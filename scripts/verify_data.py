"""Check prepared data and draw samples of each task: python scripts/verify_data.py [TASK ...]"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("verify", sys.argv[1:])
