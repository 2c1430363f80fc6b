"""Student's t against scipy and by its calibration, Holm by hand, and what a single value never says."""

import numpy as np
import pytest

from gridless.scoring.statistics import estimate_mean, holm, t_quantile, two_sided_p

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 7, 30, 99, 500, 5000])
def test_the_distribution_is_scipys(degrees):
    for t in (0.0, 0.1, 1.0, 2.0, 4.3, 12.7, 60.0):
        assert two_sided_p(t, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-6, abs=1e-12)
        assert two_sided_p(-t, degrees) == two_sided_p(t, degrees)
    for probability in (0.5, 0.75, 0.95, 0.975, 0.9999):
        assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-6, abs=1e-9)


def test_an_interval_and_a_p_value_are_those_of_a_t_test():
    values = [0.4, 1.9, 1.1, 0.7, 1.3]
    found = estimate_mean(values)
    assert found.half_width == pytest.approx(2.7764 * np.std(values, ddof=1) / 5**0.5, rel=1e-4)
    assert found.p_value() == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
    assert found.p_value(1.0) == pytest.approx(stats.ttest_1samp(values, 1.0).pvalue)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_one_value_has_no_interval_and_is_never_significant():
    found = estimate_mean([100.0])
    assert (found.half_width, found.standard_error, found.p_value()) == (None, None, 1.0)
    with pytest.raises(ValueError, match="at least one value"):
        estimate_mean([])
    with pytest.raises(ValueError, match="at least 1 degree of freedom"):
        two_sided_p(1.0, 0)
    with pytest.raises(ValueError, match="from 0.5 to below 1"):
        t_quantile(0.2, 3)


def test_values_that_agree_exactly():
    assert estimate_mean([2.0, 2.0]).p_value() == 0.0 and estimate_mean([2.0, 2.0]).half_width == 0.0
    assert estimate_mean([0.0, 0.0]).p_value() == 1.0


def test_three_seeds_of_nothing_are_called_an_effect_in_five_of_a_hundred_cases():
    """Two standard errors call 18 of a hundred an effect."""
    nulls = np.random.default_rng(0).normal(size=(4000, 3))
    found = [estimate_mean(values) for values in nulls]
    assert np.mean([e.p_value() < 0.05 for e in found]) == pytest.approx(0.05, abs=0.01)
    assert np.mean([abs(e.mean) > e.half_width for e in found]) == pytest.approx(0.05, abs=0.01)
    assert np.mean([abs(e.mean) > 2 * e.standard_error for e in found]) == pytest.approx(0.18, abs=0.02)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_a_page_of_nulls_seldom_holds_a_finding():
    pages = np.random.default_rng(1).uniform(size=(2000, 30))
    assert np.mean([min(holm(list(page))) < 0.05 for page in pages]) == pytest.approx(0.05, abs=0.015)
