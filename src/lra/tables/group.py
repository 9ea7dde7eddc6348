"""Any records as a table, grouped by the values of config keys: what a sweep leaves, without a study."""

from __future__ import annotations

import io
from fnmatch import fnmatch
from typing import Any, NamedTuple

from lra.composition import flat
from lra.errors import UserError, near
from lra.records.schema import RunRecord
from lra.studies.schema import Column, Planned, Row
from lra.tables import text
from lra.tables.layout import Document, Entry, Grid, seeds
from lra.tables.render import CSV_MEASURED, CsvWriter, csv_alike, csv_cell
from lra.tables.select import Alike, Cell, newest, place


class Group(NamedTuple):
    """Records of one recipe with the same values, the same other changes and the same protocol."""

    experiment: str
    values: dict[str, str]  # of the keys
    also: str  # other changes, as `key=value, …`
    cell: Cell


class Groups(NamedTuple):
    keys: list[str]
    groups: list[Group]
    notes: list[str]
    n: int  # records in them


def group(records: list[RunRecord], keys: list[str], experiment: str = "*") -> Groups:
    """The records by the values of `keys`; those without all of them are left out, and counted.

    `experiment` keeps the recipes whose name it matches, `*` for anything. Raises UserError for a key that no record
    has and for a pattern that matches no record.
    """
    names = {r.identity.experiment for r in records}
    records = [r for r in records if fnmatch(r.identity.experiment, experiment)]
    if not records:
        there = f" There are {', '.join(sorted(names))}." if names else ""
        raise UserError(f"No record is of an experiment {experiment!r}.{near(experiment, names)}{there}")
    configs = {r.run_id: flat(r.config) for r in records}
    known = {key for config in configs.values() for key in config}
    for key in keys:
        if key not in known:
            raise UserError(
                f"No record has the config key {key!r}.{near(key, sorted(known))} "
                f"{len(records)} records were read; keys look like kernel.init."
            )
    chosen = [r for r in records if configs[r.run_id].keys() >= set(keys)]
    found: dict[tuple, list[RunRecord]] = {}
    for record in chosen:
        found.setdefault(_key(record, configs[record.run_id], keys), []).append(record)
    groups, notes = [], []
    for one in sorted(found, key=str):
        cell, superseded = _cell(found[one])
        notes += superseded
        name, _, also, *values = one
        groups.append(Group(name, dict(zip(keys, values, strict=True)), also, cell))
    if len(chosen) < len(records):
        notes.append(f"{len(records) - len(chosen)} records without {' and '.join(keys)} are left out")
    return Groups(keys, groups, notes, len(chosen))


def document(found: Groups) -> Document:
    """One line for each group and one for its excluded runs that are equal but for the seed.

    What holds for all of them, the recipe and the reasons why they are excluded, is said once above the lines.
    """
    cells = [g.cell for g in found.groups]
    apart = [alike for cell in cells for alike in cell.excluded_alike]
    experiments = list(dict.fromkeys(g.experiment for g in found.groups))
    several, also = len(experiments) > 1, any(g.also for g in found.groups)
    shared = [] if any(cell.counted for cell in cells) else _shared(apart)
    header = [("Records", str(found.n))]
    if not several:
        header += [("Experiment", name) for name in experiments]
    if shared:
        header.append(("Excluded", f"all of them: {'; '.join(shared)}"))
    names = [key.rpartition(".")[2] for key in found.keys]
    titles = names if len(set(names)) == len(names) else found.keys
    grid = Grid([*["Experiment"] * several, *titles, *["Also changed"] * also, "Ours", "Seeds"], [])
    for g in found.groups:
        words = (*[g.experiment] * several, *g.values.values(), *[g.also] * also)
        start = [Entry(word) for word in words]
        if g.cell.counted:
            numbers = ", ".join(str(r.identity.seed) for r in g.cell.counted)
            grid.lines.append([*start, Entry(text.ours(g.cell)), Entry(numbers)])
        for alike in g.cell.excluded_alike:
            own = [reason for reason in alike.reasons if reason not in shared]
            why = "; ".join([seeds(alike), *own]) if own else alike.seeds
            grid.lines.append([*start, Entry(text.excluded(*alike.records), "italic"), Entry(why)])
    marks = text.shown_marks(e.text for line in grid.lines for e in line)
    return Document(f"Records by {', '.join(found.keys)}", header, [grid], marks + found.notes)


def _shared(apart: list[Alike]) -> list[str]:
    """The reasons that all excluded runs have."""
    first, *others = (alike.reasons for alike in apart)
    return [reason for reason in first if all(reason in reasons for reasons in others)]


def csv_text(found: Groups) -> str:
    """The numbers unrounded, in columns of their own: one row for each line of the document."""
    out = io.StringIO()
    fields = ["experiment", *found.keys, "also_changed", *CSV_MEASURED]
    writer = CsvWriter(out, fields, extrasaction="ignore")
    writer.writeheader()
    for g in found.groups:
        start = {"experiment": g.experiment, **g.values, "also_changed": g.also}
        if g.cell.counted:
            writer.writerow(start | csv_cell(g.cell))
        writer.writerows(start | csv_alike(alike) for alike in g.cell.excluded_alike)
    return out.getvalue()


def _key(record: RunRecord, config: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    others = {k: v for k, v in record.identity.changes.items() if k not in keys}
    also = ", ".join(f"{k}={v}" for k, v in sorted(others.items()))
    values = (str(config[key]) for key in keys)
    return record.identity.experiment, record.data.protocol, also, *values


def _cell(records: list[RunRecord]) -> tuple[Cell, list[str]]:
    first = records[0]
    name = first.identity.experiment
    row = Row(key=name, title=name, family="", experiment=name)
    column = Column(key=name, title=name, metric=first.metrics.name, protocol=first.data.protocol)
    cell = Cell(Planned(row, column, name, {}, []), reported=None)
    kept, superseded = newest(records)
    for record in kept:
        place(cell, record)
    return cell, superseded
