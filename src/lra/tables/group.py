"""Any records as a table, grouped by the values of config keys: what a sweep leaves, without a study."""

from __future__ import annotations

import math
from fnmatch import fnmatch
from typing import Any, NamedTuple

from lra.composition import flat
from lra.errors import UserError, near
from lra.records.schema import RunRecord
from lra.studies.schema import CellSpec, Column, Row
from lra.tables import text
from lra.tables.layout import Document, Grid
from lra.tables.render import CSV_MEASURED, csv_rows
from lra.tables.result import Result, of_cell
from lra.tables.select import Cell, newest, place
from lra.tables.text import Entry
from lra.terminal import counted


class Group(NamedTuple):
    """Records of one recipe with the same values, the same other changes and the same protocol."""

    experiment: str
    values: dict[str, str]  # of the keys
    also: str  # other changes, as `key=value, …`
    results: list[Result]  # of the runs that count, and of excluded ones that are equal but for the seed


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
    for one in sorted(found, key=lambda key: list(map(_order, key))):
        cell, superseded = _cell(found[one])
        notes += superseded
        name, _, also, *values = one
        measured = [result for result in of_cell(cell) if result.records]
        groups.append(Group(name, dict(zip(keys, values, strict=True)), also, measured))
    if len(chosen) < len(records):
        notes.append(f"left out: {counted(len(records) - len(chosen), 'record')} without {' and '.join(keys)}")
    return Groups(keys, groups, notes, len(chosen))


def document(found: Groups, compact: bool = False) -> Document:
    """One line for each group and one for its excluded runs that are equal but for the seed.

    What holds for all of them, the recipe and the reasons why they are excluded, is said once above the lines;
    `compact`, for a terminal, has a grid for each recipe and its other changes, under these and the values that all
    of its lines share as a title.
    """
    measured = [result for g in found.groups for result in g.results]
    shared = [r for r in measured[0].reasons if all(r in m.reasons for m in measured)] if measured else []
    experiments = list(dict.fromkeys(g.experiment for g in found.groups))
    several, also = len(experiments) > 1, any(g.also for g in found.groups)
    header = [("Records", str(found.n))]
    if not several:
        header += [("Experiment", name) for name in experiments]
    if shared:
        header.append(("Excluded", f"all of them: {'; '.join(shared)}"))
    names = [key.rpartition(".")[2] for key in found.keys]
    titles = names if len(set(names)) == len(names) else found.keys
    sections: dict[tuple[str, str], list[Group]] = {}
    for g in found.groups:
        above = (g.experiment if several else "", g.also) if compact else ("", "")
        sections.setdefault(above, []).append(g)
    grids = []
    for above, groups in sections.items():
        same = [key for key in found.keys if compact and groups[1:] and len({g.values[key] for g in groups}) == 1]
        title = ", ".join(filter(None, [*above, *(f"{key}={groups[0].values[key]}" for key in same)]))
        lines = []
        for g in groups:
            line = {"Experiment": g.experiment} if several and not compact else {}
            line |= {column: g.values[key] for key, column in zip(found.keys, titles, strict=True) if key not in same}
            line |= {"Also changed": g.also} if also and not compact else {}
            start = [Entry(word) for word in line.values()]
            lines += [[*start, result.ours, Entry(result.why(shared))] for result in g.results]
        grids.append(Grid([*line, "Ours", "Seeds"], lines, title))
    marks = text.shown_marks(e.text for grid in grids for line in grid.lines for e in line)
    title = f"Records by {', '.join(found.keys)}" if found.keys else "Runs"
    return Document(title, header, grids, marks + found.notes)


def csv_text(found: Groups) -> str:
    """The numbers unrounded, in columns of their own: one row for each line of the document."""
    rows = (
        r.numbers | {"experiment": g.experiment, **g.values, "also_changed": g.also}
        for g in found.groups
        for r in g.results
    )
    return csv_rows(["experiment", *found.keys, "also_changed", *CSV_MEASURED], rows)


def _key(record: RunRecord, config: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    others = (change for change in record.identity.changed if change.partition("=")[0] not in keys)
    also = ", ".join(sorted(others))
    values = (str(config[key]) for key in keys)
    return record.identity.experiment, record.data.protocol, also, *values


def _order(word: str) -> tuple[float, str]:
    """Numbers by their value, before words."""
    try:
        return float(word), ""
    except ValueError:
        return math.inf, word


def _cell(records: list[RunRecord]) -> tuple[Cell, list[str]]:
    first = records[0]
    name = first.identity.experiment
    row = Row(key=name, title=name, family="", experiment=name)
    column = Column(key=name, title=name, metric=first.metrics.name, protocol=first.data.protocol)
    cell = Cell(CellSpec(row, column, name, {}, []), reported=None)
    kept, superseded = newest(records)
    for record in kept:
        place(cell, record)
    return cell, superseded
