"""How one cell looks. Each status has its own look, so that none can pass for another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from lra.records.schema import RunRecord, Score
from lra.studies.schema import PAPER_DATA
from lra.tables.reported import Reported
from lra.tables.select import AverageCell, Cell
from lra.tables.statistics import Comparison, at_chance, scale, summarize

Style = Literal["", "bold", "italic", "good", "bad"]


class Entry(NamedTuple):
    """Words as a format sets them."""

    text: str
    style: Style = ""


BLANK = Entry("")
NOT_RUN = "·"
NO_AVERAGE = "—"

LEGEND = {
    NOT_RUN: "· not run",
    "…": "… stopped or still running: best validation value so far, share of the planned steps; no test yet",
    "✗": "✗ not above chance, or failed with its reason and step",
    "†": "† second-hand: read in the secondary source named below, not in the paper itself",
    "?": "? unverified: no source for this number could be opened",
    "‡": "‡ ours has settings that are published nowhere: its recipe says which",
    "▽": "▽ reduced budget: share of the recipe's training samples",
    "◇": "◇ not the paper's data",
    NO_AVERAGE: "— no average: not all of its cells are complete",
    "!!": "!! better by more than 1.5 times the noise: look for a leak before believing it",
}


VERDICT = (
    "match: |Δ| is within the noise; 95 % of equal models differ by less. It comes from the spreads over seeds (from "
    "test sampling where no spread is known) and, on other test samples than the paper's, from test sampling twice"
)


def shown_marks(texts: Iterable[str]) -> list[str]:
    """The legend of the marks that occur."""
    shown = " ".join(texts)
    return [words for mark, words in LEGEND.items() if mark in shown]


def number(value: float, metric: str) -> str:
    return f"{value:.1f}" if metric == "accuracy" else f"{value:.3f}"


def score(test: Score, metric: str) -> str:
    """A test without marks: `35.4  (standard error 1.1, 2,000 test samples)`."""
    return f"{number(test.value * scale(metric), metric)}  {sampled(test, metric)}"


def sampled(test: Score, metric: str) -> str:
    """How sure a test is: `(standard error 1.1, 2,000 test samples)`."""
    error = test.standard_error
    noise = f"standard error {number(error * scale(metric), metric)}, " if error else ""
    return f"({noise}{test.n:,} test samples)"


def ours(cell: Cell) -> str:
    """`88.2 ±0.3 (n=3)`, `88.2 (n=1)`, `50.1 ✗`, `71.4 …@37%`, `✗ nan@4k`, `·`, or nothing to be run."""
    match cell.status:
        case "reported only":
            return ""
        case "not run":
            return NOT_RUN
        case "partial":
            return partial(max(cell.partial, key=_progress))
        case "failed":
            more = f" ({len(cell.failed)} runs)" if len(cell.failed) > 1 else ""
            return failed(cell.failed[0]) + more
    s, metric = summarize(cell.complete), cell.complete[0].metrics.name
    mean = number(s.mean, metric)
    if cell.status == "chance":
        return f"{mean} ✗" + (f" (n={s.n})" if s.n > 1 else "")
    spread = f" ±{number(s.std, metric)}" if s.std is not None else ""
    if any(record.source and record.source.guessed for record in cell.complete):
        spread += " ‡"
    return f"{mean}{spread} ({'; '.join([f'n={s.n}', *_asides(cell, number(s.median, metric))])})"


def _asides(cell: Cell, median: str) -> list[str]:
    """What a mean must not hide: seeds that failed, are at chance or still run."""
    chance = sum(at_chance(r) for r in cell.complete)
    asides = [f"{chance} at chance ✗"] if chance else []
    if cell.failed:
        asides.append(f"{len(cell.failed)} failed ✗")
    if asides:
        asides.append(f"median {median}")
    if cell.partial:
        asides.append(f"{len(cell.partial)} …")
    return asides


def partial(record: RunRecord) -> str:
    best = record.metrics.best_val
    value = number(best.value * scale(record.metrics.name), record.metrics.name) + " " if best else ""
    return f"{value}…@{100 * _progress(record):.0f}%"


def failed(record: RunRecord) -> str:
    """`✗ nan@4k`: the record's `status_reason` up to a colon or its step, and the step."""
    reason = re.split(r":| at step", record.status_reason)[0].strip() or "failed"
    return f"✗ {reason}@{_short(record.budget.done_steps)}"


def excluded(*records: RunRecord) -> str:
    """An excluded run: `71.4 ▽12%`, `71.4 ◇standin`, or how far it came; of equal runs `71.4 ±0.3 (n=2) ▽12%`."""
    record = records[0]
    if record.status == "complete":
        s, metric = summarize(list(records)), record.metrics.name
        text = number(s.mean, metric)
        if s.std is not None:
            text += f" ±{number(s.std, metric)} (n={s.n})"
        if all(map(at_chance, records)):
            text += " ✗"
    elif record.status == "failed":
        text = failed(record)
    else:
        text = partial(record)
    if record.budget.fraction < 1 or record.budget.kind != "paper":
        text += f" ▽{_percent(record.budget.fraction)}"
    if record.data.variant not in PAPER_DATA:
        text += f" ◇{record.data.variant}"
    return text


def paper(reported: Reported | None) -> str:
    if reported is None:
        return ""
    evidence = reported.origin.evidence
    assert evidence is not None  # a reported file is refused without it
    mark = {"read": "", "second_hand": " †", "unverified": " ?"}[evidence]
    return f"{reported.value}{mark}"


def difference(comparison: Comparison, metric: str) -> str:
    """`−0.4 match`; the word alone where the paper has no number."""
    sign = signed(comparison.delta, metric)
    return " ".join(p for p in (sign, comparison.verdict + ("!" if comparison.suspicious else "")) if p)


def signed(delta: float | None, metric: str) -> str:
    if delta is None:
        return ""
    text = number(abs(delta), metric)
    if float(text) == 0:
        return text
    return ("+" if delta > 0 else "−") + text


def average(cell: AverageCell) -> str:
    if cell.mean is None or cell.n is None:
        return NO_AVERAGE
    low, high = cell.n
    return f"{cell.mean:.1f} (n={low if low == high else f'{low}–{high}'})"


def _progress(record: RunRecord) -> float:
    return record.budget.done_steps / record.budget.planned_steps if record.budget.planned_steps else 0.0


def _percent(fraction: float) -> str:
    percent = 100 * fraction
    return f"{percent:.0f}%" if percent >= 1 else f"{percent:.1g}%"


def _short(steps: int) -> str:
    return f"{steps / 1000:.0f}k" if steps >= 1000 else str(steps)
