"""What is behind a cell: the paper's number with its source, and every record that belongs to it."""

from __future__ import annotations

import shlex
import shutil
import textwrap

from lra.composition import override
from lra.records.schema import RunRecord
from lra.tables import text
from lra.tables.result import of_cell
from lra.tables.select import Cell, Table


def explain(table: Table, where: str) -> str:
    """The records behind the cell `ROW:COLUMN`, as plain text; raises UserError for an unknown cell."""
    cell = table.find(where)
    row, column, experiment, planned_changes, seeds = cell.spec
    lines = [f"{table.study.title}: {row.title}, {column.title}"]
    if cell.reported:
        lines.append(f"paper     {cell.reported.value}  from {cell.reported.source}")
    else:
        lines.append("paper     no number")
    if experiment is None:
        return "\n".join([*lines, "ours      nothing to run: the row is reported only"])
    changes = shlex.join(override(key, value) for key, value in planned_changes.items())
    result = of_cell(cell)[0]
    lines += [
        f"ours      {'  '.join(p for p in (result.ours.text, result.difference.text) if p)}",
        f"run       {' '.join(p for p in (f'lra train experiment={experiment}', changes) if p)}",
        f"seeds     {', '.join(map(str, seeds))} planned",
    ]
    for group in ("complete", "partial", "failed", "excluded"):
        lines += [f"{group:9} {_record(cell, r, group)}" for r in getattr(cell, group)]
    return "\n".join(lines)


def wrapped(text: str) -> str:
    """An explanation at the width of the terminal, what goes on being indented; commands stay whole, to be copied."""
    width = shutil.get_terminal_size().columns
    whole = textwrap.TextWrapper(width, subsequent_indent=10 * " ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(line if line.startswith("run ") else whole.fill(line) for line in text.splitlines())


def _record(cell: Cell, record: RunRecord, group: str) -> str:
    parts = [
        f"{record.identity.experiment}/{record.run_id}.json",
        f"seed {record.identity.seed}",
        text.excluded(record),
        f"{record.data.variant} data",
        f"{record.budget.done_steps} of {record.budget.planned_steps} steps",
        f"on {', then '.join(record.hardware)}",
        f"code {', then '.join(record.code_labels)}",
        (record.finished_utc or record.created_utc)[:10],
    ]
    if group == "excluded":
        parts.append("excluded: " + "; ".join(cell.reasons_excluded(record)))
    if record.status_reason:
        parts.append(record.status_reason)
    return ", ".join(parts)
