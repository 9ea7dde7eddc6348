"""One self-contained HTML file: every study with its table and figures, and a section for every record."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from lra.figures import kernels
from lra.figures.panels import svg
from lra.records.schema import RunRecord
from lra.tables import figures, run_figures, text
from lra.tables.explain import explain
from lra.tables.layout import document, printed_title
from lra.tables.result import by_place, columns, results
from lra.tables.select import Table
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
        kernels=svg(kernels.starting_kernels()),
    )


def _study(table: Table) -> dict[str, Any]:
    """What the template needs of one study; in its table each cell holds paper, ours and Δ."""
    study, doc = table.study, document(table)
    shown = by_place(results(table))
    rows = [
        {
            "title": printed_title(table, row),
            "results": [shown.get((row.key, column.key)) for column in columns(study)],
        }
        for row in study.rows
    ]
    return {
        "name": study.name,
        "title": study.title,
        "header": doc.header,
        "footer": doc.footer,
        "columns": [column.title for column in columns(study)],
        "explain": {where: explain(table, ":".join(where)) for where in table.cells},
        "rows": rows,
        "excluded": doc.grids[1:],
        "complete": sum(c.status in ("complete", "chance") for c in table.measured),
        "planned": len(table.measured),
        "runs": len(table.records),
        "curves": svg(figures.learning_curves(table)),
        "dots": svg(figures.dots(table)),
        "scatter": svg(figures.against_paper(table)),
    }


def _record(record: RunRecord) -> dict[str, Any]:
    changes = ", ".join(record.identity.changed)
    content = record.model_dump(mode="json", exclude={"metrics": {"curve"}})
    test = record.metrics.test
    return {
        "id": record.run_id,
        "name": " ".join(p for p in (record.identity.experiment, changes) if p),
        "seed": record.identity.seed,
        "status": record.status,
        "result": text.excluded(record),
        "order": test.value * scale(record.metrics.name) if test else None,
        "data": record.data.variant,
        "budget": record.budget.kind,
        "hours": f"{record.compute.wall_s / 3600:.2f}",
        "device": ", then ".join(record.hardware),
        "date": (record.finished_utc or record.created_utc)[:10],
        "curve": svg(run_figures.run_curve(record)),
        "json": json.dumps(content, indent=1, ensure_ascii=False),
    }
