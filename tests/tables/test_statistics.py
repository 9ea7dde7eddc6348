import dataclasses
import math

import numpy as np
import pytest
from factory import make_record

from lra.tables.reported import Value
from lra.tables.statistics import at_chance, compare, summarize


def summary(*values, **options):
    return summarize([make_record(value=v, seed=i, **options) for i, v in enumerate(values)])


def test_sample_standard_deviation_in_points():
    s = summary(0.60, 0.61, 0.62)
    assert (s.n, s.mean, s.std, s.median) == pytest.approx((3, 61.0, 1.0, 61.0))
    assert s.sampling_error == pytest.approx(100 * math.sqrt(0.6 * 0.4 / 2000), rel=0.01)


def test_a_single_run_has_no_spread():
    assert summary(0.6).std is None


def test_rmse_is_not_scaled():
    s = summary(0.332, 0.35, metric="rmse")
    assert s.mean == pytest.approx(0.341)
    assert s.sampling_error == pytest.approx(0.35 / math.sqrt(2 * 2000))


def test_nothing_has_no_mean():
    with pytest.raises(ValueError, match="only finished"):
        summarize([])


def test_an_unfinished_run_has_no_mean():
    with pytest.raises(ValueError, match="only finished"):
        summarize([make_record(value=None, status="running")])


@pytest.mark.parametrize(
    ("value", "chance", "n", "expected"),
    [
        (0.5, 0.5, 20000, True),
        (0.507, 0.5, 20000, True),  # 2 SE = 0.00707
        (0.508, 0.5, 20000, False),
        (0.45, 0.5, 20000, True),
        (0.6, None, 20000, False),
    ],
)
def test_at_chance(value, chance, n, expected):
    assert at_chance(make_record(value=value, chance=chance, n_test=n)) is expected


def verdict(ours, paper, higher=True, chance=False):
    return compare(ours, chance, Value.model_validate(paper), higher).verdict


def test_a_point_on_listops_is_noise():
    assert verdict(summary(0.594), "60.47 (0.34)") == "match"  # 2000 test samples


@pytest.mark.parametrize(
    ("ours", "paper", "expected"),
    [
        # Welch's t of (0.4, n = 3) and (0.3, 3 assumed): 3.7 degrees of freedom
        ((0.880, 0.884, 0.888), {"mean": 88.4, "std": 0.3}, 2.8667 * math.sqrt(0.16 / 3 + 0.09 / 3)),
        ((0.880, 0.884, 0.888), {"mean": 88.4, "std": 0.3, "n": 10}, 3.3802 * math.sqrt(0.16 / 3 + 0.09 / 10)),
        # one run: the paper's spread stands in for ours, 2 degrees of freedom
        ((0.884,), {"mean": 88.4, "std": 0.9}, 4.3027 * math.sqrt(0.81 + 0.81 / 3)),
        # a paper without one: ours stands in for it
        ((0.874, 0.884, 0.894), {"mean": 88.4}, 4.3027 * math.sqrt(1 / 3 + 1)),
    ],
)
def test_noise_on_the_papers_test_set_is_that_of_the_seeds(ours, paper, expected):
    result = compare(summary(*ours, n_test=10000), False, Value.model_validate(paper), True)
    assert result.noise == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("paper", [{"mean": 60}, {"mean": 60, "std": 0.07}])
def test_a_single_run_has_no_less_noise_than_test_sampling(paper):
    """0.07 of three seeds is less than two equal models differ by on 2,000 samples."""
    ours = summary(0.6)
    result = compare(ours, False, Value.model_validate(paper), True)
    assert result.noise == pytest.approx(1.96 * ours.sampling_error * math.sqrt(1 if "std" in paper else 2), rel=1e-2)


def test_two_test_sets_have_two_sampling_errors():
    """A regenerated ListOps is not the paper's: of equal models 14 % were called different with one of them."""
    paper = Value.model_validate("60.47 (0.34)")
    shared, own = (summary(0.594, 0.597, 0.600, variant=variant) for variant in ("official", "regenerated"))
    assert compare(own, False, paper, True).noise > 1.96 * math.sqrt(2) * own.sampling_error
    assert compare(shared, False, paper, True).noise < 1


@pytest.mark.parametrize("variant", ["official", "regenerated"])
@pytest.mark.parametrize(("n", "papers_n"), [(1, 3), (2, 3), (3, 3), (3, 1)])
def test_equal_models_are_rarely_called_different(variant, n, papers_n):
    """5 % of them, as promised; single runs, whose own spread nobody knows, up to twice as many."""
    random = np.random.default_rng(n)
    spread, sampling_error, wrong, trials = 0.5, 0.4, 0, 400
    for _ in range(trials):
        tested = random.normal(0, sampling_error, 2) if variant == "regenerated" else np.zeros(2)
        runs, papers = (88 + tested[i] + random.normal(0, spread, size) for i, size in enumerate((n, papers_n)))
        ours = dataclasses.replace(summary(*(runs / 100), variant=variant), sampling_error=sampling_error)
        std = {"std": round(float(papers.std(ddof=1)), 2)} if papers_n > 1 else {}
        paper = Value.model_validate({"mean": round(float(papers.mean()), 2), **std})
        wrong += compare(ours, False, paper, True).verdict != "match"
    assert wrong / trials < 0.1


def test_verdicts_begin_where_the_noise_ends():
    ours = summary(0.880, 0.884, 0.888, n_test=10000)
    noise = compare(ours, False, Value.model_validate({"mean": 88, "std": 0.3}), True).noise
    for difference, words in [(0.99, "match"), (1.01, "below"), (-0.99, "match"), (-1.01, "above!")]:
        assert verdict(ours, {"mean": round(ours.mean + difference * noise, 4), "std": 0.3}) == words


def test_rmse_is_better_when_lower():
    assert verdict(summary(0.9, metric="rmse"), "0.332 (0.013)", higher=False) == "worse"
    assert verdict(summary(0.1, metric="rmse"), "0.332 (0.013)", higher=False) == "better!"


def test_no_verdict_without_the_error_of_test_sampling():
    """Records of an RMSE that do not have it: the spread of seeds alone would call 0.007 suspicious."""
    ours = dataclasses.replace(summary(0.360, metric="rmse"), sampling_error=None)
    result = compare(ours, False, Value.model_validate("0.367 (0.001)"), False)
    assert (result.verdict, result.noise, result.suspicious) == ("", None, False)
    assert result.delta == pytest.approx(-0.007)


def test_a_single_rmse_within_the_error_of_test_sampling_matches():
    ours = summary(0.360, metric="rmse")  # of 2000 samples: a standard error of 0.0057
    assert compare(ours, False, Value.model_validate("0.367 (0.001)"), False).verdict == "match"
    result = compare(summary(0.30, metric="rmse"), False, Value.model_validate("0.367 (0.001)"), False)
    assert (result.verdict, result.suspicious) == ("better!", True)


def test_a_paper_at_chance_is_matched_only_at_chance():
    assert verdict(summary(0.5), "✗", chance=True) == "match"
    assert verdict(summary(0.96), "✗") == "above!"


def test_too_good_is_suspicious():
    assert compare(summary(0.99), False, Value.model_validate("60.47 (0.34)"), True).suspicious
    assert not compare(summary(0.61), False, Value.model_validate("60.47 (0.34)"), True).suspicious


def test_no_paper_no_verdict():
    assert compare(summary(0.6), False, None, True).verdict == ""
