"""The numbers the papers report, as printed, each with where it was read: `results/reported/<file>.yaml`.

A value is written `60.47`, `60.47 (0.34)` for mean and std, `✗` for a run at chance, or as a mapping when
more is known (`{mean: 91.95, n: 1}`). What is not known is left out. Where a value comes from is said once,
at the file, table or row that shares it, and may be overruled further in.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lra.errors import UserError, choose
from lra.files import by_name, until_edited
from lra.paths import reported_dirs
from lra.records.store import describe
from lra.studies.schema import Average, CellSpec, Row, Study
from lra.vocabulary import Metric

Evidence = Literal["read", "second_hand", "unverified"]
_PRINTED = re.compile(r"(?P<mean>\d+(\.\d+)?)( \((?P<std>\d+(\.\d+)?)\))?")


class Origin(BaseModel):
    """Where a number was read. Every level of a file may say it; the innermost that does wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paper: str | None = None
    arxiv: str | None = Field(default=None, pattern=r"^\d{4}\.\d{5}(v\d+)?$")
    table: str | None = None
    via: str | None = None  # the secondary source, when the paper itself was not read
    evidence: Evidence | None = None
    protocol: str | None = None
    note: str | None = None


class Value(Origin):
    """One printed number; `at_chance` where the paper prints ✗ or FAIL instead of one."""

    mean: Decimal | None = None
    std: Decimal | None = None
    n: int | None = Field(default=None, ge=1)
    at_chance: bool = False

    @model_validator(mode="before")
    @classmethod
    def _as_printed(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value == "✗":
            return {"at_chance": True}
        match = _PRINTED.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is neither a number, a 'mean (std)' nor ✗")
        return match.groupdict()

    @model_validator(mode="after")
    def _number_or_chance(self) -> Value:
        if self.at_chance == (self.mean is not None):
            raise ValueError("a value has either a mean or is at chance")
        if self.n == 1 and self.std is not None:
            raise ValueError("a single run has no std")
        return self

    def __str__(self) -> str:
        if self.at_chance:
            return "✗"
        return f"{self.mean} ±{self.std}" if self.std is not None else str(self.mean)


class ReportedRow(Origin):
    title: str
    parameters: str | None = None  # as printed, e.g. "306K"
    values: dict[str, Value]
    averages: dict[str, Decimal] = {}


class ReportedTable(Origin):
    title: str
    metric: Metric  # accuracy in percent
    columns: dict[str, str]
    rows: dict[str, ReportedRow]

    @model_validator(mode="after")
    def _columns_known(self) -> ReportedTable:
        for key, row in self.rows.items():
            unknown = set(row.values) - set(self.columns)
            if unknown:
                raise ValueError(f"row {key} has values in unknown columns: {', '.join(sorted(unknown))}")
        return self


class ReportedFile(Origin):
    tables: dict[str, ReportedTable]

    @model_validator(mode="after")
    def _sourced(self) -> ReportedFile:
        for table in self.tables.values():
            for name, row in table.rows.items():
                for column, value in row.values.items():
                    origin = _merge(self, table, row, value)
                    for needed in ("paper", "evidence", "protocol"):
                        if getattr(origin, needed) is None:
                            raise ValueError(f"{name}/{column} does not say its {needed}")
                    if (origin.evidence == "second_hand") != (origin.via is not None):
                        raise ValueError(f"{name}/{column}: `via` goes with second-hand values, and only with them")
        return self


class Reported(NamedTuple):
    """A value, its full origin, and the size of the model as the paper prints it."""

    value: Value
    origin: Origin
    parameters: str | None

    @property
    def source(self) -> str:
        """`S4D, arXiv 2206.11893, Table 5, via …; protocol; note` in one line."""
        o = self.origin
        where = [o.paper, o.arxiv and f"arXiv {o.arxiv}", o.table, o.via and f"via {o.via}"]
        flag = "unverified" if o.evidence == "unverified" else None
        return "; ".join(p for p in (", ".join(w for w in where if w), flag, o.protocol, o.note) if p)


class _Strings(yaml.BaseLoader):
    """Every scalar stays as written (60.10 is not 60.1), and a key given twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [k.value for k, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def load_reported(name: str) -> ReportedFile:
    """Read `<name>.yaml` of our folder or of those of others (`lra.paths.extensions`).

    Raises UserError for an unknown name or an invalid file.
    """
    files = by_name(reported_dirs())
    return _read(files[choose("The reported file", name, files)])


@until_edited
def _read(file: Path) -> ReportedFile:
    try:
        return ReportedFile.model_validate(yaml.load(file.read_text(encoding="utf-8"), _Strings))
    except ValidationError as error:
        raise UserError(f"{file}: {describe(error)}") from error
    except Exception as error:  # whatever the file holds, it is named and harms nothing else
        raise UserError(f"{file}: cannot be read: {error}") from error


def reported_cell(study: Study, spec: CellSpec) -> Reported | None:
    """The paper's number for a cell, or None where the paper gives none."""
    found = _row(study, spec.row)
    if found is None:
        return None
    file, table, row = found
    value, metric = row.values.get(spec.column.key), spec.column.metric
    if table.metric != metric:
        raise UserError(f"Study {study.name}: {spec.column.key} is {metric}, its table is {table.metric}")
    if value is None:
        return None
    return Reported(value, _merge(file, table, row, value), row.parameters)


def reported_average(study: Study, row: Row, average: Average) -> Decimal | None:
    """The average the paper prints under the same policy, or None."""
    found = _row(study, row)
    return found and found[2].averages.get(average.key)


def _row(study: Study, row: Row) -> tuple[ReportedFile, ReportedTable, ReportedRow] | None:
    where = row.reported or (study.reported and f"{study.reported}/{row.key}")
    if where is None:
        return None
    try:
        name, table_key, row_key = where.split("/")
    except ValueError:
        raise UserError(f"Study {study.name}: reported {where!r} is not of the form file/table/row") from None
    file = load_reported(name)
    table = file.tables[choose(f"The table in {name}.yaml", table_key, file.tables)]
    if row_key not in table.rows and row.reported is None:
        return None
    return file, table, table.rows[choose(f"The row in {name}/{table_key}", row_key, table.rows)]


def _merge(*levels: Origin) -> Origin:
    """Innermost last; its words win. Of what is outside a level with its own paper, the protocol stays."""
    said: dict[str, str] = {}
    for level in levels:
        if level.paper is not None:
            said = {k: v for k, v in said.items() if k == "protocol"}
        said |= {k: v for k in Origin.model_fields if (v := getattr(level, k)) is not None}
    return Origin.model_validate(said)
