"""Which records fill which cell, and which are excluded.

A record belongs to a cell if its experiment and its changes equal the cell's. It counts there only if it
ran the paper's budget on the paper's data under the paper's protocol; otherwise it is excluded, with the
reasons, and enters no mean, no average and no verdict.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from lra.errors import UserError, choose
from lra.records.schema import RunRecord
from lra.studies.schema import PAPER_DATA, Average, CellSpec, Column, Row, Study
from lra.tables.drift import drift
from lra.tables.reported import Reported, reported_average, reported_cell
from lra.tables.statistics import Comparison, Summary, at_chance, compare, summarize
from lra.vocabulary import Variant

CellStatus = Literal["complete", "chance", "partial", "failed", "not run", "reported only"]


class Alike(NamedTuple):
    """Excluded runs of one cell with the same reasons; several have a mean among themselves."""

    records: list[RunRecord]
    reasons: list[str]


@dataclass
class Cell:
    """One cell: the runs that count, those under way, those that failed, and those that are excluded."""

    spec: CellSpec
    reported: Reported | None
    complete: list[RunRecord] = field(default_factory=list)
    partial: list[RunRecord] = field(default_factory=list)
    failed: list[RunRecord] = field(default_factory=list)
    excluded: list[RunRecord] = field(default_factory=list)

    @property
    def status(self) -> CellStatus:
        if self.spec.experiment is None:
            return "reported only"
        if self.complete:
            return "chance" if all(at_chance(r) for r in self.complete) else "complete"
        if self.partial:
            return "partial"
        return "failed" if self.failed else "not run"

    @property
    def averageable(self) -> bool:
        """Whether the cell may enter an average: finished runs, and none failed or still under way."""
        return bool(self.complete) and not self.failed and not self.partial

    @property
    def summary(self) -> Summary | None:
        return summarize(self.complete) if self.complete else None

    @property
    def comparison(self) -> Comparison:
        if (summary := self.summary) is None:
            return Comparison(None, None, "")
        paper = self.reported and self.reported.value
        higher_is_better = self.complete[0].metrics.higher_is_better
        return compare(summary, self.status == "chance", paper, higher_is_better)

    @property
    def counted(self) -> list[RunRecord]:
        """The runs that stand in the cell, finished or not."""
        return self.complete + self.partial + self.failed

    @property
    def records(self) -> list[RunRecord]:
        return self.counted + self.excluded

    @property
    def excluded_alike(self) -> list[Alike]:
        """The excluded runs: finished ones that are equal but for the seed together, others one by one."""
        groups: dict[tuple, Alike] = {}
        for record in self.excluded:
            reasons = self.reasons_excluded(record)
            alone = "" if record.status == "complete" else record.run_id
            groups.setdefault((*reasons, alone), Alike([], reasons)).records.append(record)
        return list(groups.values())

    def reasons_excluded(self, record: RunRecord) -> list[str]:
        """Why a record of this cell may not stand in it; empty if it may."""
        return reasons_excluded(record, self.spec.column.protocol, self.spec.column.data)


@dataclass
class AverageCell:
    """The mean over the cells of a policy: None unless all of them are complete."""

    policy: Average
    mean: float | None
    n: tuple[int, int] | None  # fewest and most seeds behind its cells
    reported: Decimal | None


@dataclass
class Table:
    study: Study
    cells: dict[tuple[str, str], Cell]  # by row key and column key
    averages: dict[tuple[str, str], AverageCell]  # by row key and policy key, where the row fills its columns
    notes: list[str]  # records of its cells that were superseded

    def cell(self, row: Row, column: Column) -> Cell | None:
        return self.cells.get((row.key, column.key))

    @property
    def measured(self) -> list[Cell]:
        """The cells that runs can fill."""
        return [c for c in self.cells.values() if c.status != "reported only"]

    @property
    def records(self) -> list[RunRecord]:
        return [r for c in self.cells.values() for r in c.records]

    def find(self, where: str) -> Cell:
        """The cell `ROW:COLUMN`; raises UserError with the near matches."""
        row, _, column = where.partition(":")
        choose(f"The row of {where!r}", row, [r.key for r in self.study.rows])
        choose(f"The column of {where!r}", column, [c.key for c in self.study.columns])
        if (row, column) not in self.cells:
            raise UserError(f"Study {self.study.name} has no cell {where}: its row {row} leaves that column out")
        return self.cells[row, column]


def reasons_excluded(record: RunRecord, protocol: str, data: tuple[Variant, ...] = PAPER_DATA) -> list[str]:
    """Why a record may not stand in a cell with this protocol and data; empty if it may."""
    reasons = []
    if record.data.variant not in data:
        reasons.append(f"{record.data.variant} data")
    if record.budget.kind != "paper":
        reasons += [f"{record.budget.kind} budget", *record.budget.reasons]
    else:
        for name, split in record.data.splits.items():
            if split.used != split.expected:
                reasons.append(f"{name}: {split.used} of {split.expected} samples")
        if record.status == "complete" and record.budget.fraction < 1:
            reasons.append(f"{100 * record.budget.fraction:.3g} % of the recipe's training samples")
    if record.data.protocol != protocol:
        reasons.append(f"validation is {record.data.protocol}, the paper's is {protocol}")
    return reasons + drift(record)


def belongs(record: RunRecord, spec: CellSpec) -> bool:
    return record.identity.experiment == spec.experiment and record.identity.changes == spec.changes


def build(study: Study, records: Iterable[RunRecord]) -> Table:
    """Sort records into the study's cells. Records of other studies are passed over."""
    records = list(records)
    cells, notes = {}, []
    for spec in study.cells():
        cell = Cell(spec, reported_cell(study, spec))
        current, superseded = newest([r for r in records if belongs(r, spec)])
        for record in current:
            place(cell, record)
        notes += superseded
        cells[spec.row.key, spec.column.key] = cell
    averages = {
        (row.key, policy.key): _average(study, row, policy, cells)
        for row in study.rows
        for policy in study.averages
        if row.only is None or set(policy.columns) <= set(row.only)
    }
    return Table(study, cells, averages, notes)


def newest(records: list[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Of equal seed, budget, data and configuration one, sorted by seed; and a sentence for each other.

    It is the newest that has ended, as a result or a failure; where none has, the newest.
    """
    kept: dict[tuple, RunRecord] = {}
    notes = []
    ended = ("complete", "failed")
    for record in sorted(records, key=lambda r: (r.status in ended, r.created_utc, r.run_id), reverse=True):
        budget, data = record.budget, record.data
        seed = record.identity.seed
        key = (seed, budget.kind, tuple(budget.reasons), data.variant, data.protocol, tuple(drift(record)))
        if key in kept:
            notes.append(
                f"{record.identity.experiment} seed {record.identity.seed}: run {record.run_id} ({record.status}) is "
                f"left out, superseded by {kept[key].run_id} ({kept[key].status})"
            )
        else:
            kept[key] = record
    return sorted(kept.values(), key=lambda r: (r.identity.seed, r.budget.kind, r.run_id)), sorted(notes)


def place(cell: Cell, record: RunRecord) -> None:
    """Put a record where its status and its reasons to exclude it say."""
    if cell.reasons_excluded(record):
        cell.excluded.append(record)
    elif record.status == "complete":
        cell.complete.append(record)
    elif record.status == "failed":
        cell.failed.append(record)
    else:
        cell.partial.append(record)


def _average(study: Study, row: Row, policy: Average, cells: dict) -> AverageCell:
    chosen = [cells[row.key, key] for key in policy.columns]
    mean, n = None, None
    if all(c.averageable for c in chosen):
        mean = statistics.fmean(_counted(c, policy) for c in chosen)
        sizes = [c.summary.n for c in chosen]
        n = min(sizes), max(sizes)
    return AverageCell(policy, mean, n, reported_average(study, row, policy))


def _counted(cell: Cell, policy: Average) -> float:
    if cell.status == "chance" and policy.chance_counts is not None:
        return policy.chance_counts
    return summarize(cell.complete).mean
