"""Error rates and coverage by simulation: a short run by default, a long one marked slow."""

import numpy as np
import pytest
import scipy.stats
from made_scores import two_way_limits

from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.scores import Score
from sarbench.results.statistics import two_way
from sarbench.results.statistics.interquartile import interquartile_mean
from sarbench.results.statistics.paired import chip_test, effect
from sarbench.results.statistics.two_way import two_way_mean

LONG = pytest.param(20, marks=pytest.mark.slow)  # times as many repetitions


def most(level: float, repetitions: int) -> float:
    """Return the rate that a test of this level passes once in 30,000."""
    return scipy.stats.binom.isf(3e-5, repetitions, level) / repetitions


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


CHIPS = {"difficulty": 0.9, "method": 0.6}  # deviations of the latent score, by group of chips
NOISE = 0.8  # of one chip, seed and method


def correct(draw, seeds, groups, sizes, accuracies, seed_spread):
    """Return bools, True where A and B were right, and the groups; accuracies are true values.

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
    """At an accuracy of 97.5% the classifiers differ on few chips."""
    draw, repetitions, covered = np.random.default_rng(groups), 60 * times, 0
    for _ in range(repetitions):
        right_a, right_b, place = correct(draw, seeds, groups, sizes, accuracies, seed_spread)
        low, high = two_way_limits(two_way_mean(right_a * 1.0 - right_b, place))
        covered += low <= accuracies[0] - accuracies[1] <= high
    assert 1 - covered / repetitions <= most(0.06, repetitions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "low", "high"), [(2, 0.86, 0.905), (3, 0.90, 0.945), (5, 0.92, 0.96)]
)
def test_the_two_way_interval_takes_five_draws(seeds, low, high, monkeypatch):
    """The worst of eight settings at 250 groups: 88.4%, 92.4% and 93.7% of 3,000 repetitions."""
    monkeypatch.setattr(two_way, "FEWEST_SEEDS", 2)
    draw, repetitions, covered = np.random.default_rng(seeds), 1500, 0
    for _ in range(repetitions):
        right_a, right_b, place = correct(draw, seeds, 250, "unequal", (0.55, 0.50), 0.3)
        limits = two_way_limits(two_way_mean(right_a * 1.0 - right_b, place))
        covered += limits[0] <= 0.05 <= limits[1]
    assert low < covered / repetitions < high


class Outcomes:
    """Outcomes of simulated runs, by method, pretraining seed and evaluation seed."""

    def __init__(self, right, groups, classes=None):
        self.of_run, self.of_group, self.of_class = right, groups, classes

    def right(self, score):
        return self.of_run[int(score.method)][score.pretrain_seed][score.seed]

    def groups(self, dataset):
        return self.of_group

    def classes(self, dataset):
        return self.of_class


def scores_of(values, shots=10):
    """Return scores of an array: methods, pretraining seeds, evaluation seeds."""
    return [
        Score(
            method=str(m), control=False, unconfirmed=False, dataset="d", protocol="linear",
            shots=shots, pretrain_seed=p, seed=s, state="done", values={"accuracy": float(value)},
        )
        for (m, p, s), value in np.ndenumerate(values)
    ]  # fmt: skip


def wrong_places(board) -> tuple[bool, bool]:
    """Return True if some pair is separated, and True if method 0 does not share place 1."""
    places = {cell.method: cell.place for cell in board.cells}
    return set(places.values()) != {1}, places["0"] != 1


SIZES = [0.3, 0.3, 0.2, 0.15, 0.05]
SPREADS = {
    "equal": np.ones(7), "half are 4 times as wide": np.array([1, 4, 1, 4, 1, 4, 1]),
    "one is 8 times as wide": np.array([1, 8, 1, 1, 1, 1, 1]),
    "two have nearly none": np.array([1, 0.01, 0.01, 1, 1, 1, 1]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("spread", "times"),
    [("equal", 1), *(pytest.param(s, 15, marks=pytest.mark.slow) for s in SPREADS)],
)
def test_places_hold_their_level_with_pretraining_variance(spread, times):
    """Seven equal methods, three pretraining seeds each, three draws that all of them share."""
    draw = np.random.default_rng(0)
    repetitions, width = 40 * times, 0.02 / SPREADS[spread].max() * SPREADS[spread]
    found = []
    for _ in range(repetitions):
        values = 0.5 + draw.normal(size=(7, 3, 1)) * width[:, None, None]
        values = values + draw.normal(0, 0.02, (1, 1, 3)) + draw.normal(0, 0.002, (7, 3, 3))
        found.append(wrong_places(tabulate_scores(scores_of(values))))
    separated, below = np.mean(found, axis=0)
    assert separated <= most(0.06, repetitions)
    assert below <= most(0.05, repetitions)


@pytest.mark.parametrize("times", [1, LONG])
def test_a_clear_method_is_separated_from_three_pretraining_seeds_on(times):
    """The best of seven methods leads by five standard deviations; 90% are separated from it."""
    draw = np.random.default_rng(0)
    repetitions, below = 20 * times, []
    for _ in range(repetitions):
        values = 0.5 + draw.normal(0, 0.01, (7, 3, 1)) + 0.05 * (np.arange(7) == 0)[:, None, None]
        board = tabulate_scores(scores_of(values))
        below += [cell.place != 1 for cell in board.cells if cell.method != "0"]
    assert np.mean(below) > 0.8


@pytest.mark.parametrize("times", [1, LONG])
def test_places_with_all_labels_hold_their_level_for_other_chips(times):
    """The methods are equal over all chips but differ on each; near-duplicates in fours."""
    draw = np.random.default_rng(0)
    repetitions, groups = 20 * times, np.repeat(np.arange(60), 4)
    chips, without = [], []
    for _ in range(repetitions):
        level = 0.6 + draw.normal(0, 0.15, (5, 1, 1, 60)) + draw.normal(0, 0.01, (5, 3, 1, 1))
        right = draw.random((5, 3, 2, 240)) < np.repeat(level, 4, axis=-1)
        scores = scores_of(right.mean(axis=-1), "all")
        chips.append(wrong_places(tabulate_scores(scores, chips=Outcomes(right, groups)))[0])
        without.append(wrong_places(tabulate_scores(scores))[0])
    assert np.mean(chips) <= most(0.05, repetitions)
    assert np.mean(without) > 0.1  # over pretraining seeds alone


@pytest.mark.parametrize("times", [1, LONG])
@pytest.mark.parametrize("shots", [10, "all"])
def test_places_of_checkpoints_hold_their_level_for_other_draws_and_chips(shots, times):
    draw = np.random.default_rng(0)
    repetitions, groups, found = 20 * times, np.repeat(np.arange(60), 4), []
    for _ in range(repetitions):
        level = 0.6 + draw.normal(0, 0.15, (5, 1, 1, 60))
        if shots != "all":
            level = level + draw.normal(0, 0.02, (5, 1, 10, 1)) + draw.normal(0, 0.03, (10, 1))
        right = draw.random((5, 1, 10, 240)) < np.repeat(level, 4, axis=-1)
        board = tabulate_scores(
            scores_of(right.mean(axis=-1), shots), chips=Outcomes(right, groups),
            compares="checkpoints",
        )  # fmt: skip
        found.append(wrong_places(board)[0])
    assert np.mean(found) <= most(0.05, repetitions)


@pytest.mark.parametrize("times", [1, LONG])
@pytest.mark.parametrize("accuracy", [0.6, 0.9])
def test_the_interval_over_chips_covers_other_chips(accuracy, times):
    """Groups of 1 to 16 chips, half of them all right or all wrong; 70 groups.

    The usual variance, with one degree of freedom less than groups, covers 93% and 84%.
    """
    draw = np.random.default_rng(0)
    repetitions, covered, usual = 200 * times, 0, 0
    for _ in range(repetitions):
        place = np.repeat(np.arange(70), draw.choice([1, 2, 4, 8, 16], 70, p=SIZES))
        together = (draw.random(70) < 0.5)[place]
        right = np.where(together, (draw.random(70) < accuracy)[place],
                         draw.random(place.size) < accuracy)  # fmt: skip
        low, high = two_way_limits(two_way_mean(right[None].astype(float), place))
        covered += low <= accuracy <= high
        sums = np.bincount(place, right - right.mean())
        error = np.sqrt(70 / 69 * (sums**2).sum()) / place.size
        usual += abs(right.mean() - accuracy) <= scipy.stats.t.ppf(0.975, 69) * error
    assert 1 - covered / repetitions <= most(0.05, repetitions)
    assert usual / repetitions < {0.6: 0.96, 0.9: 0.90}[accuracy]
    if times > 1:
        assert 0.96 < covered / repetitions < 0.985


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
    """The true value is the mean of the two middle columns."""
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
