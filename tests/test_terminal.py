"""What people read."""

import os
import pty
from contextlib import suppress
from importlib import import_module
from io import StringIO

import pytest

from lra.commands import COMMANDS
from lra.terminal import Console, complain, counted


@pytest.mark.parametrize(("columns", "width"), [("0", 80), ("5", 80), ("20", 20), ("132", 132), ("", 80), ("x", 80)])
def test_a_width_in_which_nothing_can_be_read_is_the_usual_one(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    console = Console(file=StringIO())
    assert console.width == width
    console.print("a card")
    assert console.file.getvalue() == "a card\n"


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (12000, "12,000 layers")]
)
def test_one_thing_or_several(number, words):
    assert counted(number, "layer") == words


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with suppress(SystemExit):
        import_module(f"lra.commands.{command}").main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


WORDS = f"error: The kernel is 'x'; allowed: {', '.join(['dss', 's4-original', 's4d'] * 6)}.\n  /a/file"


def test_a_complaint_ends_its_lines_between_words_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        complain(WORDS)
        shown = os.read(master, 4096).decode().splitlines()
    os.close(master)
    assert max(map(len, shown)) <= 80
    assert " ".join(line.strip() for line in shown) == WORDS.replace("\n  ", " ")
    assert shown[-1] == "  /a/file"


def test_a_complaint_to_a_file_is_a_line(capsys):
    complain(WORDS)
    assert capsys.readouterr().err == f"{WORDS}\n"
