"""Tests and intervals against closed forms, SciPy, worked examples and simulation."""

from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from made_scores import two_way_limits

from sarbench.results.statistics.interquartile import interquartile_mean
from sarbench.results.statistics.intervals import StatisticsError
from sarbench.results.statistics.paired import chip_test, effect, holm, sign_flip
from sarbench.results.statistics.ranks import (
    TooFewBlocksError,
    critical_difference,
    mean_ranks,
    rank_methods,
)
from sarbench.results.statistics.two_way import two_way_mean


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("n", [2, 5, 6, 10, 13])
def test_the_sign_flip_is_scipys_exact_permutation_test(n, draw):
    differences = draw.normal(0.3, 1, n)
    expected = scipy.stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    found = sign_flip(differences, draw)
    assert found.p == pytest.approx(float(expected.pvalue))
    assert (found.n, found.exact) == (n, True)


def test_signs_of_equal_size_are_scipys_binomial_test(draw):
    for ups in range(9):
        differences = np.r_[np.full(ups, 0.1), np.full(8 - ups, -0.1)]
        assert sign_flip(differences, draw).p == pytest.approx(scipy.stats.binomtest(ups, 8).pvalue)


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125), (10, 0.001953)])
def test_the_smallest_p_is_reached_when_all_seeds_agree(n, smallest, draw):
    found = sign_flip(np.linspace(0.1, 0.2, n), draw)
    assert found.p == found.smallest_p == pytest.approx(smallest, abs=1e-6)


def test_beyond_20_pairs_signs_are_drawn_and_agree_with_the_normal_limit(draw):
    differences = draw.normal(0.25, 1, 60)
    found = sign_flip(differences, draw)
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert not found.exact
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf(z), abs=0.01)
    assert sign_flip(np.full(60, 0.1), draw).p == pytest.approx(1 / 20_001)


def test_equal_scores_have_p_1(draw):
    assert sign_flip(np.zeros(5), draw).p == 1.0
    right = np.ones(10, bool)
    found = chip_test(right, right)
    assert (found.p, found.n, found.smallest_p) == (1.0, 0, 1.0)


@pytest.mark.parametrize("differences", [[], [0.1, np.nan]])
def test_differences_that_are_empty_or_not_finite_are_refused(differences, draw):
    with pytest.raises(StatisticsError):
        sign_flip(np.array(differences, dtype=float), draw)
    with pytest.raises(StatisticsError, match="3 and 4 chips"):
        chip_test(np.ones(3, bool), np.ones(4, bool))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 9), (12, 4), (40, 40), (200, 150)])
def test_single_chips_give_mcnemars_exact_test(only_a, only_b):
    right_a = np.r_[np.ones(only_a), np.zeros(only_b), np.ones(50)].astype(bool)
    right_b = np.r_[np.zeros(only_a), np.ones(only_b), np.ones(50)].astype(bool)
    expected = scipy.stats.binomtest(only_a, only_a + only_b).pvalue
    assert chip_test(right_a, right_b).p == pytest.approx(expected)


def test_grouped_chips_are_flipped_together(draw):
    right_a, right_b = draw.random((2, 60)) < 0.6
    groups = draw.integers(0, 9, 60)
    sums = np.array([(right_a[groups == g].sum() - right_b[groups == g].sum()) for g in range(9)])
    expected = scipy.stats.permutation_test(
        (sums.astype(float),), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert chip_test(right_a, right_b, groups).p == pytest.approx(float(expected.pvalue))


def test_copies_of_a_chip_do_not_make_a_difference_certain():
    right_a, right_b = np.ones(30, bool), np.zeros(30, bool)
    assert chip_test(right_a, right_b).p < 1e-8
    assert chip_test(right_a, right_b, np.repeat([0, 1, 2], 10)).p == pytest.approx(0.25)


def test_holm_by_hand():
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1 raised to what stands before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).size == 0


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_the_closure_of_bonferronis_test(seed):
    p = np.random.default_rng(seed).beta(0.3, 2, 6)
    for i, found in enumerate(holm(list(p))):
        others = [j for j in range(6) if j != i]
        subsets = [(i, *more) for size in range(6) for more in combinations(others, size)]
        expected = max(min(1.0, len(s) * min(p[list(s)])) for s in subsets)
        assert found == pytest.approx(expected)


def test_an_effect_has_students_interval_and_that_of_the_noncentral_t():
    differences = np.array([0.02, 0.05, 0.01, 0.04, 0.03, 0.06])
    found = effect(differences)
    student = scipy.stats.ttest_1samp(differences, 0)
    interval = student.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx(
        (interval.low, interval.high)
    )
    assert found.standardised is not None
    assert found.standardised.mean == pytest.approx(student.statistic / np.sqrt(6))
    # at each limit the observed t has a tail probability of 2.5%
    for limit, below in ((found.standardised.low, 0.975), (found.standardised.high, 0.025)):
        assert scipy.stats.nct.cdf(student.statistic, 5, limit * np.sqrt(6)) == pytest.approx(
            below, abs=1e-6
        )


def test_an_effect_without_spread_is_not_standardised():
    assert effect(np.full(4, 0.1)).standardised is None
    alone = effect(np.array([0.1]))
    assert (alone.difference.low, alone.standardised) == (None, None)


# Demsar 2006, table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets. In the thirteenth
# row two print as 0.975 and are ranked apart.
DEMSAR = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip


def test_demsars_worked_example():
    names = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
    ranks = mean_ranks(DEMSAR)
    assert ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)  # his table 6
    chi2 = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 5**2 / 4)
    assert chi2 == pytest.approx(9.28, abs=5e-3)
    found = rank_methods(names, DEMSAR)
    assert found.names == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    # corrected for ties, chi2 is 10.23 (SciPy's own test, checked there against R and Matlab)
    assert found.friedman_p == pytest.approx(scipy.stats.chi2.sf(10.2283464566929, 3))
    # his text: 1.25, and 1.12 at the 10% level, where C4.5 is worse than both tuned with m
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.groups == (names_of("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)
    at_10 = rank_methods(names, DEMSAR, alpha=0.10)
    assert at_10.critical_difference == pytest.approx(1.12, abs=0.005)
    assert at_10.groups == (
        names_of("C4.5+m+cf", "C4.5+m", "C4.5+cf"), names_of("C4.5+cf", "C4.5"),
    )  # fmt: skip


def names_of(*names):
    return names


@pytest.mark.parametrize(
    ("alpha", "table"),  # Demsar 2006, table 5a, for 2 to 10 classifiers
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_nemenyis_critical_values_are_the_published_ones(alpha, table):
    for methods, value in enumerate(table, start=2):
        unit = np.sqrt(methods * (methods + 1) / (6 * 10))
        found = critical_difference(methods, 10, alpha) / unit
        # the table is printed from halves of rounded studentised ranges
        assert found == pytest.approx(value, abs=2e-3)


def test_few_blocks_are_refused_with_their_number():
    with pytest.raises(TooFewBlocksError, match="got 4 blocks"):
        rank_methods(["a", "b", "c"], np.random.default_rng(0).random((4, 3)))
    with pytest.raises(TooFewBlocksError, match="2 methods"):
        rank_methods(["a", "b"], np.random.default_rng(0).random((9, 2)))


def test_equal_methods_share_one_group():
    found = rank_methods(["a", "b", "c"], np.full((6, 3), 0.5))
    assert (found.friedman_p, found.ranks, found.groups) == (
        1.0, (2.0, 2.0, 2.0), (("a", "b", "c"),),
    )  # fmt: skip


def test_an_interquartile_mean_drops_a_quarter_at_each_end_of_each_pretraining_seed():
    runs = [np.array([0.0, 0.2, 0.4, 0.9]), np.array([0.1, 0.3, 0.5, 1.0])]
    found = interquartile_mean(runs)
    half = scipy.stats.t.ppf(0.975, 1) * 0.1 / 2  # of the two means 0.3 and 0.4
    assert (found.mean, found.low, found.high) == pytest.approx((0.35, 0.35 - half, 0.35 + half))
    with pytest.raises(ValueError, match=r"got \[4, 3\]"):
        interquartile_mean([np.zeros(4), np.zeros(3)])


def test_one_pretraining_seed_has_an_interquartile_mean_without_limits():
    found = interquartile_mean([np.array([0.0, 0.2, 0.4, 0.9])])
    assert (found.mean, found.low, found.high) == (pytest.approx(0.3), None, None)


def test_with_one_seed_the_two_way_interval_is_students_over_chips(draw):
    right_a, right_b = draw.random((1, 2000)) < 0.8, draw.random((1, 2000)) < 0.75
    student = scipy.stats.ttest_rel(right_a[0] * 1.0, right_b[0])
    found = two_way_mean(right_a * 1.0 - right_b)
    expected = student.confidence_interval()
    assert two_way_limits(found) == pytest.approx((expected.low, expected.high), abs=5e-4)


def test_the_two_way_variance_is_that_of_the_crossed_analysis_of_variance(draw):
    """Mean squares by hand, and one more group on which the two always differ."""
    right_a, right_b = draw.random((6, 40)) < 0.8, draw.random((6, 40)) < 0.7
    right_a[0] = True
    gaps = right_a * 1.0 - right_b
    of_seeds, of_chips = gaps.mean(1, keepdims=True), gaps.mean(0, keepdims=True)
    rest = gaps - of_seeds - of_chips + gaps.mean()
    mean_squares = (
        40 * of_seeds.var(ddof=1), 6 * of_chips.var(ddof=1), (rest**2).sum() / (5 * 39),
    )  # fmt: skip
    expected = (mean_squares[0] + mean_squares[1] - mean_squares[2]) / 240 + 1 / 40**2
    assert two_way_mean(right_a * 1.0 - right_b)[1].value == pytest.approx(expected)


def test_copies_of_chips_do_not_narrow_the_two_way_interval(draw):
    right_a, right_b = draw.random((5, 100)) < 0.8, draw.random((5, 100)) < 0.7
    once = two_way_mean(right_a * 1.0 - right_b)
    copied = two_way_mean(
        np.repeat(right_a * 1.0 - right_b, 20, axis=1), np.repeat(np.arange(100), 20)
    )
    assert copied[0] == pytest.approx(once[0])
    assert (copied[1].value, copied[1].df) == pytest.approx((once[1].value, once[1].df))


@pytest.mark.parametrize(("seeds", "groups"), [(5, 9), (3, 100), (1, 9)])
def test_too_few_seeds_or_groups_have_no_two_way_interval(seeds, groups, draw):
    right_a, right_b = draw.random((2, seeds, groups)) < 0.5
    assert two_way_mean(right_a * 1.0 - right_b)[1] is None


def test_classifiers_that_never_differ_are_not_certainly_equal():
    low, high = two_way_limits(two_way_mean(np.zeros((1, 100))))
    assert low < -0.03  # 3 in 100 is the rule of three for an event that was never seen
    assert high > 0.03
