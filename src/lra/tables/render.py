"""The formats: Markdown, LaTeX (booktabs), CSV and the terminal, each a deterministic function of a table."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from lra.tables.layout import Document, Entry, Grid, document
from lra.tables.select import Alike, Cell, Table
from lra.tables.statistics import Summary, scale, summarize
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


class CsvWriter(csv.DictWriter):
    """Rows of values by field, with text that a spreadsheet would take for a formula quoted, as it advises."""

    def __init__(self, out: io.StringIO, fields: Sequence[str], **options: Any) -> None:
        super().__init__(out, fields, lineterminator="\n", **options)

    def writerow(self, row: Mapping[str, Any]) -> None:
        super().writerow({field: _safe(value) for field, value in row.items()})

    def writerows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.writerow(row)


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else visible(value)


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
    """A grid under its title."""
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in grid.columns:
        table.add_column(title, overflow="fold")
    for i, line in enumerate(grid.lines):
        if i in grid.breaks:
            table.add_row()
        table.add_row(*[Text(e.text, style=_RICH[e.style]) for e in line])
    return Group(Text(grid.title, style="yellow"), table) if grid.title else table


def csv_text(table: Table) -> str:
    """All numbers unrounded: a row for each cell, each average, and excluded runs that are equal but for the seed."""
    out = io.StringIO()
    writer = CsvWriter(out, CSV_FIELDS)
    writer.writeheader()
    for cell in table.cells.values():
        writer.writerow(_csv_cell(table, cell))
        writer.writerows(_csv_excluded(table, cell))
    for (row, key), average in table.averages.items():
        low, high = average.n or (None, None)
        writer.writerow(
            {
                "study": table.study.name,
                "row": row,
                "column": key,
                "kind": "average",
                "n": low if low == high else f"{low}-{high}",
                "mean": average.mean,
                "reported": average.reported,
            }
        )
    return out.getvalue()


def _csv_identity(table: Table, cell: Cell) -> dict:
    row, column, experiment, planned_changes, _ = cell.planned
    changes = json.dumps(planned_changes, sort_keys=True) if experiment else ""
    known: dict[str, object] = {"study": table.study.name, "row": row.key, "column": column.key}
    known |= {"experiment": experiment}
    if cell.reported:
        value, origin, _ = cell.reported
        known |= {"reported": value.mean, "reported_std": value.std, "reported_n": value.n}
        known |= {"reported_at_chance": value.at_chance, "arxiv": origin.arxiv, "table": origin.table}
        known |= {"via": origin.via, "evidence": origin.evidence, "protocol": origin.protocol}
    return known | {"changes": changes}


def _csv_cell(table: Table, cell: Cell) -> dict:
    return _csv_identity(table, cell) | csv_cell(cell)


def csv_cell(cell: Cell) -> dict:
    """The fields of the runs that count in a cell."""
    row: dict[str, object] = {"kind": "cell", "status": cell.status, "n": len(cell.complete)}
    row |= {"n_failed": len(cell.failed), "n_partial": len(cell.partial)}
    if s := cell.summary:
        row |= _csv_summary(s) | {"chance": _chance(cell.complete[0]), "budget": "paper"}
        row |= {"data": "+".join(sorted({r.data.variant for r in cell.complete}))}
    c = cell.comparison
    row |= {"delta": c.delta, "noise": c.noise, "verdict": c.verdict}
    row |= {"seeds": " ".join(str(r.identity.seed) for r in cell.counted)}
    row |= {"run_ids": " ".join(r.run_id for r in cell.counted)}
    return row


def _csv_excluded(table: Table, cell: Cell) -> list[dict]:
    return [_csv_identity(table, cell) | csv_alike(alike) for alike in cell.excluded_alike]


def csv_alike(alike: Alike) -> dict:
    """The fields of excluded runs that are equal but for the seed."""
    first = alike.records[0]
    row = {
        "kind": "excluded",
        "status": first.status,
        "chance": _chance(first),
        "data": first.data.variant,
        "budget": first.budget.kind,
        "fraction": first.budget.fraction,
        "why_excluded": "; ".join(alike.reasons),
        "seeds": " ".join(str(r.identity.seed) for r in alike.records),
        "run_ids": " ".join(r.run_id for r in alike.records),
    }
    return row | (_csv_summary(summarize(alike.records)) if first.status == "complete" else {})


def _csv_summary(s: Summary) -> dict:
    return {
        "n": s.n,
        "mean": s.mean,
        "std": s.std,
        "median": s.median,
        "test_standard_error": s.sampling_error,
    }


def _chance(record) -> float | None:
    return None if record.metrics.chance is None else record.metrics.chance * scale(record)
