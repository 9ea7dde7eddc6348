"""The last words of a run: its number beside the paper's, and the table it belongs to."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from lra.errors import UserError
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.schema import STUDIES_DIR, Planned, Study, load_studies
from lra.tables import text
from lra.tables.render import terminal
from lra.tables.reported import REPORTED_DIR, Reported, reported_cell
from lra.tables.select import belongs, build, reasons_apart
from lra.tables.statistics import Comparison, at_chance, compare, scale, summarize


def closing(
    record: RunRecord, results_dir: Path, studies_dir: Path = STUDIES_DIR, reported_dir: Path = REPORTED_DIR
) -> RenderableType:
    """The comparison of one run and the rows of its model family in its study's table.

    A record that fits no study's cell is compared with chance only.
    """
    studies, problems = load_studies(studies_dir)
    home = find(record, studies, reported_dir, problems)
    if home is None:
        nothing = Text("No study has a cell for this run.", style="dim")
        return Group(comparison(record, None), nothing, *_left_out(problems))
    study, planned = home
    records, unreadable = store.load_all(results_dir)
    problems += unreadable
    family = [row for row in study.rows if row.family == planned.row.family]
    try:
        table = build(study.model_copy(update={"rows": family}), records, reported_dir)
    except UserError as error:
        return Group(comparison(record, None), *_left_out([*problems, str(error)]))
    reported = table.cells[planned.row.key, planned.column.key].reported
    return Group(comparison(record, reported, planned.column.protocol), terminal(table), *_left_out(problems))


def find(
    record: RunRecord, studies: list[Study], reported_dir: Path, problems: list[str]
) -> tuple[Study, Planned] | None:
    """The cell a record belongs to; of several studies, the first that has a paper's number for it.

    `problems` hears of files of reported numbers that cannot be read.
    """
    homes = [(study, p) for study in studies for p in study.cells() if belongs(record, p)]
    for home in homes:
        try:
            if reported_cell(*home, reported_dir):
                return home
        except UserError as error:
            problems.append(str(error))
    return homes[0] if homes else None


def _left_out(problems: list[str]) -> list[Text]:
    return [Text(f"left out: {problem}", style="yellow") for problem in dict.fromkeys(problems)]


def comparison(record: RunRecord, reported: Reported | None, protocol: str | None = None) -> RenderableType:
    """Ours, chance, the paper's number, the difference and what it means; for one run, finished or not.

    `protocol` is how the paper chose its checkpoint; None when there is no paper to compare with.
    """
    grid = RichTable.grid(padding=(0, 2))
    for label, words in _lines(record, reported, protocol or record.data.protocol):
        grid.add_row(Text(label, style="dim"), Text(words))
    changes = ", ".join(f"{k}={v}" for k, v in record.identity.changes.items())
    name = " ".join(p for p in (record.identity.experiment, changes) if p)
    title = Text(f"{name}, seed {record.identity.seed}")  # a str would be read as markup
    return Panel(grid, title=title, title_align="left", expand=False)


def _lines(record: RunRecord, reported: Reported | None, protocol: str) -> list[tuple[str, str]]:
    metric, test, chance = record.metrics.name, record.metrics.test, record.metrics.chance
    factor = scale(record)
    why = reasons_apart(record, protocol)
    lines = [("ours", _our_words(record))]
    if chance is not None:
        words = f"{text.number(chance * factor, metric)} (the best constant answer on this test split)"
        lines.append(("chance", words))
    if record.status == "complete" and at_chance(record):
        lines.append(("", "not above chance: within 2 standard errors of it"))
    lines.append(("paper", text.paper(reported) if reported else "no number for this run"))
    if reported and test:
        result = compare(
            summarize([record]), at_chance(record), reported.value, record.metrics.higher_is_better
        )
        if result.delta is not None:
            unit = " points" if metric == "accuracy" else ""
            lines.append(("difference", f"{text.signed(result.delta, metric)}{unit}"))
        lines.append(("verdict", _verdict(result, why, metric)))
    lines += [("apart", reason) for reason in why]
    return lines


def _our_words(record: RunRecord) -> str:
    test, metric = record.metrics.test, record.metrics.name
    if test is None:
        return text.apart(record) + (f" ({record.status_reason})" if record.status_reason else "")
    noise = (
        f"standard error {text.number(test.standard_error * scale(record), metric)}, "
        if test.standard_error
        else ""
    )
    return f"{text.apart(record)}  ({noise}{test.n} test samples)"


def _verdict(result: Comparison, why: list[str], metric: str) -> str:
    if why:
        return "none: this run is not comparable with the paper's"
    if not result.verdict:
        return "none: the error of test sampling is not known"
    words = result.verdict
    if result.noise is not None:
        words += f" (two standard errors of the difference: {text.number(result.noise, metric)})"
    if result.suspicious:
        words += "; better by more than three: look for a leak before believing it"
    return words
