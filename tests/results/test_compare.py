"""Comparisons of two methods: numbers, tests, and the result in words."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_scores import score

from sarbench.results.compare import compare, comparison_text
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.notes import Note
from sarbench.results.scores import LeaderboardError, Score


def scores(method, values, *, shots=10, protocol="linear", **other):
    column = "synthetic", protocol, shots
    return [
        score(method, value, seed=seed, column=column, key=f"{method}{seed}", **other)
        for seed, value in enumerate(values)
    ]


class Chips:
    """Predictions by key."""

    def __init__(self, right, groups=None, classes=None):
        self._right, self._groups, self._classes = right, groups, classes

    def right(self, score):
        return self._right.get(score.key)

    def groups(self, dataset):
        return self._groups

    def classes(self, dataset):
        return self._classes


def one(found):
    (only,) = found
    return only


@pytest.fixture
def draw():
    return np.random.default_rng(0)


@pytest.mark.parametrize("unfinished", [False, True])
def test_means_are_those_of_the_table(draw, unfinished):
    """The mean of A is 38.75%, and that of its numbers in binary is just below it or not."""
    every = [
        score(method, value, start=start, seed=seed)
        for method, values in (("A", [0.3, 0.3, 0.455, 0.495]), ("B", [0.2, 0.25, 0.3, 0.2]))
        for start, value in enumerate(values)
        for seed in range(2)
    ]
    if unfinished:
        every[0] = replace(every[0], state="failed", values={})
    found = one(compare(every, "A", "B", "accuracy", None, draw))
    table = {cell.method: cell.mean for cell in tabulate_scores(every).cells}
    assert found.means == (table["A"], table["B"])
    assert found.means == pytest.approx((0.3875, 0.2375))


def test_a_clear_difference_over_ten_seeds(draw):
    a, b = np.linspace(0.80, 0.82, 10), np.linspace(0.70, 0.715, 10)
    found = one(compare(scores("A", a) + scores("B", b), "A", "B", "accuracy", None, draw))
    interval = scipy.stats.ttest_rel(a, b).confidence_interval()
    assert found.effect.difference.mean == pytest.approx((a - b).mean())
    assert (found.effect.difference.low, found.effect.difference.high) == pytest.approx(
        (interval.low, interval.high)
    )
    assert found.p_holm == pytest.approx(2 / 2**10)
    assert found.conclusion.claim.startswith(
        "A is higher than B by 10.3 points (95% interval 10.1 to"
    )
    assert "these two checkpoints and these test chips" in found.conclusion.scope
    swapped = one(compare(scores("A", a) + scores("B", b), "B", "A", "accuracy", None, draw))
    assert swapped.conclusion == found.conclusion


def test_five_seeds_cannot_show_a_difference_and_the_conclusion_says_so(draw):
    both = scores("A", [0.9] * 5) + scores("B", [0.1, 0.2, 0.1, 0.2, 0.1])
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert found.conclusion.claim.startswith("No significant difference (p = 0.0625).")
    assert "With 5 draws of labelled chips p cannot be below 0.0625" in found.conclusion.claim
    assert "one checkpoint does not represent its method" in found.conclusion.scope
    assert "5 draws (or one) and 10 groups" in found.conclusion.new_chips
    text = comparison_text([found], "A", "B", "accuracy")
    assert "p = 0.0625 (exact test over 5 draws of labelled chips); p cannot be below" in text


def test_a_difference_that_is_not_significant_is_not_called_equality(draw):
    noise = draw.normal(0, 0.01, (2, 10)) + 0.5
    found = one(
        compare(scores("A", noise[0]) + scores("B", noise[1]), "A", "B", "accuracy", None, draw)
    )
    assert found.p_holm > 0.05
    assert "does not show that they are equal" in found.conclusion.claim


def test_holms_correction_is_over_the_compared_columns(draw):
    a, b = np.linspace(0.80, 0.82, 8), np.linspace(0.70, 0.715, 8)
    both = [s for shots in (1, 2, 5) for m, v in (("A", a), ("B", b))
            for s in scores(m, v, shots=shots)]  # fmt: skip
    for found in compare(both, "A", "B", "accuracy", None, draw):
        assert found.test.p == pytest.approx(2 / 2**8)
        assert found.p_holm == pytest.approx(3 * 2 / 2**8)
        assert "after Holm's correction over 3 columns" in found.conclusion.claim


def test_the_smallest_attainable_p_depends_on_the_other_columns(draw):
    # 12 draws of equal sign have p = 2/4096, smaller than any p of 6 draws. Holm's step-down
    # multiplies the larger p by 1, so 6 draws can reach 2/64.
    rows = [
        *scores("a", np.linspace(0.9, 0.91, 12), shots=40), *scores("b", [0.1] * 12, shots=40),
        *scores("a", [0.5, 0.51, 0.5, 0.52, 0.5, 0.51], shots=20),
        *scores("b", [0.505] * 6, shots=20),
    ]  # fmt: skip
    found = {one.column[2]: one for one in compare(rows, "a", "b", "accuracy", None, draw)}
    assert found[20].test.smallest_p == found[20].smallest_holm == pytest.approx(2 / 64)
    assert "cannot be below" not in found[20].conclusion.claim
    assert found[40].smallest_holm == pytest.approx(2 * 2 / 4096)


def test_an_incomplete_row_is_not_tested(draw):
    """As in the table. Seeds that are missing on one side are left out of the mean."""
    a = [0.8, None, 0.8, 0.81, 0.8, 0.8, 0.82]
    found = one(compare(scores("A", a) + scores("B", [0.7] * 7), "A", "B", "accuracy", None, draw))
    assert (found.runs, found.test, found.p_holm) == (("6/7", "7/7"), None, None)
    assert found.effect.difference.mean == pytest.approx(
        np.mean([0.8, 0.8, 0.81, 0.8, 0.8, 0.82]) - 0.7
    )
    assert found.effect.difference.low is None
    assert found.conclusion.claim.startswith("Not tested: ")
    assert "6/7 and 7/7" in found.conclusion.claim
    starts = [s for n in range(3) for m in "AB" for s in scores(m, [0.5 + n / 99, 0.6], start=n)]
    starts[0] = replace(starts[0], values={})
    found = one(compare(starts, "A", "B", "accuracy", None, draw))
    assert (found.unit, found.test) == ("pretrain_seeds", None)


def test_a_row_that_fails_its_contract_is_not_tested(draw):
    both = scores("A", [0.9] * 8, fails_contract=True, name="mine") + scores("B", [0.7] * 8)
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert found.test is None
    assert "A fails its contract (`sarbench methods check mine`)" in found.conclusion.claim


def test_rows_without_a_pair_of_runs_are_not_compared(draw):
    both = scores("A", [None] * 3, state="failed") + scores("B", [0.5] * 3)
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert "A has 0/3, B has 3/3" in found.conclusion.claim
    assert "no score and 50.0" in comparison_text([found], "A", "B", "accuracy")


def test_one_run_each_is_tested_over_chips(draw):
    right = {"A0": np.r_[np.ones(90), np.zeros(10)] > 0, "B0": np.r_[np.ones(70), np.zeros(30)] > 0}
    both = scores("A", [0.9]) + scores("B", [0.7])
    found = one(compare(both, "A", "B", "accuracy", Chips(right), draw))
    assert found.unit == "chips"
    assert found.test.p == pytest.approx(scipy.stats.binomtest(20, 20).pvalue)
    assert "these two checkpoints and the labelled chips of these runs" in found.conclusion.scope
    grouped = Chips(right, np.repeat([0, 1], 50))
    found = one(compare(both, "A", "B", "accuracy", grouped, draw))
    assert found.test.p == 1.0  # all differences are in one group
    assert found.effect.difference.low is None  # two groups give no interval
    (untested,) = compare(both, "A", "B", "accuracy", None, draw)
    assert untested.conclusion.claim.startswith("Not tested")


def test_the_conclusion_says_if_the_difference_holds_for_other_images(draw):
    """A is right on two more chips of 40 in every run: significant for these images only."""
    few = {f"{m}{s}": np.arange(40) < (24 if m == "A" else 22) for m in "AB" for s in range(10)}
    many = {k: np.repeat(v, 50) for k, v in few.items()}
    both = scores("A", [0.60] * 10) + scores("B", [0.55] * 10)
    found = one(compare(both, "A", "B", "accuracy", Chips(few), draw))
    assert found.p_holm < 0.05
    assert "zero is inside" in found.conclusion.new_chips
    found = one(compare(both, "A", "B", "accuracy", Chips(many), draw))
    assert "zero is outside" in found.conclusion.new_chips
    copies = Chips(many, np.repeat(np.arange(40), 50))  # near-duplicates are not new images
    found = one(compare(both, "A", "B", "accuracy", copies, draw))
    assert "zero is inside" in found.conclusion.new_chips


def test_pretraining_seeds_are_compared_by_welchs_test(draw):
    values = [0.80, 0.83, 0.85, 0.81], [0.70, 0.74, 0.69]
    both = [s for name, means in zip("AB", values, strict=True) for start, mean in enumerate(means)
            for s in scores(name, [mean - 0.01, mean + 0.01], start=start)]  # fmt: skip
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    expected = scipy.stats.ttest_ind(*values, equal_var=False)
    interval = expected.confidence_interval()
    assert (found.unit, found.test.n) == ("pretrain_seeds", 7)
    assert found.test.p == pytest.approx(expected.pvalue)
    gap = found.effect.difference
    assert (gap.low, gap.high) == pytest.approx((interval.low, interval.high))
    assert "checkpoints" not in str(found.conclusion)
    assert "over 4 and 3 pretraining seeds." in found.conclusion.claim
    assert "these labelled chips (2 draws, the same for every row)." in found.conclusion.scope
    assert "(t-test over 4 and 3 pretraining seeds)" in comparison_text(
        [found], "A", "B", "accuracy"
    )


def test_pretraining_seeds_are_not_paired_by_their_number(draw):
    """A paired test would see a constant difference."""
    both = [
        s
        for start, mean in enumerate([0.60, 0.70, 0.80, 0.65, 0.75, 0.85])
        for s in scores("A", [mean + 0.01], start=start) + scores("B", [mean], start=start)
    ]
    assert one(compare(both, "A", "B", "accuracy", None, draw)).test.p > 0.5


def test_means_are_over_the_shared_evaluation_seeds(draw):
    both = scores("A", [0.8, 0.1], start=0) + scores("A", [0.82, None], start=1)
    both += scores("B", [0.7, 0.9], start=0) + scores("B", [0.71, 0.9], start=1)
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert found.effect.difference.mean == pytest.approx(0.81 - 0.705)


def test_a_column_without_draws_is_tested_over_test_chips(draw):
    """The heads hardly differ, so a test over heads would say nothing about other chips."""
    chips = {f"{m}{s}": np.arange(40) < (24 if m == "A" else 23) for m in "AB" for s in range(10)}
    both = scores("A", [0.60] * 10, shots="all") + scores("B", [0.575] * 10, shots="all")
    found = one(compare(both, "A", "B", "accuracy", Chips(chips), draw))
    assert found.unit == "chips"
    assert found.test.p > 0.05
    assert "cannot be below" not in found.conclusion.claim
    assert "these two checkpoints" in found.conclusion.scope
    assert one(compare(both, "A", "B", "accuracy", None, draw)).test is None


def test_a_column_without_draws_adds_the_test_chips_to_pretraining_seeds(draw):
    both, chips = [], {}
    for name, hits in (("A", 130), ("B", 120)):
        for start in range(3):
            key = f"{name}{start}"
            chips[key] = np.isin(np.arange(200), draw.permutation(200)[: hits + start])
            both.append(Score(
                method=name, control=False, unconfirmed=False, dataset="synthetic",
                protocol="linear", shots="all", pretrain_seed=start, seed=0, state="done",
                values={"accuracy": float(chips[key].mean())}, key=key,
            ))  # fmt: skip
    found = one(compare(both, "A", "B", "accuracy", Chips(chips), draw))
    alone = one(compare(both, "A", "B", "accuracy", None, draw))
    assert (found.unit, alone.unit) == ("pretrain_seeds+chips", "pretrain_seeds")
    gaps = sum(chips[f"A{s}"] * 1.0 - chips[f"B{s}"] for s in range(3)) / 3
    of_chips = gaps.var(ddof=1) / 200  # each chip its own group
    of_seeds = sum(np.var([chips[f"{m}{s}"].mean() for s in range(3)], ddof=1) / 3 for m in "AB")
    gap = found.effect.difference
    least = scipy.stats.norm.ppf(0.975) * np.sqrt(of_chips + of_seeds)
    assert least < (gap.high - gap.low) / 2 < 1.25 * least
    assert found.test.p > alone.test.p


def test_with_one_checkpoint_on_one_side_there_is_no_claim_about_methods(draw):
    both = [s for start in range(6) for s in scores("A", [0.8, 0.81], start=start)]
    both += scores("Raw", [0.5, 0.6])
    found = one(compare(both, "A", "Raw", "accuracy", None, draw))
    assert (found.unit, found.test.n, found.units) == ("seeds", 2, "2 draws of labelled chips")
    assert found.effect.difference.mean == pytest.approx((0.3 + 0.21) / 2)
    assert "holds for these checkpoints" in found.conclusion.scope


@pytest.mark.parametrize("sign", [1, -1])
def test_a_method_is_tested_over_its_pretraining_seeds_against_raw_pixels(sign, draw):
    means = np.array([0.79, 0.82, 0.80, 0.84])
    both = [s for n, m in enumerate(means) for s in scores("A", [m - 0.01, m + 0.01], start=n)]
    both += scores("Raw", [0.5, 0.6], control=True)
    rows = ("A", "Raw")[::sign]
    found = one(compare(both, *rows, "accuracy", None, draw))
    expected = scipy.stats.ttest_1samp(means, 0.55)
    interval = expected.confidence_interval()
    assert (found.unit, found.test.n) == ("pretrain_seeds", 4)
    assert found.units == "4 pretraining seeds"
    assert found.test.p == pytest.approx(expected.pvalue)
    gap = found.effect.difference
    assert sorted([sign * gap.low, sign * gap.high]) == pytest.approx(
        [interval.low - 0.55, interval.high - 0.55]
    )
    assert "checkpoint" not in str(found.conclusion)


def test_two_pretraining_seeds_give_a_difference_without_a_test(draw):
    """Welch's test of these has p = 0.003, but two seeds are too few for a place in the table."""
    both = [s for name, means in (("A", [0.80, 0.81]), ("B", [0.50, 0.52]))
            for start, mean in enumerate(means)
            for s in scores(name, [mean - 0.01, mean + 0.01], start=start)]  # fmt: skip
    found = one(compare(both, "A", "B", "accuracy", None, draw))
    assert (found.unit, found.test, found.p_holm) == ("pretrain_seeds", None, None)
    gap = found.effect.difference
    assert (gap.mean, gap.low) == (pytest.approx(0.295), None)
    for part in ("Not tested", "3 pretraining seeds", "2 and 2"):
        assert part in found.conclusion.claim
    text = comparison_text([found], "A", "B", "accuracy")
    assert "difference +29.5\n" in text
    assert "higher" not in text
    raw = [s for s in both if s.method == "A"] + scores("Raw", [0.5, 0.6], control=True)
    assert one(compare(raw, "A", "Raw", "accuracy", None, draw)).test is None


def wobbling(draw, levels, seeds, count=200):
    """Return outcomes of chips by key, and their scores: one checkpoint of each method."""
    right = {f"{m}{s}": draw.random(count) < v for m, v in levels.items() for s in range(seeds)}
    runs = {m: [float(right[f"{m}{s}"].mean()) for s in range(seeds)] for m in levels}
    return Chips(right), runs


@pytest.mark.parametrize(("shots", "unit"), [(10, "seeds+chips"), ("all", "chips")])
def test_checkpoints_are_compared_as_the_table_compares_them(shots, unit, draw):
    """Two rows, so that Holm's correction changes nothing."""
    chips, runs = wobbling(draw, {"A": 0.72, "B": 0.66}, 6)
    both = [s for m, values in runs.items() for s in scores(m, values, shots=shots)]
    found = one(compare(both, "A", "B", "accuracy", chips, draw, compares="checkpoints"))
    board = tabulate_scores(both, chips=chips, compares="checkpoints")
    (p,) = {c.p_best for c in board.cells} - {None}
    assert (found.unit, found.test.p, found.p_holm) == (unit, pytest.approx(p), pytest.approx(p))
    assert {c.unit for c in board.cells} == {unit}
    gap, least = found.effect.difference, board.cells[0].smallest_difference
    assert gap.high - gap.mean == pytest.approx(least)
    assert found.conclusion.scope.endswith("no claim about their methods.")
    drawn = "6 draws of labelled chips and " if shots == 10 else ""
    assert found.units == f"{drawn}200 test chips, near-duplicates counted once"


@pytest.mark.parametrize("seeds", [1, 4])
def test_checkpoints_that_the_table_does_not_test_are_not_tested(seeds, draw):
    chips, runs = wobbling(draw, {"A": 0.9, "B": 0.2}, seeds)
    both = [s for m, values in runs.items() for s in scores(m, values)]
    found = one(compare(both, "A", "B", "accuracy", chips, draw, compares="checkpoints"))
    assert (found.unit, found.test, found.effect.difference.low) == ("seeds+chips", None, None)
    assert "predictions, 5 draws of labelled chips and 10 groups" in found.conclusion.claim
    without = one(compare(both, "A", "B", "accuracy", None, draw, compares="checkpoints"))
    assert (without.unit, without.test) == ("seeds", None)


def test_balanced_accuracy_is_compared_over_test_chips(draw):
    """Two classes of 150 and 50 chips; the p is that of the table of checkpoints."""
    chips, runs = wobbling(draw, {"A": 0.7, "B": 0.6}, 1)
    chips = Chips(chips._right, None, np.repeat([0, 1], [150, 50]))
    both = []
    for m in runs:
        right = chips._right[f"{m}0"]
        value = (right[:150].mean() + right[150:].mean()) / 2
        both += [
            replace(scores(m, [0.5], shots="all")[0], values={"balanced_accuracy": float(value)})
        ]
    found = one(compare(both, "A", "B", "balanced_accuracy", chips, draw))
    board = tabulate_scores(both, "balanced_accuracy", chips=chips, compares="checkpoints")
    (p,) = {c.p_best for c in board.cells} - {None}
    assert (found.unit, found.test.p) == ("chips", pytest.approx(p))


def test_a_narrowed_view_says_over_how_many_columns_of_the_grid_holm_corrects(draw):
    a, b = np.linspace(0.80, 0.82, 8), np.linspace(0.70, 0.715, 8)
    both = [s for shots in (1, 2) for m, v in (("A", a), ("B", b))
            for s in scores(m, v, shots=shots)]  # fmt: skip
    found = compare(both, "A", "B", "accuracy", None, draw, grid_columns=5)
    assert {(one.family, one.grid_columns) for one in found} == {(2, 5)}
    assert "after Holm's correction over 2 of 5 columns of the grid" in found[0].conclusion.claim
    text = comparison_text(found, "A", "B", "accuracy")
    assert "2 of 5 shared columns are shown" in text
    single = one(compare(both[:16], "A", "B", "accuracy", None, draw, grid_columns=5))
    assert "after Holm's correction over 1 of 5 columns of the grid" in single.conclusion.claim
    whole = compare(both, "A", "B", "accuracy", None, draw)
    assert "Part of the grid" not in comparison_text(whole, "A", "B", "accuracy")


@pytest.mark.parametrize("repetitions", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_test_over_pretraining_seeds_holds_its_level(repetitions):
    """Two equal methods with a spread of 3 points; a test over draws rejects in most cases."""
    draw, rejected, by_draws = np.random.default_rng(0), 0, 0
    for _ in range(repetitions):
        both = [
            s for name in "AB" for start in range(3)
            for s in scores(name, draw.normal(0.5 + draw.normal(0, 0.03), 0.005, 6), start=start)
        ]  # fmt: skip
        rejected += one(compare(both, "A", "B", "accuracy", None, draw)).test.p <= 0.05
        single = [s for s in both if s.pretrain_seed == 0]
        by_draws += one(compare(single, "A", "B", "accuracy", None, draw)).test.p <= 0.05
    assert rejected / repetitions <= scipy.stats.binom.isf(3e-5, repetitions, 0.05) / repetitions
    assert by_draws / repetitions > 0.5  # one checkpoint of each is not a test of methods


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [("A", "A", "itself"), ("A", "C", "Rows: A; B"), ("A", "B", "share no column")],
)
def test_wrong_requests_are_refused(first, second, says, draw):
    both = scores("A", [0.5]) + scores("B", [0.5], shots=20)
    with pytest.raises(LeaderboardError, match=says):
        compare(both, first, second, "accuracy", None, draw)


def test_the_text_has_each_limit_once_and_with_notes_in_every_column(draw):
    both = [s for k in (5, 10) for start in range(3) for m, v in (("A", 0.8), ("B", 0.7))
            for s in scores(m, [v + start / 99], shots=k, start=start)]  # fmt: skip
    found = compare(both, "A", "B", "accuracy", None, draw)
    notes = [Note("Data", "Four chips.", "few chips")]
    short, full = (
        comparison_text(found, "A", "B", "accuracy", notes, full=full) for full in (False, True)
    )
    scope = found[0].conclusion.scope
    assert (short.count(scope), full.count(scope)) == (1, 2)
    assert ("few chips" in short, "Four chips." in short, "Four chips." in full) == (
        True, False, True)  # fmt: skip
    chips = scores("A", [0.8], shots="all") + scores("B", [0.7], shots="all")
    mixed = compare(both + chips, "A", "B", "accuracy", None, draw)
    assert f"synthetic/linear/5, synthetic/linear/10: {scope}" in comparison_text(
        mixed, "A", "B", "accuracy"
    )
