"""Export a finished run's weights: python scripts/export.py RUN [--to FILE.safetensors]"""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("export", sys.argv[1:])
