"""Test a finished run again: lra evaluate RUN [task.rate=2 ...]"""

from __future__ import annotations

from lra.commands.finished import parser


def main(arguments: list[str]) -> None:
    options = parser(
        "lra evaluate",
        "Test a finished run again, and write a record of it.",
        "e.g. task.rate=2 (SC35 at 8 kHz), trainer.accelerator=cpu",
    ).parse_intermixed_args(arguments)
    from lra.training.evaluate import evaluate

    evaluation, path = evaluate(options.run, options.overrides, options.allow)
    error = evaluation.test.standard_error
    spread = "" if error is None else f" (standard error {error:.4f})"
    print(f"test {evaluation.metric} {evaluation.test.value:.4f}{spread}, {evaluation.test.n} samples")
    print(f"record: {path}")
