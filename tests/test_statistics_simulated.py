"""Error rates and coverage by simulation: a short run by default, a long one marked slow."""

import numpy as np
import pytest
import scipy.stats

from sarbench.results.bootstrap import two_way_difference
from sarbench.results.paired import chip_test, effect, holm, sign_flip

LONG = pytest.param(20, marks=pytest.mark.slow)  # times as many repetitions


def most(level: float, repetitions: int) -> float:
    """Return the rate that a test of this level passes once in 30,000."""
    return scipy.stats.binom.isf(3e-5, repetitions, level) / repetitions


@pytest.mark.parametrize("times", [1, LONG])
@pytest.mark.parametrize("n", [6, 10])
def test_the_sign_flip_holds_its_level(n, times):
    draw = np.random.default_rng(n)
    repetitions = 1000 * times
    rejected = [sign_flip(draw.standard_t(3, n), draw).p <= 0.05 for _ in range(repetitions)]
    assert np.mean(rejected) <= most(0.05, repetitions)
    assert np.mean(rejected) > 0.02  # and is not empty


@pytest.mark.parametrize("times", [1, LONG])
def test_the_chip_test_holds_its_level_with_copies(times):
    """Ten copies of each chip: McNemar's test without groups would reject most of the time."""
    draw = np.random.default_rng(0)
    repetitions, groups = 300 * times, np.repeat(np.arange(40), 10)
    grouped, alone = [], []
    for _ in range(repetitions):
        right_a, right_b = np.repeat(draw.random((2, 40)) < 0.7, 10, axis=1)
        grouped.append(chip_test(right_a, right_b, groups).p <= 0.05)
        alone.append(chip_test(right_a, right_b).p <= 0.05)
    assert np.mean(grouped) <= most(0.05, repetitions)
    assert np.mean(alone) > 0.3


@pytest.mark.parametrize("times", [1, LONG])
def test_holm_holds_the_family(times):
    """Three of six hypotheses are true; a false rejection of any happens in at most 5 %."""
    draw = np.random.default_rng(0)
    repetitions, wrong = 1000 * times, 0
    for _ in range(repetitions):
        z = draw.normal(size=6) + np.array([0, 0, 0, 4, 4, 4])
        adjusted = holm(list(2 * scipy.stats.norm.sf(abs(z))))
        wrong += bool((adjusted[:3] <= 0.05).any())
    assert wrong / repetitions <= most(0.05, repetitions)
    assert wrong / repetitions > 0.02


@pytest.mark.parametrize("times", [1, LONG])
def test_the_effects_interval_covers(times):
    draw = np.random.default_rng(0)
    repetitions, plain, standard = 400 * times, 0, 0
    for _ in range(repetitions):
        found = effect(draw.normal(0.02, 0.02, 8))  # d_z = 1
        plain += found.difference.low <= 0.02 <= found.difference.high
        standard += found.standardised.low <= 1.0 <= found.standardised.high
    for covered in (plain, standard):
        assert 1 - covered / repetitions <= most(0.05, repetitions)
        assert covered / repetitions < 0.985


@pytest.mark.parametrize("times", [1, LONG])
def test_the_two_way_interval_covers_new_seeds_and_new_chips(times):
    """Chips differ in difficulty, seeds in skill; an interval over seeds alone covers far less."""
    draw = np.random.default_rng(0)
    repetitions, seeds, groups, copies = 150 * times, 10, 60, 3
    both, seeds_only = 0, 0
    group_of = np.repeat(np.arange(groups), copies)
    for _ in range(repetitions):
        # true difference: 0.1 on average over chips and seeds
        chip = draw.normal(0.10, 0.25, groups).clip(-0.5, 0.7)[group_of]
        seed = draw.normal(0.0, 0.03, (seeds, 1))
        right_a = draw.random((seeds, groups * copies)) < 0.5 + chip / 2 + seed
        right_b = draw.random((seeds, groups * copies)) < 0.5 - chip / 2
        found = two_way_difference(right_a, right_b, draw, group_of, draws=500)
        both += found.low <= TRUE_DIFFERENCE <= found.high
        per_seed = right_a.mean(1) - right_b.mean(1)
        alone = effect(per_seed).difference
        seeds_only += alone.low <= TRUE_DIFFERENCE <= alone.high
    assert 1 - both / repetitions <= most(0.07, repetitions)  # a percentile interval, ten seeds
    assert seeds_only / repetitions < 0.85


# mean of a normal (0.10, 0.25) clipped to (-0.5, 0.7), by its closed form
_LOW, _HIGH = (-0.5 - 0.10) / 0.25, (0.7 - 0.10) / 0.25
_CDF, _PDF = scipy.stats.norm.cdf, scipy.stats.norm.pdf
TRUE_DIFFERENCE = (
    -0.5 * _CDF(_LOW)
    + 0.7 * (1 - _CDF(_HIGH))
    + 0.10 * (_CDF(_HIGH) - _CDF(_LOW))
    - 0.25 * (_PDF(_HIGH) - _PDF(_LOW))
)
