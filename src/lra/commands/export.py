"""Export a finished run's weights: lra export RUN [--to FILE.safetensors]

Then, anywhere this package is installed:

    import lra
    model = lra.load("FILE.safetensors")
    logits = model(x, lengths)
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main(arguments: list[str]) -> None:
    p = argparse.ArgumentParser(
        prog="lra export", description="Export the best weights of a finished run to safetensors."
    )
    p.add_argument("run", help="its id, or the path of its record")
    p.add_argument("overrides", nargs="*", help="e.g. data_dir=… output_dir=…")
    p.add_argument("--to", type=Path, help="file to write (default: <experiment>-<run>.safetensors)")
    p.add_argument(
        "--allow",
        metavar="MODULE",
        action="append",
        default=[],
        help="a package besides this one whose classes may be used",
    )
    options = p.parse_intermixed_args(arguments)
    from lra.training.export import export_run

    print(export_run(options.run, options.overrides, options.to, options.allow))
