"""Records on disk: one JSON file a run, written whole or not at all, and read whole or not at all.

There is no index: the folder is the index, so two runs that finish at once touch different files.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lra import history
from lra.errors import UserError, near
from lra.files import listed, parse_json, write_text
from lra.records.schema import SCHEMA_VERSION, EvaluationRecord, RunRecord

Record = TypeVar("Record", bound=BaseModel)

CHECKSUM = "sha256"  # the file's own checksum, beside the record's fields: a hand edit does not go unseen


def path(record: RunRecord, results_dir: Path) -> Path:
    """Where the record belongs: `results_dir/runs/<experiment>/<run_id>.json`."""
    return Path(results_dir) / "runs" / record.identity.experiment / f"{record.run_id}.json"


def write(record: RunRecord, results_dir: Path) -> Path:
    """Write the record to its path and return it; raises UserError when that is not possible."""
    return _write(record, path(record, results_dir))


def evaluation_path(evaluation: EvaluationRecord, results_dir: Path) -> Path:
    """`results_dir/evaluations/<experiment>/<run_id>-<evaluation_id>.json`."""
    name = f"{evaluation.run_id}-{evaluation.evaluation_id}.json"
    return Path(results_dir) / "evaluations" / evaluation.experiment / name


def write_evaluation(evaluation: EvaluationRecord, results_dir: Path) -> Path:
    """Write the record of an evaluation to its path and return it; raises UserError as `write` does."""
    return _write(evaluation, evaluation_path(evaluation, results_dir))


def _write(record: BaseModel, target: Path) -> Path:
    record = type(record).model_validate(record.model_dump())  # fields may have been assigned one by one
    content = record.model_dump(mode="json")
    checked = {**content, CHECKSUM: _checksum(content)}
    write_text(target, json.dumps(checked, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return target


def load(file: Path) -> RunRecord:
    """Read one record; raise UserError naming the file and what is wrong with it.

    Options that are younger than the record get the value that says what the code did then.
    """
    record = _read(Path(file), RunRecord)
    record.config = history.completed(record.config)
    if record.run_id != Path(file).stem:
        raise UserError(f"{file}: holds run {record.run_id}; a record's file is named after its run")
    return record


def _read(file: Path, kind: type[Record]) -> Record:
    try:
        content = parse_json(file.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # also UnicodeDecodeError
        raise UserError(f"{file}: not valid JSON, truncated or no record at all ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds a {type(content).__name__}, not a record")
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{file}: schema version {version!r}, but this code reads version {SCHEMA_VERSION}; "
            "read it with the code that wrote it, or run it again"
        )
    checksum = content.pop(CHECKSUM, None)
    try:
        record = kind.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: not a valid record: {describe(error)}") from error
    if checksum != _checksum(content):
        raise UserError(f"{file}: changed after it was written (its checksum does not match)")
    return record


def find(run: str, results_dir: Path) -> RunRecord:
    """The record that `run` names: its id or the beginning of it, or its path. Raises UserError for none or several."""
    if run.endswith(".json"):
        return load(Path(run))
    paths = listed(results_dir / "runs", "**/*.json")
    found = [path for path in paths if path.stem.startswith(Path(run).name)]
    if len(found) == 1:
        return load(found[0])
    if found:
        raise UserError(f"{run!r} begins the names of several runs: {', '.join(path.stem for path in found)}.")
    raise UserError(
        f"There is no run {run!r} in {results_dir / 'runs'}.{near(run, [path.stem for path in paths])} "
        "Give its id, or the path of its record."
    )


def load_all(results_dir: Path) -> tuple[list[RunRecord], list[str]]:
    """All good records, sorted by path, and a sentence for each file left out."""
    results_dir = Path(results_dir)
    records, problems = [], []
    for file in listed(results_dir / "runs", "**/*.json"):
        try:
            record = load(file)
        except UserError as error:
            problems.append(str(error))
            continue
        home = path(record, results_dir)
        if home.exists() and home.samefile(file):
            records.append(record)
        elif home.exists():
            problems.append(f"{file}: a duplicate of {home}; remove one of them")
        else:
            problems.append(f"{file}: is in the wrong folder; it belongs at {home}")
    return records + _evaluated(results_dir, records, problems), problems


def _evaluated(results_dir: Path, records: list[RunRecord], problems: list[str]) -> list[RunRecord]:
    """The runs that were tested again with changes, as records of their own with that score.

    They fill the cells of columns such as "8 kHz": same training, `identity.changes` with those of the test.
    """
    runs = {record.run_id: record for record in records}
    again = []
    for file in listed(results_dir / "evaluations", "**/*.json"):
        try:
            evaluation = _read(file, EvaluationRecord)
        except UserError as error:
            problems.append(str(error))
            continue
        if (run := runs.get(evaluation.run_id)) is None:
            problems.append(f"{file}: evaluates run {evaluation.run_id}, which has no record")
        elif evaluation.checkpoint_sha256 != run.selection.checkpoint_sha256:
            problems.append(
                f"{file}: evaluates an earlier training of run {run.run_id}, not the one on record; remove it, or "
                "evaluate the run again once it is complete"
            )
        elif evaluation.changes:
            changes = {key: yaml.safe_load(value) for key, value in evaluation.changes.items()}
            copy = run.model_copy(deep=True, update={"run_id": evaluation.evaluation_id})
            copy.identity.changes = run.identity.changes | changes
            copy.metrics.test, copy.data.variant = evaluation.test, evaluation.variant
            again.append(copy)
    return again


def describe(error: ValidationError, most: int = 3) -> str:
    """The first few validation errors in one line: `metrics.test.value: Input should be …`."""
    lines = [": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors()]
    more = f"; and {len(lines) - most} more" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more


def _finite(number: str) -> float:
    """The number; NaN, Infinity and what is as large as that are refused."""
    if not math.isfinite(float(number)):
        raise ValueError(f"{number} is not a finite number")
    return float(number)


def _checksum(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
