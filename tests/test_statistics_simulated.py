"""Error rates and coverage by simulation: a short run by default, a long one marked slow."""

import numpy as np
import pytest
import scipy.stats

from sarbench.results.interquartile import interquartile_mean
from sarbench.results.paired import chip_test, effect, holm, sign_flip
from sarbench.results.two_way import two_way_difference

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


CHIPS = {"difficulty": 0.9, "method": 0.6}  # deviations of the latent score, by group of chips
NOISE = 0.8  # of one chip, seed and method


def correct(draw, seeds, groups, sizes, accuracies, seed_spread):
    """Return whether A and B were right, and the groups; accuracies hold in the population.

    Latent scores are sums of normal effects of group, method x group, seed x method, seed x group
    and chip x seed x method, so that an accuracy is the normal distribution function of its mean.
    """
    deviations = [CHIPS["difficulty"], CHIPS["method"], seed_spread, 0.2, NOISE]
    total = np.sqrt(np.sum(np.square(deviations)))
    count = {"one": np.ones(groups, int), "unequal": 1 + draw.geometric(0.25, groups)}[sizes]
    of = np.repeat(np.arange(groups), count)
    shared = CHIPS["difficulty"] * draw.normal(size=groups) + 0.2 * draw.normal(
        size=(seeds, groups)
    )
    sides = []
    for accuracy in accuracies:
        score = (
            total * scipy.stats.norm.ppf(accuracy)
            + shared
            + CHIPS["method"] * draw.normal(size=groups)
            + seed_spread * draw.normal(size=(seeds, 1))
        )
        sides.append(score[:, of] + NOISE * draw.normal(size=(seeds, of.size)) > 0)
    return sides[0], sides[1], of


@pytest.mark.parametrize("times", [1, LONG])
@pytest.mark.parametrize("accuracies", [(0.55, 0.50), (0.975, 0.95)])
@pytest.mark.parametrize("sizes", ["one", "unequal"])
@pytest.mark.parametrize(
    ("seeds", "groups", "seed_spread"),
    [(1, 10, 0.0), (1, 30, 0.0), (1, 250, 0.0), (5, 10, 0.1), (5, 30, 0.1), (5, 250, 0.1),
     (10, 10, 0.3), (10, 30, 0.3), (10, 250, 0.3)],
)  # fmt: skip
def test_the_two_way_interval_covers_new_seeds_and_new_chips(
    seeds, groups, seed_spread, sizes, accuracies, times
):
    """At 97.5% few chips tell the two apart; one seed is a statement about these two runs."""
    draw, repetitions, covered = np.random.default_rng(groups), 60 * times, 0
    for _ in range(repetitions):
        found = two_way_difference(
            *correct(draw, seeds, groups, sizes, accuracies, seed_spread)
        ).interval()
        covered += found.low <= accuracies[0] - accuracies[1] <= found.high
    assert 1 - covered / repetitions <= most(0.06, repetitions)


@pytest.mark.parametrize("times", [1, LONG])
def test_an_interval_over_seeds_alone_does_not_cover_new_chips(times):
    draw, repetitions, covered = np.random.default_rng(0), 100 * times, 0
    for _ in range(repetitions):
        right_a, right_b, _ = correct(draw, 10, 60, "one", (0.55, 0.5), 0.1)
        alone = effect(right_a.mean(1) - right_b.mean(1)).difference
        covered += alone.low <= 0.05 <= alone.high
    assert covered / repetitions < 0.85


def runs_of(draw, seeds):
    """Return 10 runs in each of 4 columns for each pretraining seed, whose encoder serves all."""
    encoder = draw.normal(0, 0.03, (seeds, 1, 1))
    column = np.array([0.3, 0.45, 0.6, 0.8])[:, None]
    in_column = draw.normal(0, 0.01, (seeds, 4, 1))
    return (column + encoder + in_column + draw.normal(0, 0.01, (seeds, 4, 10))).reshape(seeds, 40)


@pytest.mark.parametrize("times", [1, LONG])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interquartile_mean_covers_other_pretraining_seeds(seeds, times):
    """The true value is the mean of the two middle columns; runs pooled over seeds miss it."""
    draw, repetitions, covered, pooled = np.random.default_rng(seeds), 100 * times, 0, []
    for number in range(repetitions):
        runs = runs_of(draw, seeds)
        found = interquartile_mean(list(runs))
        covered += found.low <= 0.525 <= found.high
        if number >= 40:
            continue
        columns = runs.reshape(seeds, 4, 10).swapaxes(0, 1).reshape(4, -1)
        drawn = columns[:, draw.integers(0, 10 * seeds, (100, 10 * seeds))].swapaxes(0, 1)
        means = scipy.stats.trim_mean(drawn.reshape(100, -1), 0.25, axis=1)
        pooled.append(np.quantile(means, 0.025) <= 0.525 <= np.quantile(means, 0.975))
    assert 1 - covered / repetitions <= most(0.05, repetitions)
    assert np.mean(pooled) < 0.75
