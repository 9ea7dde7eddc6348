"""The formats: Markdown, LaTeX (booktabs), CSV and the terminal, each a deterministic function of a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from lra.tables.layout import Document, Grid, document
from lra.tables.result import results
from lra.tables.select import Table
from lra.tables.text import Entry
from lra.terminal import visible

_RICH = {"": "", "bold": "bold", "italic": "italic", "good": "green", "bad": "red"}
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
        "}": r"\}", "^": r"\^{}", "~": r"\~{}", "|": "$|$", "<": "$<$", ">": "$>$", "±": r"$\pm$", "−": "$-$",
        "×": r"$\times$", "✗": r"$\times$", "▽": r"$\triangledown$", "◇": r"$\diamond$", "·": r"$\cdot$",
        "…": r"\ldots{}", "—": "---", "–": "--", "†": r"$\dagger$", "≤": r"$\leq$", "²": "$^2$",
        "[": "{[}", "]": "{]}", "*": "{*}", "`": r"\textasciigrave{}",  # \\[ and \\* would be commands
        "∈": r"$\in$", "→": r"$\to$", "Δ": r"$\Delta$", "λ": r"$\lambda$", "Λ": r"$\Lambda$",
    }
)  # fmt: skip
# What Markdown would act on: signs of HTML, code, links and formulas; * and _ at the edge of a word.
_MARKDOWN = re.compile(r"[\\`\[\]<>$]|&(?=[#\w]+;)|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|\*(?=\S)")
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?")
CSV_MEASURED = [
    "kind", "status", "n", "mean", "std", "median", "test_standard_error", "chance", "n_failed", "n_partial", "data",
    "budget", "fraction", "why_excluded", "seeds", "run_ids",
]  # fmt: skip
CSV_FIELDS = [
    "study", "row", "column", "experiment", "changes", *CSV_MEASURED, "delta", "noise", "verdict", "reported",
    "reported_std", "reported_n", "reported_at_chance", "arxiv", "table", "via", "evidence", "protocol",
]  # fmt: skip


def markdown(table: Table, heading: bool = True) -> str:
    return markdown_document(document(table), heading)


def markdown_document(doc: Document, heading: bool = True) -> str:
    parts = [f"# {_plain(doc.title)}\n"] if heading else []
    parts.append("".join(f"- **{label}:** {_plain(words)}\n" for label, words in doc.header))
    for grid in doc.grids:
        title = f"**{_plain(grid.title)}**\n\n" if grid.title else ""
        rows = [[_mark(Entry(title)) for title in grid.columns], ["---"] * len(grid.columns)]
        rows += [[_mark(e) for e in line] for line in grid.lines]
        parts.append(title + "".join(f"| {' | '.join(row)} |\n" for row in rows))
    parts.append("".join(f"- {_plain(line)}\n" for line in doc.footer))
    return "\n".join(p for p in parts if p)


def _plain(text: str) -> str:
    """Text as Markdown shows it: nothing in it is HTML, a link, emphasis, code, a formula or the end of a line."""
    return _MARKDOWN.sub(r"\\\g<0>", _line(text))


def _line(text: str) -> str:
    """One line without control characters."""
    return visible(" ".join(text.splitlines()))


def _mark(entry: Entry) -> str:
    text = _plain(entry.text).replace("|", "\\|")
    wrap = {"bold": "**", "italic": "*"}.get(entry.style, "") if text else ""
    return f"{wrap}{text}{wrap}"


def latex(table: Table) -> str:
    """A float with booktabs rules; needs the packages booktabs and amssymb."""
    return latex_document(document(table), table.study.name)


def latex_document(doc: Document, name: str) -> str:
    parts = [f"% {label}: {_escape(words)}" for label, words in doc.header]
    for i, grid in enumerate(doc.grids):
        caption = _escape(f"{doc.title}. {grid.title}" if grid.title else doc.title)
        parts += [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{caption}}}\label{{tab:{name}{'-excluded' if i else ''}}}",
            rf"\begin{{tabular}}{{{'l' * len(grid.columns)}}}",
            r"\toprule",
            " & ".join(map(_escape, grid.columns)) + r" \\",
            r"\midrule",
            *_latex_lines(grid),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        if i == 0:
            parts += [r"\par\footnotesize", r"\\".join(map(_escape, doc.footer))]
        parts.append(r"\end{table}")
    return "\n".join(parts) + "\n"


def _latex_lines(grid: Grid) -> list[str]:
    lines = []
    for i, line in enumerate(grid.lines):
        if i in grid.breaks:
            lines.append(r"\midrule")
        lines.append(" & ".join(_latex_entry(e) for e in line) + r" \\")
    return lines


def _latex_entry(entry: Entry) -> str:
    command = {"bold": "textbf", "italic": "textit"}.get(entry.style) if entry.text else None
    return rf"\{command}{{{_escape(entry.text)}}}" if command else _escape(entry.text)


def _escape(text: str) -> str:
    return _line(text).translate(_LATEX)


def terminal(table: Table) -> RenderableType:
    """Readable at 80 columns: one line a cell."""
    return terminal_document(document(table, compact=True))


def terminal_document(doc: Document) -> RenderableType:
    parts: list[RenderableType] = [Text(doc.title, style="bold")]
    parts += [Text.assemble((f"{label}: ", "dim"), words) for label, words in doc.header]
    for grid in doc.grids:
        parts += [Text(""), terminal_grid(grid)]
    return Group(*parts, *[Text(line, style="dim") for line in doc.footer])


def terminal_grid(grid: Grid) -> RenderableType:
    """A grid under its title. Where it is too wide, long titles give way before names and numbers do."""
    tight = len(grid.columns) > 8
    table = RichTable(box=None, pad_edge=False, padding=(0, 1 if tight else 2, 0, 0), header_style="dim")
    for i, title in enumerate(grid.columns):
        cells = [line[i].text for line in grid.lines]
        whole = not any(" " in cell for cell in cells) and len(title) <= max(map(len, cells), default=0)
        table.add_column(title, overflow="fold", no_wrap=whole)
    for i, line in enumerate(grid.lines):
        if i in grid.breaks:
            table.add_row()
        table.add_row(*[Text(e.text, style=_RICH[e.style]) for e in line])
    return Group(Text(grid.title, style="yellow"), table) if grid.title else table


def csv_text(table: Table) -> str:
    """All numbers unrounded: a row for each cell, each average, and excluded runs that are equal but for the seed."""
    return csv_rows(CSV_FIELDS, ({"study": table.study.name} | result.numbers for result in results(table)))


def csv_rows(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of values by field, with text that a spreadsheet would take for a formula quoted, as it advises."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_safe, fields))
    writer.writerows([_safe(row.get(field)) for field in fields] for row in rows)
    return out.getvalue()


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else visible(value)
