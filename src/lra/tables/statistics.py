"""Means, noise and verdicts. All values are in the table's unit: percentage points, or RMSE as it is."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from lra.records.schema import RunRecord
from lra.tables.reported import Value


@dataclass(frozen=True)
class Summary:
    """n runs of one cell. `std` is the sample standard deviation (ddof 1), None for a single run."""

    n: int
    mean: float
    std: float | None
    median: float
    # Standard error of test sampling; the seeds share the test set, so n does not shrink it.
    sampling_error: float | None


@dataclass(frozen=True)
class Comparison:
    delta: float | None  # ours − paper
    noise: float | None  # two standard errors of delta
    verdict: str  # "match", "below", "above!", "worse", "better!", or "" when nothing can be said
    suspicious: bool = False  # better than the paper by more than three standard errors


def scale(record: RunRecord) -> float:
    return 100.0 if record.metrics.name == "accuracy" else 1.0


def at_chance(record: RunRecord) -> bool:
    """Whether a finished run is not above chance: within two standard errors of the best constant answer."""
    test, chance = record.metrics.test, record.metrics.chance
    if test is None or chance is None:
        return False
    return test.value <= chance + 2 * math.sqrt(chance * (1 - chance) / test.n)


def summarize(records: list[RunRecord]) -> Summary:
    """Raises ValueError for no records and for a record without a test score."""
    scores = [(score, scale(r)) for r in records if (score := r.metrics.test) is not None]
    if not records or len(scores) < len(records):
        raise ValueError("only finished runs have a mean")
    values = [score.value * unit for score, unit in scores]
    errors = [score.standard_error * unit for score, unit in scores if score.standard_error is not None]
    return Summary(
        n=len(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        median=statistics.median(values),
        sampling_error=max(errors) if errors else None,
    )


def compare(ours: Summary, ours_at_chance: bool, paper: Value | None, higher_is_better: bool) -> Comparison:
    """Ours against the paper's: match when |Δ| <= 2·sqrt(s_ours²/n + s_paper²/n_paper + SE²).

    SE is the error of test sampling; without it nothing is said. Where the paper gives no std, SE stands in for
    it; where it gives no n, n_paper is 1; where we have one run, the paper's spread (or SE) stands in for ours.
    """
    if paper is None:
        return Comparison(None, None, "")
    below, above = ("below", "above!") if higher_is_better else ("worse", "better!")
    if paper.mean is None:  # at chance
        return Comparison(None, None, "match" if ours_at_chance else above)
    delta = ours.mean - float(paper.mean)
    se = ours.sampling_error
    if se is None:
        return Comparison(delta, None, "")
    paper_std = se if paper.std is None else float(paper.std)
    paper_spread = se if paper.std is None else paper_std / math.sqrt(paper.n or 1)
    our_spread = paper_std if ours.std is None else ours.std / math.sqrt(ours.n)
    error = math.sqrt(our_spread**2 + paper_spread**2 + se**2)
    gain = delta if higher_is_better else -delta
    verdict = "match" if abs(delta) <= 2 * error else above if gain > 0 else below
    return Comparison(delta, 2 * error, verdict, suspicious=gain > 3 * error)
