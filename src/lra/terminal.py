"""What people read: names, paths and records may hold any sign, and all of them are shown as text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

# Control characters but tab and line feed, marks that reorder text, and halves of characters.
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NARROWEST, USUAL = 20, 80  # columns: nothing can be read in fewer, and COLUMNS=0 or a broken terminal may say so


def visible(text: str) -> str:
    """The text with what a terminal would obey, or could not show, as escapes: `\\x1b[31m`."""
    return UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def duration(seconds: float) -> str:
    """A length of time as people say it: `2 s`, `14 min`, `5.2 h`, `12 days`."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * size:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if amount < 10 and unit != "min" else f"{amount:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1g} s"


def counted(number: int, thing: str) -> str:
    """A number of things: `1 layer`, `2 layers`, `12,000 steps`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class Console(RichConsole):
    """Rich without a language inside the text: no [markup], no :emoji:, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if self.width < NARROWEST:
            self.width = USUAL

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


def framed(title: Text, rows: Iterable[tuple[str, str]]) -> Panel:
    """Facts with their labels, in a frame under a title."""
    grid = Table.grid(padding=(0, 2))
    for label, words in rows:
        grid.add_row(Text(label, style="dim", no_wrap=True), Text(words, overflow="fold"))
    return Panel(grid, title=title, title_align="left", expand=False)


def complain(message: str) -> None:
    """Say something on standard error; on a terminal lines end between words."""
    console = Console(stderr=True)
    console.print(message, soft_wrap=not console.is_terminal)
