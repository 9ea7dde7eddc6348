"""One self-contained HTML file: every study with its table and figures, and a section for every record."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from lra.figures import theory
from lra.figures.panels import svg
from lra.records.schema import RunRecord
from lra.tables import figures, run_figures, text
from lra.tables.explain import explain
from lra.tables.layout import best_cells, difference, document, printed_title
from lra.tables.select import AverageCell, Cell, Table
from lra.tables.statistics import scale


def report(tables: list[Table], records: list[RunRecord], problems: list[str]) -> str:
    """The whole report as text. It loads nothing from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lra.tables", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        studies=[_study(table) for table in tables],
        records=[_record(r) for r in records],
        problems=problems,
        compute=svg(run_figures.against_compute(records)),
        resources=svg(run_figures.resources(records)),
        kernels=svg(theory.starting_kernels()),
    )


def _study(table: Table) -> dict[str, Any]:
    """What the template needs of one study; in its table each cell holds paper, ours and Δ."""
    study = table.study
    doc, best = document(table), best_cells(table)
    rows = [
        {
            "title": printed_title(table, row),
            "cells": [_cell(table, table.cell(row, column), best) for column in study.columns],
            "averages": [
                _average(table.averages.get((row.key, a.key)), measured=row.experiment is not None)
                for a in study.averages
            ],
        }
        for row in study.rows
    ]
    return {
        "name": study.name,
        "title": study.title,
        "header": doc.header,
        "footer": doc.footer,
        "columns": [c.title for c in study.columns] + [a.title for a in study.averages],
        "rows": rows,
        "excluded": doc.grids[1:],
        "complete": sum(c.status in ("complete", "chance") for c in table.measured),
        "planned": len(table.measured),
        "runs": len(table.records),
        "curves": svg(figures.learning_curves(table)),
        "dots": svg(figures.dots(table)),
        "scatter": svg(figures.against_paper(table)),
    }


def _cell(table: Table, cell: Cell | None, best: list[Cell]) -> dict[str, Any] | None:
    if cell is None:
        return None
    paper = cell.reported.value.mean if cell.reported else None
    return {
        "paper": text.paper(cell.reported),
        "ours": text.ours(cell),
        "delta": difference(cell),
        "best": cell in best,
        "order": cell.summary.mean if cell.summary else paper,
        "explain": explain(table, f"{cell.planned.row.key}:{cell.planned.column.key}"),
        "runs": [r.run_id for r in cell.records],
    }


def _average(average: AverageCell | None, measured: bool) -> dict[str, Any]:
    value = average and (average.reported if average.mean is None else average.mean)
    return {
        "paper": text.paper_average(average),
        "ours": text.average(average) if measured else "",
        "order": value,
    }


def _record(record: RunRecord) -> dict[str, Any]:
    changes = ", ".join(f"{k}={v}" for k, v in record.identity.changes.items())
    content = record.model_dump(mode="json", exclude={"metrics": {"curve"}})
    test = record.metrics.test
    return {
        "id": record.run_id,
        "name": " ".join(p for p in (record.identity.experiment, changes) if p),
        "seed": record.identity.seed,
        "status": record.status,
        "result": text.excluded(record),
        "order": test.value * scale(record) if test else None,
        "data": record.data.variant,
        "budget": record.budget.kind,
        "hours": f"{record.compute.wall_s / 3600:.2f}",
        "device": ", then ".join(record.hardware),
        "date": (record.finished_utc or record.created_utc)[:10],
        "curve": svg(run_figures.run_curve(record)),
        "json": json.dumps(content, indent=1, ensure_ascii=False),
    }
