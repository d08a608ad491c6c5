"""Captions and notes of a leaderboard, mean ranks, and intervals of balanced accuracy."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_scores import DRAWN, WHOLE, Chips, cell_scores, said, score, two_way_limits

from sarbench.results.cells import NoInterval
from sarbench.results.class_metrics import class_scores
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.notes import Note
from sarbench.results.page.html_page import Report, report_page
from sarbench.results.scores import Column, column_name
from sarbench.results.statistics.two_way import two_way_mean
from sarbench.results.tables.render import render
from sarbench.results.tables.sheets import lay_out

KNN = Column("synthetic", "knn", 10)
STARTS = np.array([-0.01, 0.0, 0.01])


def three(levels, column=DRAWN, **more):
    """Return three pretraining seeds of each method."""
    return [s for m, v in levels.items() for s in cell_scores(m, v + STARTS, column, **more)]


def checkpoints(levels, draws, column=DRAWN):
    return [score(m, v, seed=i, column=column) for m, v in levels.items() for i in range(draws)]


def test_an_interval_over_pretraining_seeds_names_the_fixed_draws_of_labelled_chips():
    text = said(tabulate_scores(three({"A": 0.6, "B": 0.5})))
    assert "over pretraining seeds" in text
    assert "these labelled chips (2 draws, the same for every row)." in text
    mixed = three({"A": 0.6, "B": 0.5}) + [score("A", 0.6 + i / 99, start=i, column=KNN)
                                           for i in range(3)]  # fmt: skip
    assert "these labelled chips (1 or 2 draws, the same" in said(tabulate_scores(mixed))
    whole = three({"A": 0.6, "B": 0.5}, WHOLE)
    assert "labelled chips" not in said(tabulate_scores(whole))  # without predictions
    both = said(tabulate_scores(three({"A": 0.6}) + whole))
    assert "where any are drawn, these labelled chips (2 draws" in both


def test_a_note_explains_intervals_that_pass_the_ends_of_the_scale():
    """Three means 0.01 apart have a half-width of 0.0248 (Student's t of 2 degrees: 4.303)."""
    high, low, between = (said(tabulate_scores(three({"A": v}))) for v in (0.98, 0.02, 0.97))
    assert "Some intervals pass 0 or 100%" in high
    assert "Some intervals pass 0 or 100%" in low
    assert "pass 0 or" not in between


def test_a_mean_rank_is_over_tested_columns_only():
    """Two draws are too few for a test, so the column has no ranks."""
    levels = {"A": 0.6, "B": 0.5}
    scores = checkpoints(levels, 2) + checkpoints({"A": 0.4, "B": 0.7}, 1, WHOLE)
    board = tabulate_scores(scores, chips=Chips(), compares="checkpoints")
    assert [board.cell(m, DRAWN).place for m in "AB"] == [None, None]
    assert board.rank_columns == [WHOLE]
    assert board.mean_rank == {"A": 2.0, "B": 1.0}
    assert board.rows == ["B", "A"]
    assert "mean rank is over 1 of 2 columns" in said(board)
    alone = tabulate_scores(checkpoints(levels, 2), chips=Chips(), compares="checkpoints")
    assert (alone.mean_rank, alone.rank_columns) == ({}, [])


def test_without_a_tested_column_of_all_ranked_rows_there_is_no_mean_rank():
    scores = checkpoints({"A": 0.6, "B": 0.5}, 1, WHOLE) + checkpoints({"C": 0.9}, 2)
    board = tabulate_scores(scores, chips=Chips(), compares="checkpoints")
    assert board.mean_rank == {}
    assert "No mean rank" in said(board)


def test_a_method_that_fails_its_contract_is_not_ranked():
    """Method A has the highest mean of three."""
    scores = three({"A": 0.9}, fails_contract=True) + three({"B": 0.6, "C": 0.5})
    board = tabulate_scores(scores)
    assert board.mean_rank == {"B": 1.0, "C": 2.0}
    assert [board.cell(m, DRAWN).place for m in "ABC"] == [None, 1, 2]
    assert (board.cell("A", DRAWN).p_best, board.rows) == (None, ["B", "C", "A"])
    alone = said(tabulate_scores(three({"A": 0.9, "B": 0.8}, fails_contract=True)))
    assert "one checkpoint" not in alone


@pytest.mark.parametrize(
    ("scores", "more", "why"),
    [
        (checkpoints({"A": 0.6}, 4), {"chips": Chips(), "compares": "checkpoints"},
         NoInterval.FEW_DRAWS_FOR_CHIPS),
        (checkpoints({"A": 0.6}, 1, WHOLE), {"chips": Chips(9), "compares": "checkpoints"},
         NoInterval.FEW_GROUPS),
        (checkpoints({"A": 0.6}, 5, WHOLE), {"compares": "checkpoints"},
         NoInterval.NO_PREDICTIONS),
        (checkpoints({"A": 0.6}, 1), {}, NoInterval.FEW_DRAWS),
        ([score("A", 0.6, start=0), score("A", None, start=1, state="new")], {},
         NoInterval.FEW_PRETRAINED),
    ],
)  # fmt: skip
def test_a_missing_interval_has_its_reason(scores, more, why):
    board = tabulate_scores(scores, **more)
    (cell,) = board.cells
    assert (cell.low, cell.no_interval) == (None, why)
    assert f"No interval in {column_name(cell.column)}: {why}." in said(board)
    assert board.to_json()[0]["no_interval"] == str(why)


def test_controls_above_every_method_are_named_with_their_columns():
    scores = three({"A": 0.6, "B": 0.5}) + three({"A": 0.6, "B": 0.7}, KNN)
    for name, here, there in (("Raw", 0.65, 0.65), ("Random", 0.8, 0.9), ("Size", 0.2, 0.71)):
        scores += [score(name, here, control=True), score(name, there, column=KNN, control=True)]
    text = said(tabulate_scores(scores))
    for part in (
        "Raw in synthetic/linear/10;", "Random in synthetic/linear/10, synthetic/knn/10;",
        "Size in synthetic/knn/10.",
    ):  # fmt: skip
        assert part in text.split("Controls above every method: ")[1]
    assert "above every method" not in said(tabulate_scores(three({"A": 0.6, "B": 0.5})))


def test_mean_ranks_have_two_decimals():
    """Ranks 2, 2, 2 and 3 have the mean 2.25, which one decimal rounds to 2.2."""
    columns = [("synthetic", "linear", shots) for shots in (5, 10, 20, 40)]
    levels = [{"A": 0.9, "B": 0.6, "C": 0.3}] * 3 + [{"A": 0.9, "B": 0.3, "C": 0.6}]
    board = tabulate_scores(
        [s for c, of in zip(columns, levels, strict=True) for s in three(of, c)]
    )
    assert board.mean_rank["B"] == 2.25
    lines = [line for line in render(board, "text").splitlines() if line.startswith("B ")]
    assert lines[0].split()[-1] == "2.25"
    page = report_page(Report("", [], [board], [], [], [], []))
    assert ">2.25</td>" in page


def test_balanced_accuracy_is_a_weighted_mean_over_test_chips():
    """Two classes of 150 and 50 chips; the interval of the weighted sum is computed by hand."""
    classes, draw = np.repeat([0, 1], [150, 50]), np.random.default_rng(0)
    right = draw.random(200) < np.where(classes == 0, 0.9, 0.4)
    found = class_scores(classes, np.where(right, classes, 1 - classes), 2)
    value = found["balanced_accuracy"]

    class Known(Chips):
        def right(self, score):
            return right

    values = {"accuracy": float(right.mean()), "balanced_accuracy": value}
    one = replace(score("A", None, column=WHOLE), values=values)
    board = tabulate_scores([one], "balanced_accuracy", chips=Known(classes=classes))
    (cell,) = board.cells
    weights = np.where(classes == 0, 200 / (2 * 150), 200 / (2 * 50))
    assert cell.mean == pytest.approx((weights * right).mean())
    residuals = weights * (right - value)
    small, extra = 1 / (1 - (weights**2).sum() / 200**2), (weights**2).mean() / 200**2
    variance = small * (residuals**2).sum() / 200**2 + extra
    df = (residuals**2).sum() ** 2 / (residuals**4).sum() - 1
    half = scipy.stats.t.ppf(0.975, df) * np.sqrt(variance)
    assert (cell.unit, cell.high - cell.mean) == ("chips", pytest.approx(half))
    assert board.cells[0].low < tabulate_scores([one], chips=Known()).cells[0].low
    unknown = tabulate_scores([one], "balanced_accuracy", chips=Known()).cells[0]
    assert (unknown.low, unknown.no_interval) == (None, NoInterval.NO_PREDICTIONS)


def test_with_classes_of_equal_size_both_accuracies_have_the_same_interval_and_test():
    classes = np.repeat([0, 1, 2, 3], 50)
    scores = [
        replace(s, values=dict.fromkeys(("accuracy", "balanced_accuracy"), s.values["accuracy"]))
        for s in three({"A": 0.60, "B": 0.55}, WHOLE)
    ]
    chips = Chips(shift=1, classes=classes)
    plain, balanced = (
        tabulate_scores(scores, metric, chips=chips) for metric in ("accuracy", "balanced_accuracy")
    )
    for ours, theirs in zip(balanced.cells, plain.cells, strict=True):
        assert (ours.unit, ours.place) == ("pretrain_seeds+chips", theirs.place)
        assert (ours.low, ours.p_best) == pytest.approx((theirs.low, theirs.p_best))


def test_macro_f1_has_no_test_over_chips_and_the_notes_say_so():
    scores = [
        replace(s, values={"macro_f1": s.values["accuracy"]})
        for s in three({"A": 0.60, "B": 0.55}, WHOLE)
    ]
    board = tabulate_scores(scores, "macro_f1", chips=Chips(classes=np.repeat([0, 1], 100)))
    assert {cell.unit for cell in board.cells} == {"pretrain_seeds"}
    assert "Only accuracy and balanced accuracy have intervals and tests over test" in said(board)


def captions(board):
    (sheet,) = lay_out(board)
    return sheet.caption


def test_a_caption_has_two_lines_and_the_notes_hold_the_rest():
    board = tabulate_scores([*three({"A": 0.6, "B": 0.5}), score("Raw", 0.1, control=True)])
    numbers, marks = captions(board)
    assert "Accuracy in percent" in numbers
    assert "95% interval over 3 pretraining seeds" in numbers
    assert "first place at 5% (Tukey" in marks
    assert "*: control" in marks
    short, long = (render(board, "text", notes=notes) for notes in (False, True))
    assert "Smallest significant difference" not in short
    assert "Smallest significant difference" in long
    assert "--notes" in short
    assert "--notes" not in long


def test_a_caption_flags_what_a_reader_must_not_miss():
    scores = [
        *three({"A": 0.6}), *three({"Broken": 0.9}, fails_contract=True, name="broken"),
        score("B", None, state="failed"), score("B", None, seed=1, state="stale"),
        score("B", None, seed=2, state="new"),
    ]  # fmt: skip
    leak = Note("Data", "The pool holds 3 of its test chips, allowed by the grid.", "3 test chips")
    board = tabulate_scores(scores, notes=[leak, Note("Data", "400 training chips.")])
    text = " ".join(captions(board))
    for part in ("of 15 runs 1 failed, 1 stale, 1 missing", "check broken", "3 test chips"):
        assert part in text
    assert "400 training chips" not in text


def test_a_caption_of_one_checkpoint_says_that_nothing_is_ranked():
    board = tabulate_scores([score(m, v, seed=i) for m, v in (("A", 0.6), ("B", 0.5))
                             for i in range(5)])  # fmt: skip
    assert "not ranked: fewer than 3 pretraining seeds" in captions(board)[1].lower()
    assert "mean rank" not in render(board, "text")
    assert "mean rank" in render(tabulate_scores(three({"A": 0.6, "B": 0.5})), "text")


def test_a_caption_of_a_table_without_places_says_why():
    def marks(scores, **more):
        return captions(tabulate_scores(scores, **more))[1].lower()

    assert marks(three({"A": 0.6})) == "not ranked: only one method."
    broken = three({"A": 0.6, "B": 0.5}, fails_contract=True)
    assert marks(broken) == "not ranked: no column has two rows that can be tested."
    few = checkpoints({"A": 0.6, "B": 0.5}, 2)
    untested = marks(few, chips=Chips(), compares="checkpoints")
    assert untested == "not ranked: no column has two rows that can be tested."
    failed = [score(m, None, start=s, state="failed") for m in "AB" for s in range(3)]
    assert marks(failed) == "not ranked: no row is complete."


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "html"])
def test_every_format_has_the_caption_and_has_notes_on_request(style):
    board = tabulate_scores(three({"A": 0.6, "B": 0.5}), notes=[Note("Data", "Four chips.")])
    assert "interval over 3 pretraining seeds" in render(board, style)
    assert "Four chips." not in render(board, style)
    assert "Four chips." in render(board, style, notes=True)


@pytest.mark.parametrize("times", [1, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("recall", [(0.7, 0.7, 0.7, 0.7), (0.95, 0.8, 0.6, 0.45)])
def test_the_variance_of_balanced_accuracy_is_that_of_other_chips(recall, times):
    """Classes of 400, 150, 100 and 50 chips in pairs that are right or wrong together.

    With equal recalls the estimate is the variance over repetitions, apart from the added group.
    With unequal recalls it is larger, as for accuracy with fixed class sizes.
    """
    draw, repetitions = np.random.default_rng(0), 400 * times
    classes, groups = np.repeat(np.arange(4), [400, 150, 100, 50]), np.repeat(np.arange(350), 2)
    weights = 700 / (4 * np.array([400, 150, 100, 50])[classes])
    found = [
        two_way_mean(np.repeat(draw.random(350) < np.array(recall)[classes[::2]], 2)[None] * 1.0,
                     groups, weights)
        for _ in range(repetitions)
    ]  # fmt: skip
    truth, values = np.mean(recall), np.array([mean for mean, _ in found])
    exact = sum(
        r * (1 - r) / (size / 2) for r, size in zip(recall, (400, 150, 100, 50), strict=True)
    )
    assert values.mean() == pytest.approx(truth, abs=4 * np.sqrt(exact / 16 / repetitions))
    ratio = np.mean([variance.value for _, variance in found]) / (exact / 16)
    low, high = (1.0, 1.06) if len(set(recall)) == 1 else (1.1, 1.3)
    assert low < ratio < high
    limits = [two_way_limits(one) for one in found]
    covered = np.mean([below <= truth <= above for below, above in limits])
    assert 1 - covered <= scipy.stats.binom.isf(3e-5, repetitions, 0.05) / repetitions
