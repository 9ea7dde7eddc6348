"""The last words of a run: its number beside the paper's, and the table it belongs to."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from lra.composition import experiments, override
from lra.errors import UserError
from lra.paths import in_checkout, short
from lra.records import store
from lra.records.schema import RunRecord
from lra.studies.schema import PAPER_DATA, CellSpec, Column, Study, load_studies
from lra.tables import text
from lra.tables.layout import family_grid
from lra.tables.render import terminal_grid
from lra.tables.reported import Reported, reported_cell
from lra.tables.select import belongs, build, reasons_excluded
from lra.tables.statistics import Comparison, at_chance, compare, scale, summarize
from lra.terminal import framed

NOT_AGAIN = ("seed=", "budget", "force=", "plan=")  # what the next command of a run does not take from its own


def comparison(record: RunRecord, results_dir: Path) -> RenderableType:
    """What a run ends with: its model family on its task, then its own result card.

    A record that fits no study's cell is compared with the majority class only.
    """
    studies, problems = load_studies()
    home = find(record, studies, problems)
    place = store.path(record, results_dir)
    if home is None:
        return Group(*_left_out(problems), result_card(record, place, None))
    study, spec = home
    records, unreadable = store.load_all(results_dir)
    problems += unreadable
    family = [row for row in study.rows if row.family == spec.row.family]
    try:
        table = build(study.model_copy(update={"rows": family}), records)
    except UserError as error:
        return Group(*_left_out([*problems, str(error)]), result_card(record, place, None))
    cell = table.cells[spec.row.key, spec.column.key]
    return Group(
        *_left_out(problems),
        terminal_grid(family_grid(table, spec.column)),
        result_card(record, place, cell.reported, spec.column, study.name),
    )


def find(record: RunRecord, studies: list[Study], problems: list[str]) -> tuple[Study, CellSpec] | None:
    """The cell a record belongs to; of several studies, the largest that has a paper's number for it.

    `problems` hears of files of reported numbers that cannot be read.
    """
    by_size = sorted(studies, key=lambda study: -len(study.rows))
    homes = [(study, p) for study in by_size for p in study.cells() if belongs(record, p)]
    for home in homes:
        try:
            if reported_cell(*home):
                return home
        except UserError as error:
            problems.append(str(error))
    return homes[0] if homes else None


def _left_out(problems: list[str]) -> list[Text]:
    return [Text(f"left out: {problem}", style="yellow") for problem in dict.fromkeys(problems)]


def result_card(
    record: RunRecord,
    place: Path,
    reported: Reported | None,
    column: Column | None = None,
    study: str | None = None,
) -> RenderableType:
    """Ours, the majority class, the paper's number, the difference and what it means; for one run, finished or not.

    `place` is the record's file; `study` and `column` have the cell of this run, if there is one.
    """
    rows = [*_lines(record, reported, column), ("record", short(place)), ("next", _next(record, study))]
    identity = record.identity
    known = identity.experiment in experiments()
    changes = identity.changed if known else _typed(record)
    name = " ".join(p for p in (identity.experiment, ", ".join(changes)) if p)
    title = Text(f"{name}, seed {identity.seed}", overflow="ellipsis")
    return framed(title, rows)


def _lines(record: RunRecord, reported: Reported | None, column: Column | None) -> list[tuple[str, str]]:
    metric, test, majority = record.metrics.name, record.metrics.test, record.metrics.chance
    protocol, data = (column.protocol, column.data) if column else (record.data.protocol, PAPER_DATA)
    why = reasons_excluded(record, protocol, data)
    lines = [("ours", _our_words(record))]
    if majority is not None:
        lines.append(("majority class", text.number(majority * scale(metric), metric)))
    if record.status == "complete" and at_chance(record):
        lines.append(("", "ours is no more than 2 standard errors above it"))
    lines.append(("paper", text.paper(reported) if reported else "no number for this run"))
    if reported and test:
        result = compare(summarize([record]), at_chance(record), reported.value, record.metrics.higher_is_better)
        if result.delta is not None:
            unit = " points" if metric == "accuracy" else ""
            lines.append(("difference", f"{text.signed(result.delta, metric)}{unit}"))
        lines.append(("verdict", _verdict(result, why, metric)))
    if why:
        label = "reduced" if record.budget.kind != "paper" else "excluded"
        lines.append((label, ", ".join(reason.replace(" of ", "/", 1) for reason in why)))
    return lines


def _next(record: RunRecord, study: str | None) -> str:
    """What to do after this run."""
    tables, train = "lra tables", "lra train"
    if in_checkout():
        tables, train = "python scripts/make_tables.py", "python train.py"
    command = f"{train} {shlex.join(_typed(record))}".rstrip()
    if record.status != "complete":
        return "the same command resumes from the last checkpoint"
    if record.budget.kind != "paper":
        return f"{command} plan=true  (time and memory of the whole recipe)"
    return f"{tables} {study}" if study else f"{command} seed={record.identity.seed + 1}"


def _typed(record: RunRecord) -> list[str]:
    """The options of the command that made this run, but for seed and budget; those that are equal to it otherwise."""
    identity = record.identity
    made = [f"experiment={identity.experiment}", *(override(k, v) for k, v in identity.changes.items())]
    return [text for text in identity.overrides or made if not text.startswith(NOT_AGAIN)]


def _our_words(record: RunRecord) -> str:
    test, metric = record.metrics.test, record.metrics.name
    if test is None:
        return text.excluded(record) + (f" ({record.status_reason})" if record.status_reason else "")
    return f"{text.excluded(record)}  {text.sampled(test, metric)}"


def _verdict(result: Comparison, why: list[str], metric: str) -> str:
    if why:
        return f"not comparable with the paper ({'reduced' if why[0].endswith('budget') else 'excluded'} run)"
    if not result.verdict:
        return "none: the error of test sampling is not known"
    words = result.verdict
    if result.noise is not None:
        words += f" (noise: {text.number(result.noise, metric)})"
    if result.suspicious:
        words += "; 1.5 times that and more: look for a leak before believing it"
    return words
