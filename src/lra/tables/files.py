"""The generated files: what they should hold, whether they do, and the README's table blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from lra.errors import choose
from lra.records.store import write_text
from lra.tables.render import csv_text, latex, markdown
from lra.tables.select import Table

FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": csv_text, "tex": latex}
_BLOCK = re.compile(r"(<!-- table:(?P<name>\S+) -->\n)(?P<body>.*?)(<!-- /table -->)", re.DOTALL)


def generated(tables: Iterable[Table], results_dir: Path) -> dict[Path, str]:
    """Path and content of each file that the tables make."""
    folder = results_dir / "tables"
    return {
        folder / f"{table.study.name}.{suffix}": render(table)
        for table in tables
        for suffix, render in FORMATS.items()
    }


def readme(tables: Iterable[Table], file: Path) -> dict[Path, str]:
    """The README with each `<!-- table:NAME -->` … `<!-- /table -->` block made anew; empty if there is none.

    Raises UserError when a block names no study.
    """
    by_name = {table.study.name: table for table in tables}

    def fill(match: re.Match) -> str:
        table = by_name[choose(f"The table of a block in {file.name}", match["name"], by_name)]
        return f"{match[1]}\n{markdown(table, heading=False)}\n{match[4]}"

    if not file.exists():
        return {}
    text = file.read_text(encoding="utf-8")
    return {file: _BLOCK.sub(fill, text)} if _BLOCK.search(text) else {}


def write(files: dict[Path, str]) -> None:
    for file, content in files.items():
        write_text(file, content)


def stale(files: dict[Path, str]) -> list[str]:
    """A sentence for each file that is missing or differs from what the records make now."""
    return [
        f"{file}: {'differs from what the records make' if file.exists() else 'is missing'}"
        for file, content in files.items()
        if not file.exists() or file.read_bytes() != content.encode()
    ]


def orphans(tables: Iterable[Table], results_dir: Path) -> list[str]:
    """A sentence for each table file that no study makes."""
    names = {table.study.name for table in tables}
    files = (f for suffix in FORMATS for f in (results_dir / "tables").glob(f"*.{suffix}"))
    return [f"{file}: no study makes it" for file in sorted(files) if file.stem not in names]
