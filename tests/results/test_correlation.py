"""Spearman's correlation and its interval, compared with SciPy."""

import numpy as np
import pytest
import scipy.stats

from sarbench.results.statistics.correlation import spearman


@pytest.mark.parametrize("seed", range(2))
def test_rho_and_its_interval_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, 12).astype(float)  # with ties
    y = -0.3 * x + rng.normal(size=12)
    found = spearman(x.tolist(), y.tolist(), np.random.default_rng(0))
    assert found.rho == pytest.approx(scipy.stats.spearmanr(x, y).statistic)

    def rho(x, y):
        return scipy.stats.spearmanr(x, y).statistic

    theirs = scipy.stats.bootstrap(
        (x, y), rho, paired=True, vectorized=False, n_resamples=1000, method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.08)


def test_an_order_that_is_reversed_has_rho_minus_one_in_every_draw():
    found = spearman([1.0, 2.0, 3.0, 4.0, 5.0], [9.0, 7.0, 5.0, 3.0, 1.0], np.random.default_rng(0))
    assert found == pytest.approx((-1, -1, -1))


def test_equal_values_have_no_interval_and_three_pairs_no_rho():
    found = spearman([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], np.random.default_rng(0))
    assert np.isnan(found.rho)
    assert (found.low, found.high) == (None, None)
    with pytest.raises(ValueError, match="needs 4 or more"):
        spearman([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], np.random.default_rng(0))
