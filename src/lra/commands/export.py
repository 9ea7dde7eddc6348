"""Export a finished run's weights: lra export RUN [--to FILE.safetensors]

Then, anywhere this package is installed:

    import lra
    model = lra.load("FILE.safetensors")
    logits = model(x, lengths)
"""

from __future__ import annotations

from pathlib import Path

from lra.commands.finished import parser


def main(arguments: list[str]) -> None:
    p = parser(
        "lra export",
        "Export the best weights of a finished run to safetensors.",
        "e.g. data_dir=… output_dir=…",
    )
    p.add_argument("--to", type=Path, help="file to write (default: <experiment>-<run>.safetensors)")
    options = p.parse_intermixed_args(arguments)
    from lra.training.export import export_run

    print(export_run(options.run, options.overrides, options.to, options.allow))
