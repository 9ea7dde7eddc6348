"""Train one recipe: `python train.py experiment=lra/listops-s4d`. `python train.py --help` lists them all."""

import sys

from lra.commands import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
