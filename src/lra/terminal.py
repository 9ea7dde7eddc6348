"""What people read: names, paths and records may hold any sign, and all of them are shown as text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but tab and line feed, marks that reorder text, and halves of characters.
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with what a terminal would obey, or could not show, as escapes: `\\x1b[31m`."""
    return UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Console(RichConsole):
    """Rich without a language inside the text: no [markup], no :emoji:, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


def complain(message: str) -> None:
    """Say something on standard error."""
    print(visible(message), file=sys.stderr)
