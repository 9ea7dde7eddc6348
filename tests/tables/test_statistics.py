import dataclasses
import math

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


def test_verdict_uses_both_spreads_and_the_sampling_error():
    ours = summary(0.880, 0.884, 0.888, n_test=10000)  # mean 88.4, std 0.4, SE 0.32
    limit = 2 * math.sqrt(0.4**2 / 3 + 0.3**2 + ours.sampling_error**2)
    for difference, words in [(0.99, "match"), (1.01, "below"), (-0.99, "match"), (-1.01, "above!")]:
        mean = round(ours.mean + difference * limit, 4)
        assert verdict(ours, {"mean": mean, "std": 0.3}) == words


def test_the_papers_number_of_seeds_narrows_its_spread():
    ours = summary(0.870, 0.874, 0.872, n_test=10000)
    assert verdict(ours, {"mean": 89.0, "std": 1.0}) == "match"
    assert verdict(ours, {"mean": 89.0, "std": 1.0, "n": 10}) == "below"


def test_sampling_error_stands_in_for_missing_spreads():
    ours = summary(0.6)  # SE 1.095: noise 2·sqrt(3)·1.095 = 3.79
    result = compare(ours, False, Value.model_validate("63.5"), True)
    assert result.noise == pytest.approx(2 * math.sqrt(3) * ours.sampling_error)
    assert result.verdict == "match"
    assert verdict(ours, "64.0") == "below"


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
