"""Get or make the data of tasks: python scripts/prepare_data.py pathx"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("data", sys.argv[1:])
