"""Means, noise and verdicts. All values are in the table's unit: percentage points, or RMSE as it is."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from lra.records.schema import RunRecord
from lra.tables.reported import Value

PAPERS_SEEDS = 3  # behind a std without an n, as is usual
MANY = 1_000_000  # degrees of freedom of what is known, not estimated from a few seeds


@dataclass(frozen=True)
class Summary:
    """n runs of one cell. `std` is the sample standard deviation (ddof 1), None for a single run."""

    n: int
    mean: float
    std: float | None
    median: float
    # Standard error of test sampling; the seeds share the test set, so n does not shrink it.
    sampling_error: float | None
    papers_test_set: bool  # or one of our own, generated as the paper's was


@dataclass(frozen=True)
class Comparison:
    delta: float | None  # ours − paper
    noise: float | None  # of two equal models 95 % differ by less
    verdict: str  # "match", "below", "above!", "worse", "better!", or "" when nothing can be said
    suspicious: bool = False  # better than the paper by more than 1.5 times the noise


def scale(metric: str) -> float:
    """What a value is multiplied by where it is shown: accuracies are in percent."""
    return 100.0 if metric == "accuracy" else 1.0


def at_chance(record: RunRecord) -> bool:
    """Whether a finished run is not above chance: within two standard errors of the best constant answer."""
    test, chance = record.metrics.test, record.metrics.chance
    if test is None or chance is None:
        return False
    return test.value <= chance + 2 * math.sqrt(chance * (1 - chance) / test.n)


def summarize(records: list[RunRecord]) -> Summary:
    """Raises ValueError for no records and for a record without a test score."""
    scores = [(score, scale(r.metrics.name)) for r in records if (score := r.metrics.test) is not None]
    if not records or len(scores) < len(records):
        raise ValueError("only finished runs have a mean")
    values = [score.value * factor for score, factor in scores]
    errors = [score.standard_error * factor for score, factor in scores if score.standard_error is not None]
    return Summary(
        n=len(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        median=statistics.median(values),
        sampling_error=max(errors) if errors else None,
        papers_test_set=all(r.data.variant == "official" for r in records),
    )


def compare(ours: Summary, ours_at_chance: bool, paper: Value | None, higher_is_better: bool) -> Comparison:
    """Ours against the paper's: match when |Δ| is within the noise, 95 % of what equal models would differ by.

    The noise is that of two means over seeds. On two different test sets each has the error of test sampling, SE,
    besides; without SE nothing is said.
    """
    if paper is None:
        return Comparison(None, None, "")
    below, above = ("below", "above!") if higher_is_better else ("worse", "better!")
    if paper.mean is None:  # at chance
        return Comparison(None, None, "match" if ours_at_chance else above)
    delta = ours.mean - float(paper.mean)
    if ours.sampling_error is None:
        return Comparison(delta, None, "")
    noise = _noise(ours, paper, ours.sampling_error)
    gain = delta if higher_is_better else -delta
    verdict = "match" if abs(delta) <= noise else above if gain > 0 else below
    return Comparison(delta, noise, verdict, suspicious=gain > 1.5 * noise)


def _noise(ours: Summary, paper: Value, sampling_error: float) -> float:
    """Half the 95 % interval of a difference of two means, by Welch's t.

    Where one side tells no spread over seeds, that of the other stands in for it, or SE if that is larger. A paper
    that gives a std and no n is taken to have three seeds, one that gives neither a single run.
    """
    from scipy.special import stdtrit  # takes a while to load

    paper_n = paper.n or (1 if paper.std is None else PAPERS_SEEDS)
    known = {}  # (std, degrees of freedom)
    if ours.std is not None:
        known["ours"] = (ours.std, ours.n - 1)
    if paper.std is not None:
        known["paper"] = (float(paper.std), paper_n - 1)
    stand_in = max([*known.values(), (sampling_error, MANY)])
    variances: dict[tuple[float, int], float] = {}  # of the difference, by the estimate of a spread behind them
    for side, n in (("ours", ours.n), ("paper", paper_n)):
        spread = known.get(side, stand_in)
        variances[spread] = variances.get(spread, 0.0) + spread[0] ** 2 / n
    if not ours.papers_test_set:
        tested = (sampling_error, MANY)
        variances[tested] = variances.get(tested, 0.0) + 2 * sampling_error**2
    variance = sum(variances.values())
    spent = sum(part**2 / degrees for (_, degrees), part in variances.items())
    return float(stdtrit(variance**2 / spent, 0.975)) * math.sqrt(variance) if variance else 0.0
