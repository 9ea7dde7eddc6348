"""Test a finished run again: lra evaluate RUN [task.rate=2 ...]"""

from __future__ import annotations

from lra.commands.finished import parser


def main(arguments: list[str]) -> None:
    options = parser(
        "lra evaluate",
        "Test a finished run again, and write a record of it.",
        "e.g. task.rate=2 (SC35 at 8 kHz), trainer.accelerator=cpu",
    ).parse_intermixed_args(arguments)
    from lra.tables import text
    from lra.training.evaluate import evaluate
    from lra.training.processes import is_main

    evaluation, path = evaluate(options.run, options.overrides, options.allow)
    if is_main():
        print(f"test {evaluation.metric}: {text.score(evaluation.test, evaluation.metric)}")
        print(f"record: {path}")
