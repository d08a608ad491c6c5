"""Two methods side by side: the numbers, and a reading that cannot be taken for more."""

import numpy as np
import pytest
import scipy.stats

from sarbench.results.compare import compare, comparison_text
from sarbench.results.scores import LeaderboardError, Score


def scores(method, values, *, shots=10, start=0, protocol="linear", state="done", **other):
    return [
        Score(
            method=method, control=False, unconfirmed=False, dataset="synthetic",
            protocol=protocol, shots=shots, pretrain_seed=start, seed=seed, state=state,
            values={} if value is None else {"accuracy": value}, key=f"{method}{seed}", **other,
        )
        for seed, value in enumerate(values)
    ]  # fmt: skip


class Chips:
    """Predictions by key."""

    def __init__(self, right, groups=None):
        self._right, self._groups = right, groups

    def right(self, score):
        return self._right.get(score.key)

    def groups(self, dataset):
        return self._groups


def one(found):
    (only,) = found
    return only


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_a_clear_difference_over_ten_seeds(draw):
    a, b = np.linspace(0.80, 0.82, 10), np.linspace(0.70, 0.715, 10)
    found = one(compare(scores("A", a) + scores("B", b), "A", "B", "accuracy", None, draw))
    interval = scipy.stats.ttest_rel(a, b).confidence_interval()
    assert found.effect.difference.mean == pytest.approx((a - b).mean())
    assert (found.effect.difference.low, found.effect.difference.high) == pytest.approx(
        (interval.low, interval.high)
    )
    assert found.p_holm == pytest.approx(2 / 2**10)
    assert found.reading.startswith("A is higher than B by 10.3 points (95 % interval 10.1 to ")
    assert "two checkpoints on these test images" in found.reading
    swapped = one(compare(scores("A", a) + scores("B", b), "B", "A", "accuracy", None, draw))
    assert swapped.reading == found.reading


def test_five_seeds_can_show_nothing_and_the_reading_says_so(draw):
    both = scores("A", [0.9] * 5) + scores("B", [0.1, 0.2, 0.1, 0.2, 0.1])
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert found.reading == (
        "No difference shown (p = 0.0625). With 5 seeds p cannot go below 0.0625: this comparison "
        "could not have shown a difference, however large."
    )


def test_no_difference_is_not_called_equality(draw):
    noise = draw.normal(0, 0.01, (2, 10)) + 0.5
    found = one(
        compare(scores("A", noise[0]) + scores("B", noise[1]), "A", "B", "accuracy", None, draw)
    )
    assert found.p_holm > 0.05
    assert "not a proof that they are equal: taken alone" in found.reading


def test_holm_is_taken_over_the_columns_compared(draw):
    a, b = np.linspace(0.80, 0.82, 8), np.linspace(0.70, 0.715, 8)
    both = [s for shots in (1, 2, 5) for m, v in (("A", a), ("B", b))
            for s in scores(m, v, shots=shots)]  # fmt: skip
    for found in compare(both, "A", "B", "accuracy", None, draw):
        assert found.test.p == pytest.approx(2 / 2**8)
        assert found.p_holm == pytest.approx(3 * 2 / 2**8)
        assert "after Holm's correction over 3 columns" in found.reading


def test_seeds_that_one_side_lacks_are_left_out_and_counted(draw):
    a = [0.8, None, 0.8, 0.81, 0.8, 0.8, 0.82]
    found = one(compare(scores("A", a) + scores("B", [0.7] * 7), "A", "B", "accuracy", None, draw))
    assert (found.runs, found.test.n) == (("6/7", "7/7"), 6)


def test_nothing_in_common_is_said(draw):
    both = scores("A", [None] * 3, state="failed") + scores("B", [0.5] * 3)
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert found.reading == "Cannot be compared: no pair of runs (A has 0/3, B has 3/3)."
    assert "no score and 50.0" in comparison_text([found], "A", "B", "accuracy")


def test_one_run_each_is_tested_over_chips(draw):
    right = {"A0": np.r_[np.ones(90), np.zeros(10)] > 0, "B0": np.r_[np.ones(70), np.zeros(30)] > 0}
    both = scores("A", [0.9]) + scores("B", [0.7])
    found = one(compare(both, "A", "B", "accuracy", Chips(right), draw))
    assert found.unit == "test chips"
    assert found.test.p == pytest.approx(scipy.stats.binomtest(20, 20).pvalue)
    assert "This is about these two runs" in found.reading
    grouped = Chips(right, np.repeat([0, 1], 50))
    found = one(compare(both, "A", "B", "accuracy", grouped, draw))
    assert found.test.p == 1.0  # all that differ are one group
    assert one(compare(both, "A", "B", "accuracy", None, draw)).reading.startswith("Not tested")


def test_the_reading_tells_when_other_images_might_not_show_it(draw):
    """Always right on four more chips of 40: sure for these images, not for others."""
    few = {f"{m}{s}": np.arange(40) < (24 if m == "A" else 22) for m in "AB" for s in range(10)}
    many = {k: np.repeat(v, 50) for k, v in few.items()}
    both = scores("A", [0.60] * 10) + scores("B", [0.55] * 10)
    found = one(compare(both, "A", "B", "accuracy", Chips(few), draw))
    assert found.p_holm < 0.05
    assert "zero lies inside" in found.reading
    assert (
        "zero lies outside" in one(compare(both, "A", "B", "accuracy", Chips(many), draw)).reading
    )


def test_pretraining_seeds_are_the_unit_where_there_are_several(draw):
    both = [s for start in range(6) for s in
            scores("A", [0.8 + start / 100, 0.81], start=start)
            + scores("B", [0.7, 0.71], start=start)]  # fmt: skip
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert (found.unit, found.test.n) == ("pretraining seeds", 6)
    assert "checkpoints" not in found.reading


def test_a_control_without_pretraining_stands_beside_every_pretraining_seed(draw):
    both = [s for start in range(6) for s in scores("A", [0.8, 0.81], start=start)]
    both += scores("Raw", [0.5, 0.6])
    found = one(compare(both, "A", "Raw", "accuracy", None, draw))
    assert found.test.n == 6
    assert found.effect.difference.mean == pytest.approx((0.3 + 0.21) / 2)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [("A", "A", "itself"), ("A", "C", "rows: A, B"), ("A", "B", "share no column")],
)
def test_wrong_requests_are_refused(first, second, says, draw):
    both = scores("A", [0.5]) + scores("B", [0.5], shots=20)
    with pytest.raises(LeaderboardError, match=says):
        compare(both, first, second, "accuracy", None, draw)
