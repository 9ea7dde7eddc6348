"""One result as every format shows it, computed once: the formats only set its words and numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lra.records.schema import RunRecord
from lra.studies.schema import Average, Column, Row, Study
from lra.tables import text
from lra.tables.select import AverageCell, Cell, Table
from lra.tables.statistics import scale, summarize
from lra.tables.text import BLANK, Entry, Style

_VERDICT_STYLE: dict[str, Style] = {"match": "good", "below": "bad", "worse": "bad"}


@dataclass(frozen=True)
class Result:
    """The runs that count in a cell, its excluded runs that are equal but for the seed, or an average of cells.

    `numbers` are unrounded, by the fields of the CSV, in the table's unit.
    """

    kind: Literal["cell", "excluded", "average"]
    row: Row
    column: Column | Average
    paper: Entry
    ours: Entry
    numbers: dict[str, object]
    difference: Entry = BLANK
    records: list[RunRecord] = field(default_factory=list)
    reasons: Sequence[str] = ()  # why it is excluded

    @property
    def best(self) -> bool:
        """Whether it is the best complete cell of a column that has several."""
        return self.ours.style == "bold"

    @property
    def order(self) -> object:
        """Its place in a sorted column: our mean, or the paper's where we have none."""
        mean = self.numbers.get("mean")
        return self.numbers.get("reported") if mean is None else mean

    def why(self, said: Collection[str] = ()) -> str:
        """Its seeds, and why it is excluded but for what is `said` already: `seeds 0, 1; reduced budget`."""
        seeds = ", ".join(str(r.identity.seed) for r in self.records)
        own = [reason for reason in self.reasons if reason not in said]
        return "; ".join([f"{'seed' if len(self.records) == 1 else 'seeds'} {seeds}", *own]) if own else seeds


def columns(study: Study) -> list[Column | Average]:
    """What a table has beside its rows' titles."""
    return [*study.columns, *study.averages]


def results(table: Table) -> list[Result]:
    """All of a table: each cell followed by its excluded runs, then the averages."""
    best = _best(table)
    found = [r for cell in table.cells.values() for r in of_cell(cell, best=any(cell is b for b in best))]
    rows = {row.key: row for row in table.study.rows}
    return found + [_average(rows[row], average) for (row, _), average in table.averages.items()]


def by_place(found: list[Result]) -> dict[tuple[str, str], Result]:
    """Cells and averages by the keys of their row and column."""
    return {(r.row.key, r.column.key): r for r in found if r.kind != "excluded"}


def of_cell(cell: Cell, best: bool = False) -> list[Result]:
    """The runs that count in a cell, and the excluded ones."""
    row, column, metric = cell.spec.row, cell.spec.column, cell.spec.column.metric
    paper, comparison = Entry(text.paper(cell.reported)), cell.comparison
    numbers = _numbers(cell, cell.counted) | {"kind": "cell", "status": cell.status, "n": len(cell.complete)}
    numbers |= {"n_failed": len(cell.failed), "n_partial": len(cell.partial)}
    if cell.complete:
        data = "+".join(sorted({r.data.variant for r in cell.complete}))
        numbers |= _measured(cell.complete) | {"budget": "paper", "data": data}
    numbers |= {"delta": comparison.delta, "noise": comparison.noise, "verdict": comparison.verdict}
    ours = Entry(text.ours(cell), "bold" if best else "")
    style = _VERDICT_STYLE.get(comparison.verdict, "")
    difference = Entry(text.difference(comparison, metric), style)
    found = [Result("cell", row, column, paper, ours, numbers, difference, cell.counted)]
    for records, reasons in cell.excluded_alike:
        first = records[0]
        numbers = _numbers(cell, records) | {"kind": "excluded", "status": first.status}
        numbers |= {"data": first.data.variant, "budget": first.budget.kind}
        numbers |= {"fraction": first.budget.fraction, "why_excluded": "; ".join(reasons)}
        numbers |= {"chance": _chance(first)} if first.status != "complete" else _measured(records)
        ours = Entry(text.excluded(*records), "italic")
        found.append(Result("excluded", row, column, paper, ours, numbers, BLANK, records, reasons))
    return found


def _average(row: Row, average: AverageCell) -> Result:
    low, high = average.n or (None, None)
    numbers: dict[str, object] = {"row": row.key, "column": average.policy.key, "kind": "average"}
    numbers |= {"n": low if low == high else f"{low}-{high}"}
    numbers |= {"mean": average.mean, "reported": average.reported}
    paper = Entry("" if average.reported is None else str(average.reported))
    ours = Entry(text.average(average) if row.experiment else "")
    return Result("average", row, average.policy, paper, ours, numbers)


def _numbers(cell: Cell, records: list[RunRecord]) -> dict[str, object]:
    """Which cell it is, what the paper says there, and which runs are behind ours."""
    row, column, experiment, planned_changes, _ = cell.spec
    known: dict[str, object] = {"row": row.key, "column": column.key, "experiment": experiment}
    known["changes"] = json.dumps(planned_changes, sort_keys=True) if experiment else ""
    known["seeds"] = " ".join(str(r.identity.seed) for r in records)
    known["run_ids"] = " ".join(r.run_id for r in records)
    if cell.reported:
        value, origin, _ = cell.reported
        known |= {"reported": value.mean, "reported_std": value.std, "reported_n": value.n}
        known |= {"reported_at_chance": value.at_chance, "arxiv": origin.arxiv, "table": origin.table}
        known |= {"via": origin.via, "evidence": origin.evidence, "protocol": origin.protocol}
    return known


def _measured(records: list[RunRecord]) -> dict[str, object]:
    s = summarize(records)
    numbers: dict[str, object] = {"n": s.n, "mean": s.mean, "std": s.std, "median": s.median}
    return numbers | {"test_standard_error": s.sampling_error, "chance": _chance(records[0])}


def _chance(record: RunRecord) -> float | None:
    return None if record.metrics.chance is None else record.metrics.chance * scale(record.metrics.name)


def _best(table: Table) -> list[Cell]:
    """The best complete cell of each column that has several."""
    best = []
    for column in table.study.columns:
        cells = [c for row in table.study.rows if (c := table.cell(row, column)) and c.status == "complete"]
        if len(cells) > 1:
            higher = cells[0].complete[0].metrics.higher_is_better
            best.append((max if higher else min)(cells, key=lambda c: summarize(c.complete).mean))
    return best
