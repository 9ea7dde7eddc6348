"""Any records as a table, grouped by the values of config keys: what a sweep leaves, without a study."""

from __future__ import annotations

from typing import Any

from lra.config import flat
from lra.errors import UserError, near
from lra.records.schema import RunRecord
from lra.studies.schema import Column, Planned, Row
from lra.tables import text
from lra.tables.layout import Document, Entry, Grid
from lra.tables.select import Cell, newest, place, reasons_apart


def group(records: list[RunRecord], keys: list[str]) -> Document:
    """One line for each combination of values; other changes, recipes and cut runs have their own lines.

    Records without all of the keys are left out, and counted. Raises UserError for a key that no record has.
    """
    configs = {r.run_id: flat(r.config) for r in records}
    known = {key for config in configs.values() for key in config}
    for key in keys:
        if key not in known:
            raise UserError(
                f"No record has the config key {key!r}.{near(key, sorted(known))} "
                f"{len(records)} records were read; keys look like kernel.init."
            )
    chosen = [r for r in records if configs[r.run_id].keys() >= set(keys)]
    groups: dict[tuple, list[RunRecord]] = {}
    for record in chosen:
        groups.setdefault(_key(record, configs[record.run_id], keys), []).append(record)
    also_changed = any(also for _, _, also, *_ in groups)
    names = [key.rpartition(".")[2] for key in keys]
    titles = names if len(set(names)) == len(names) else keys
    grid = Grid(["Experiment", *titles, *["Also changed"] * also_changed, "Ours", "Seeds"], [])
    notes = []
    for key in sorted(groups, key=str):
        cell, superseded = _cell(groups[key])
        notes += superseded
        experiment, _, also, *values = key
        start = [Entry(t) for t in (experiment, *values, *[also] * also_changed)]
        counted = cell.complete + cell.partial + cell.failed
        if counted:
            seeds = ", ".join(str(r.identity.seed) for r in counted)
            grid.lines.append([*start, Entry(text.ours(cell)), Entry(seeds)])
        for r in cell.apart:
            why = "; ".join([str(r.identity.seed), *reasons_apart(r, r.data.protocol)])
            grid.lines.append([*start, Entry(text.apart(r), "italic"), Entry(why)])
    shown = text.shown_marks(e.text for line in grid.lines for e in line)
    if len(chosen) < len(records):
        notes.append(f"{len(records) - len(chosen)} records without {' and '.join(keys)} are left out")
    title = f"Records by {', '.join(keys)}"
    return Document(title, [("Records", str(len(chosen)))], [grid], shown + notes)


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
