import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats

from sarbench.results.statistics.intervals import (
    StatisticsError,
    Variance,
    add,
    mean_interval,
    single_score,
    wilson_limits,
    with_chips,
)


def test_the_interval_is_that_of_a_students_test() -> None:
    scores = np.array([0.754, 0.761, 0.737, 0.702, 0.737])
    found = mean_interval(scores)
    expected = scipy.stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.mean, found.n) == (pytest.approx(0.7382), 5)


def test_two_scores_by_hand() -> None:
    # mean 0.5, deviation 0.1 * sqrt(2), error 0.1; Student's quantile for 1 degree is 12.706
    found = mean_interval(np.array([0.4, 0.6]))
    assert (found.low, found.high) == pytest.approx((0.5 - 1.2706, 0.5 + 1.2706), abs=1e-4)


@pytest.mark.parametrize("scores", [[], [0.5]])
def test_one_score_has_no_interval(scores: list[float]) -> None:
    with pytest.raises(StatisticsError, match=f"got {len(scores)}; use single_score"):
        mean_interval(np.array(scores))
    found = single_score(0.5)
    assert (found.mean, found.low, found.high, found.n) == (0.5, None, None, 1)


def test_equal_scores_have_an_interval_of_width_zero() -> None:
    found = mean_interval(np.full(10, 0.25))
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 scores are not finite"):
        mean_interval(np.array([0.1, np.nan, 0.2]))
    with pytest.raises(ValueError, match="nan"):
        single_score(float("nan"))


def test_limits_of_shares_are_those_of_scipy_and_never_of_width_zero() -> None:
    right, counts = np.array([0, 3, 12, 95]), np.array([5, 4, 12, 100])
    low, high = wilson_limits(right / counts, counts)
    known = [scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
             for k, n in zip(right.tolist(), counts.tolist(), strict=True)]  # fmt: skip
    assert low == pytest.approx([one.low for one in known])
    assert high == pytest.approx([one.high for one in known])
    assert (high - low).min() > 0


def test_an_interval_over_seeds_and_chips_is_not_narrower_than_over_seeds() -> None:
    seeds = Variance(1.0, 2.0)
    few, many = with_chips(seeds, Variance(0.1, 50.0)), with_chips(seeds, Variance(30.0, 50.0))
    assert few.half() == seeds.half() > add(seeds, Variance(0.1, 50.0)).half()
    assert many.half() == add(seeds, Variance(30.0, 50.0)).half() > seeds.half()
    for one in (few, many):  # the test and the interval agree
        assert one.p(one.half()) == pytest.approx(0.05)
    equal = with_chips(Variance(0.0, 2.0), Variance(1.0, 50.0))
    assert equal.p(2.0) == pytest.approx(2 * scipy.stats.t.sf(2.0, 50))
    assert Variance(0.0, 2.0).p(0.0) == 1.0


@pytest.mark.parametrize(
    ("seeds", "ratio", "alone", "ours"),
    [(2, 0.1, 0.873, 0.956), (2, 3.0, 0.947, 0.977), (3, 0.1, 0.923, 0.950),
     (3, 1.0, 0.941, 0.954), (5, 0.3, 0.943, 0.943), (10, 0.1, 0.949, 0.949)],
)  # fmt: skip
def test_the_coverage_of_an_interval_over_seeds_and_chips(
    seeds: int, ratio: float, alone: float, ours: float
) -> None:
    """Means over quantiles of both estimates; expected values by simulation of 200,000 tables.

    The ratio is the variance over chips divided by that over seeds. `alone` is the coverage of the
    sum of both variances with Satterthwaite's degrees of freedom.
    """
    middles = (np.arange(120) + 0.5) / 120
    of_seeds = scipy.stats.chi2.ppf(middles, seeds - 1) / (seeds - 1)
    of_chips = ratio * scipy.stats.chi2.ppf([0.1, 0.3, 0.5, 0.7, 0.9], 300) / 300
    covered = []
    for one, other in itertools.product(of_seeds.tolist(), of_chips.tolist()):
        parts = Variance(one, seeds - 1.0), Variance(other, 300.0)
        halves = np.array([add(*parts).half(), with_chips(*parts).half()])
        covered.append(scipy.special.erf(halves / np.sqrt(2 * (1 + ratio))))
    assert np.mean(covered, axis=0) == pytest.approx([alone, ours], abs=0.004)
