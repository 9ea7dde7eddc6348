"""The generated files: what they should hold, whether they do, and the generated blocks of the docs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from lra.errors import choose
from lra.tables import benchmarks as benchmark
from lra.tables.render import csv_text, latex, markdown, markdown_document
from lra.tables.select import Table

FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": csv_text, "tex": latex}
PAGES = ("README.md", "results/README.md", "docs/*.md")  # with generated blocks
_BLOCK = re.compile(
    r"(<!-- (?P<kind>table|benchmark|breakdown):(?P<name>\S+) -->\n).*?(<!-- /(?P=kind) -->)", re.DOTALL
)


def generated(tables: Iterable[Table], results_dir: Path) -> dict[Path, str]:
    """Path and content of each file that the tables make."""
    folder = results_dir / "tables"
    return {
        folder / f"{table.study.name}.{suffix}": render(table) for table in tables for suffix, render in FORMATS.items()
    }


def docs(tables: Iterable[Table], root: Path, unreadable: Collection[str] = ()) -> dict[Path, str]:
    """The pages with their blocks made anew, but for `unreadable` studies; those without are left out.

    `<!-- table:STUDY -->` … `<!-- /table -->` holds the study's table, `<!-- benchmark:FILE -->` … the measurements
    of a file of results/benchmarks, `breakdown` its parts of a step. Raises UserError when a block names nothing.
    """
    by_name = {table.study.name: table for table in tables}
    measured = {file.stem: file for file in (root / "results" / "benchmarks").glob("*.json")}

    def fill(match: re.Match) -> str:
        what, name = f"The {match['kind']} of a block in the docs", match["name"]
        if match["kind"] == "table" and name in unreadable:
            return match[0]
        if match["kind"] == "table":
            body = markdown(by_name[choose(what, name, by_name)], heading=False)
        else:
            content = json.loads(measured[choose(what, name, measured)].read_text(encoding="utf-8"))
            parts = match["kind"] == "breakdown"
            shown = benchmark.breakdown(content) if parts else benchmark.document(name, content)
            body = markdown_document(shown, heading=False)
        return f"{match[1]}\n{body}\n{match[4]}"

    pages = [page for pattern in PAGES for page in sorted(root.glob(pattern))]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    return {file: _BLOCK.sub(fill, text) for file, text in texts.items() if _BLOCK.search(text)}


def stale(files: dict[Path, str]) -> list[str]:
    """A sentence for each file that is missing or differs from what the records make now."""
    return [
        f"{file}: {'differs from what the records make' if file.exists() else 'is missing'}"
        for file, content in files.items()
        if not file.exists() or file.read_bytes() != content.encode()
    ]


def orphans(names: Iterable[str], results_dir: Path) -> list[str]:
    """A sentence for each table file that none of the named studies makes."""
    names = set(names)
    files = (f for suffix in FORMATS for f in (results_dir / "tables").glob(f"*.{suffix}"))
    return [f"{file}: no study makes it; delete it" for file in sorted(files) if file.stem not in names]
