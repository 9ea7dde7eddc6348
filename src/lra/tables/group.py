"""Any records as a table, grouped by the values of config keys: what a sweep leaves, without a study."""

from __future__ import annotations

from typing import Any

from lra.errors import UserError, near
from lra.records.schema import RunRecord
from lra.studies.schema import Column, Planned, Row
from lra.tables import text
from lra.tables.layout import Document, Entry, Grid
from lra.tables.select import Cell, newest, place, reasons_apart

_MISSING = object()


def group(records: list[RunRecord], keys: list[str]) -> Document:
    """One line for each combination of values; other changes, recipes and cut runs have their own lines.

    Records without all of the keys are left out, and counted. Raises UserError for a key that no record has.
    """
    for key in keys:
        if all(lookup(r.config, key) is _MISSING for r in records):
            known = sorted({k for r in records for k in _dotted(r.config)})
            raise UserError(
                f"No record has the config key {key!r}.{near(key, known)} "
                f"{len(records)} records were read; keys look like kernel.init."
            )
    chosen = [r for r in records if all(lookup(r.config, k) is not _MISSING for k in keys)]
    groups: dict[tuple, list[RunRecord]] = {}
    for record in chosen:
        groups.setdefault(_key(record, keys), []).append(record)
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


def _key(record: RunRecord, keys: list[str]) -> tuple[str, ...]:
    others = {k: v for k, v in record.identity.changes.items() if k not in keys}
    also = ", ".join(f"{k}={v}" for k, v in sorted(others.items()))
    values = (str(lookup(record.config, key)) for key in keys)
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


def lookup(config: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, or a sentinel that is no value."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _dotted(config: dict[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in config.items():
        keys += _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return keys
