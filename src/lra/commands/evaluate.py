"""Test a finished run again: lra evaluate RUN [task.rate=2 ...]"""

from __future__ import annotations

import argparse


def main(arguments: list[str]) -> None:
    p = argparse.ArgumentParser(
        prog="lra evaluate", description="Test a finished run again, and write a record of it."
    )
    p.add_argument("run", help="its id, or the path of its record")
    p.add_argument("overrides", nargs="*", help="e.g. task.rate=2 (SC35 at 8 kHz), trainer.accelerator=cpu")
    p.add_argument(
        "--allow",
        metavar="MODULE",
        action="append",
        default=[],
        help="a package besides this one whose classes may be used",
    )
    options = p.parse_intermixed_args(arguments)
    from lra.training.evaluate import evaluate

    evaluation, path = evaluate(options.run, options.overrides, options.allow)
    error = evaluation.test.standard_error
    spread = "" if error is None else f" (standard error {error:.4f})"
    print(f"test {evaluation.metric} {evaluation.test.value:.4f}{spread}, {evaluation.test.n} samples")
    print(f"record: {path}")
