"""The command `lra`. In a checkout train.py and scripts/ start the same commands."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

from lra import __version__, cli, environment
from lra.errors import choose

COMMANDS = {
    "train": "train a recipe, or a sweep of it",
    "data": "get or make the data of tasks",
    "verify": "check prepared data and draw samples",
    "study": "run and follow the studies that make the tables",
    "tables": "make tables from the records, beside the papers' numbers",
    "evaluate": "test a finished run again",
    "export": "write the weights of a finished run to a file",
    "figures": "draw runs, studies, options and learned kernels",
}


def main() -> None:
    """`lra COMMAND …`"""
    environment.configure()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print("usage: lra COMMAND [--help] …\n")
        print(*(f"  {command:11}{what}" for command, what in COMMANDS.items()), sep="\n")
    elif name == "--version":
        print(f"lra {__version__}")
    elif name == "-sc":  # a shell that completes `lra train …`; Hydra takes one word for the program
        os.environ["COMP_LINE"] = os.environ.get("COMP_LINE", "").replace("lra train", "lra", 1)
        run("train", sys.argv[1:])
    else:
        run(name, arguments)


def run(name: str, arguments: list[str]) -> NoReturn:
    """Carry out one command and end with its exit status."""

    def command(given: list[str]) -> int | None:
        choose("The command", name, COMMANDS)
        return import_module(f"lra.commands.{name}").main(given)

    cli.run(command, arguments)
