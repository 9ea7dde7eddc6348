"""What people read."""

from io import StringIO

import pytest

from lra.terminal import Console, counted


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
