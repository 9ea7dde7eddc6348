"""What a study file says: the rows and columns of a table, and which run fills which cell.

A new study is a new file in `experiments/`; nothing else names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lra.bounds import Seed
from lra.composition import flat
from lra.errors import UserError, choose
from lra.files import by_name
from lra.paths import studies_dirs
from lra.records.store import describe
from lra.terminal import visible
from lra.vocabulary import Metric, Protocol, Variant

MOST_ROWS = 1000
PAPER_DATA: tuple[Variant, ...] = ("official", "regenerated")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _shown(cls, value: Any) -> Any:
        return visible(value) if isinstance(value, str) else value


def distinct(seeds: list[int]) -> list[int]:
    """The seeds. Raises ValueError if one of them is listed twice."""
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ValueError(f"seeds are listed twice: {', '.join(map(str, twice))}")
    return seeds


Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(distinct)]
Changes = Annotated[dict[str, Any], AfterValidator(flat)]  # by dotted keys, as a run's


class Column(Model):
    key: str
    title: str
    metric: Metric = "accuracy"
    experiment: str = ""  # fills {column} in the row's pattern; the key when empty
    protocol: Protocol = "held_out"  # how the paper chose its checkpoint; other records are excluded
    data: tuple[Variant, ...] = PAPER_DATA  # what counts; others for studies without a paper's numbers
    seeds: Seeds | None = None  # the study's when None
    changes: Changes = {}  # as a row's, for all rows
    evaluate: Changes = {}  # the trained run of the row, evaluated again with these changes


class Row(Model):
    key: str
    title: str
    family: str
    experiment: str | None = None  # pattern of a recipe's name, "lra/{column}-s4d"; None: reported only
    changes: Changes = {}  # exactly the config keys that differ from the recipe
    only: list[str] | None = None  # column keys, where the row does not fill every column
    reported: str | None = None  # "file/table/row"; the study's table and this row's key when None


class Axis(Model):
    """One config key of a grid and its values with their titles; `recipe` is the one that is no change."""

    key: str
    recipe: Any
    values: dict[str, Any]  # title: value

    @model_validator(mode="after")
    def _recipe_listed(self) -> Self:
        if self.recipe not in self.values.values():
            raise ValueError(f"the recipe's {self.key}={self.recipe!r} is not among the values")
        return self


class Grid(Model):
    """Rows for every combination of the axes' values, the last axis fastest."""

    family: str
    experiment: str
    axes: list[Axis] = Field(min_length=1)

    @model_validator(mode="after")
    def _not_endless(self) -> Self:
        if (size := prod(len(axis.values) for axis in self.axes)) > MOST_ROWS:
            raise ValueError(f"the grid has {size:,} rows; at most {MOST_ROWS:,} make a table")
        return self

    def rows(self) -> Iterator[dict[str, Any]]:
        for titles in product(*(axis.values for axis in self.axes)):
            chosen = [(axis, axis.values[title]) for axis, title in zip(self.axes, titles, strict=True)]
            title = ", ".join(titles)
            yield {
                "key": re.sub(r"[^a-z0-9]+", "-", title.lower()),
                "title": title,
                "family": self.family,
                "experiment": self.experiment,
                "changes": {axis.key: value for axis, value in chosen if value != axis.recipe},
            }


class Average(Model):
    """A named policy. It is a number only when every one of its cells is complete."""

    key: str
    title: str
    columns: list[str]
    chance_counts: float | None = None  # what a cell at chance counts, e.g. 50; None: its own value


class CellSpec(NamedTuple):
    """One cell and the runs that fill it. `experiment` is None where the paper's number stands alone."""

    row: Row
    column: Column
    experiment: str | None
    changes: dict[str, Any]  # the row's and the column's, and those of the column's evaluation
    seeds: list[int]


class Study(Model):
    name: str  # the file's stem
    title: str
    description: str
    source: str
    reported: str | None  # "file/table" in results/reported; None: the paper's numbers are not known
    protocol: str
    seeds: Seeds
    columns: list[Column] = Field(min_length=1)
    rows: list[Row] = Field(min_length=1)
    averages: list[Average] = []

    @model_validator(mode="before")
    @classmethod
    def _expand_grid(cls, content: Any) -> Any:
        """`grid` in a file stands for the rows it makes, after those that are spelled out."""
        if isinstance(content, dict) and "grid" in content:
            content = dict(content)
            content["rows"] = [*content.get("rows", []), *Grid.model_validate(content.pop("grid")).rows()]
        return content

    @model_validator(mode="after")
    def _keys(self) -> Self:
        columns = [c.key for c in self.columns]
        for what, keys in (
            ("column", columns + [a.key for a in self.averages]),
            ("row", [r.key for r in self.rows]),
        ):
            twice = {k for k in keys if keys.count(k) > 1}
            if twice:
                raise ValueError(f"{what} keys appear twice: {', '.join(sorted(twice))}")
        for where in [r.only or [] for r in self.rows] + [a.columns for a in self.averages]:
            unknown = set(where) - set(columns)
            if unknown:
                raise ValueError(f"unknown column keys: {', '.join(sorted(unknown))}")
        if self.reported and any(set(c.data) - set(PAPER_DATA) for c in self.columns):
            raise ValueError(f"beside a paper's numbers only {' and '.join(PAPER_DATA)} data counts")
        for row, column, *_ in self.cells():
            if twice := set(row.changes) & {*column.changes, *column.evaluate}:
                raise ValueError(f"row {row.key} and column {column.key} both change {', '.join(sorted(twice))}")
        runs = [(p.experiment, p.changes) for p in self.cells() if p.experiment]
        for experiment, changes in runs:
            if runs.count((experiment, changes)) > 1:
                raise ValueError(f"two cells have the same runs: {experiment} with changes {changes}")
        return self

    def cells(self) -> Iterator[CellSpec]:
        """Every cell of the table, row by row."""
        for row in self.rows:
            for column in self.columns:
                if row.only is None or column.key in row.only:
                    yield CellSpec(
                        row,
                        column,
                        row.experiment and row.experiment.replace("{column}", column.experiment or column.key),
                        row.changes | column.changes | column.evaluate,
                        self.seeds if column.seeds is None else column.seeds,
                    )


def study_names(studies_dir: Path | None = None) -> list[str]:
    """Names of the studies in a folder, or in all that belong to us or to others (`lra.paths.extensions`)."""
    return list(_files(studies_dir))


def _files(studies_dir: Path | None) -> dict[str, Path]:
    return by_name(studies_dirs() if studies_dir is None else [studies_dir])


def load_study(name: str, studies_dir: Path | None = None) -> Study:
    """Read `experiments/<name>.yaml`; raise UserError for an unknown name or a file that is not a study."""
    # Hydra's own reading of scalars, so that `changes` compare equal to a run's.
    from omegaconf import OmegaConf

    files = _files(studies_dir)
    file = files[choose("The study", name, files)]
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(file))
        return Study.model_validate({**content, "name": name})
    except ValidationError as error:
        raise UserError(f"{file}: not a valid study: {describe(error)}") from error
    except Exception as error:  # whatever the file holds, it is named and harms nothing else
        raise UserError(f"{file}: not a valid study: {error}") from error


def load_studies(studies_dir: Path | None = None) -> tuple[list[Study], list[str]]:
    """All good studies, and a sentence for each file left out."""
    studies, problems = [], []
    for name in study_names(studies_dir):
        try:
            studies.append(load_study(name, studies_dir))
        except UserError as error:
            problems.append(str(error))
    return studies, problems
