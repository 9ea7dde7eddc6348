"""From a study's cells to the commands that fill them, and where each of them stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lra.composition import compose, flat, override
from lra.config import Config, is_data_place
from lra.config import changes as config_changes
from lra.errors import UserError, choose, near
from lra.recorded import comparable, recorded
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.schema import CellSpec, Study
from lra.vocabulary import Variant

OWN = ("experiment", "seed", "force", "plan")  # what a study says itself of its runs, besides the changes of a cell


@dataclass(frozen=True)
class Job:
    """One run of a study: the cell it belongs to, its arguments for `lra train`, and its record's place."""

    cell: str  # "row:column"
    experiment: str
    changes: Mapping[str, Any]  # of the recipe
    seed: int
    arguments: tuple[str, ...]
    run_id: str
    record_path: Path
    run_dir: Path
    note: str = ""  # of a run that would be this one, but for the place of its data

    @property
    def column(self) -> str:
        return self.cell.partition(":")[2]

    @property
    def name(self) -> str:
        return f"{self.cell} seed {self.seed}"

    def record(self) -> RunRecord | None:
        """What has been recorded so far. Raises UserError for a record that cannot be read."""
        return store.load(self.record_path) if self.record_path.exists() else None


def jobs(
    study: Study, *, only: str | None = None, seeds: Sequence[int] | None = None, extra: Sequence[str] = ()
) -> list[Job]:
    """Every run of a study, cell by cell and seed by seed.

    `only` keeps the cells whose `row:column` it matches (a shell pattern such as `s4d-*:listops`, or just a
    row or a column); `extra` are overrides for all runs, such as `budget=demo`. Columns that evaluate a
    trained run again have no run of their own. Raises UserError if nothing is left, and for a cell whose changes are
    no options, not valid, or none.
    """
    made = []
    for spec in study.cells():
        cell = f"{spec.row.key}:{spec.column.key}"
        if spec.experiment is None or spec.column.evaluate or not _matches(cell, only):
            continue
        try:
            _check_extra(extra, (*OWN, *spec.changes))
            _check_changes(spec.experiment, spec.changes)
            for seed in spec.seeds if seeds is None else seeds:
                made.append(_job(cell, spec, spec.experiment, seed, tuple(extra)))
        except UserError as error:
            raise UserError(f"Study {study.name}, cell {cell}: {error}") from error
    if not made:
        keys = [r.key for r in study.rows] + [c.key for c in study.columns]
        choose("only", only, keys)
        raise UserError(f"Study {study.name} has no runs of its own for only={only}.")
    return made


def _matches(cell: str, only: str | None) -> bool:
    if only is None:
        return True
    pattern = re.escape(only).replace(r"\*", ".*")
    return any(re.fullmatch(pattern, part) for part in (cell, *cell.split(":")))


def _changed(experiment: str, extra: tuple[str, ...], changes: Mapping[str, Any]) -> Config:
    """A recipe with overrides and changes. Raises UserError for a change of what is no option."""
    tree = json.loads(_composed(experiment, extra))
    for key, value in changes.items():
        *groups, leaf = key.split(".")
        node = tree
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node:
            raise UserError(f"changes: {key}: {experiment} has no such option.{near(key, flat(tree))}")
        node[leaf] = value
    return Config.parse(tree)


def _check_extra(extra: Sequence[str], own: Sequence[str]) -> None:
    """Raise UserError for an override of what the study says: the run would be another than the cell's."""
    for text in extra:
        if text.lstrip("+~").partition("=")[0] in own:
            raise UserError(
                f"{text} is for the study to say. Leave it out: seeds are given as seeds=0,1, a study trains what is "
                "not complete, and `lra train` makes a run of its own."
            )


def _check_changes(experiment: str, changes: Mapping[str, Any]) -> None:
    """Raise UserError for a change that no record would list: its run would never fill the cell."""
    listed = config_changes(_changed(experiment, (), changes), experiment)
    for key, value in changes.items():
        if key not in listed or listed[key] != value or value == {}:  # Hydra adds {} to what is there
            raise UserError(
                f"changes: {override(key, value)} is no change of {experiment}: it is the recipe's own value, or no "
                "part of what is computed (as seeds, which stand under `seeds`, budgets and paths). Leave it out."
            )


def _job(cell: str, spec: CellSpec, experiment: str, seed: int, extra: tuple[str, ...]) -> Job:
    changes = spec.changes
    config = _changed(experiment, extra, changes | {"seed": seed})
    arguments = [
        f"experiment={experiment}",
        *(override(key, value) for key, value in changes.items()),
        f"seed={seed}",
    ]
    run_id, folder = config.run_id(), config.results_dir / "runs" / experiment
    path, note = folder / f"{run_id}.json", ""
    if not path.exists() and (found := _from_elsewhere(config, spec.column.data, folder)):
        if found.status == "complete":
            path = store.path(found, config.results_dir)
        else:
            note = _started_elsewhere(found, config)
    return Job(
        cell=cell,
        experiment=experiment,
        changes=changes,
        seed=seed,
        arguments=(*arguments, *extra),
        run_id=run_id,
        record_path=path,
        run_dir=config.output_dir / experiment / run_id,
        note=note,
    )


def _from_elsewhere(config: Config, variants: Sequence[Variant], folder: Path) -> RunRecord | None:
    """The record of the same run on data of these variants that were read from another place, the most done."""
    wanted, found = comparable(flat(config.identity()), config.budget.kind), []
    for path in sorted(folder.glob("*.json")):
        try:
            record = store.load(path)
        except UserError:
            continue
        if record.data.variant in variants and recorded(record) == wanted:
            found.append(record)
    return max(found, key=lambda r: (r.status == "complete", r.budget.done_steps), default=None)


def _started_elsewhere(record: RunRecord, config: Config) -> str:
    """That a run is not finished which differs in where its data lie alone, and how to go on with it."""
    then, now = flat(record.config), flat(config.identity())
    moved = (key for key in sorted(then | now) if is_data_place(key) and then.get(key) != now.get(key))
    places = " ".join(override(key, then.get(key)) for key in moved)
    return (
        f"run {record.run_id} is {record.status} at step {record.budget.done_steps:,} of "
        f"{record.budget.planned_steps:,} and differs only in {places}. With that, as it was written then, this "
        "command takes it up; without it the run begins anew."
    )


@cache
def _composed(experiment: str, extra: tuple[str, ...]) -> str:
    """A recipe as JSON text (so that callers cannot change the cached one)."""
    return json.dumps(compose([f"experiment={experiment}", *extra]))


def state(job: Job) -> str:
    """`complete`, `interrupted`, `failed`, `running` (or killed), `not run`, or `unreadable`."""
    try:
        record = job.record()
    except UserError:
        return "unreadable"
    return "not run" if record is None else record.status


def progress(job: Job) -> float:
    """Share of the planned steps that are done, 0 to 1."""
    try:
        record = job.record()
    except UserError:
        return 0.0
    if record is None:
        return 0.0
    return record.budget.done_steps / max(1, record.budget.planned_steps)


def seconds_left(given: Iterable[Job], busy: int = 1) -> float | None:
    """Estimated seconds of the unfinished runs, from the finished ones of the same recipe; None if unknown.

    `busy` runs are active at a time.
    """
    given = list(given)
    known: dict[str, list[float]] = {}
    for job in given:
        if state(job) == "complete" and (record := job.record()) is not None:
            known.setdefault(job.experiment, []).append(record.compute.wall_s)
    left = 0.0
    for job in given:
        if state(job) == "complete":
            continue
        times = known.get(job.experiment) or [t for ts in known.values() for t in ts]
        if not times:
            return None
        left += sum(times) / len(times) * (1 - progress(job))
    return left / busy
