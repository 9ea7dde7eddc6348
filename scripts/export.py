"""Export a finished run's weights: python scripts/export.py RUN [--to FILE.safetensors]

Then, anywhere this package is installed:

    import lra
    model = lra.load("FILE.safetensors")
    logits = model(x, lengths)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lra.cli import explain_errors


def main() -> None:
    p = argparse.ArgumentParser(description="Export the best weights of a finished run to safetensors.")
    p.add_argument("run", help="its id, or the path of its record")
    p.add_argument("overrides", nargs="*", help="e.g. data_dir=… output_dir=…")
    p.add_argument("--to", type=Path, help="file to write (default: <experiment>-<run>.safetensors)")
    options = p.parse_args()
    with explain_errors():
        from lra.training.export import export_run

        print(export_run(options.run, options.overrides, options.to))


if __name__ == "__main__":
    main()
