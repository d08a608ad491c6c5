"""Places, ranks and intervals, with their units and the limits of the claims."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_scores import DRAWN, WHOLE, Chips, cell_scores, said, score

from sarbench.bench.reporting.figures import _ranks
from sarbench.results.cells import Outcome
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.places import place_methods
from sarbench.results.scores import Column
from sarbench.results.statistics.intervals import Variance, add
from sarbench.results.statistics.tukey import range_p, range_quantile, spreads
from sarbench.results.tables.caption import notes
from sarbench.results.tables.render import render
from sarbench.results.tables.sheets import format_cell


def test_one_checkpoint_gets_no_place_and_no_rank_and_the_notes_say_why():
    """The scores are far apart over ten draws of labelled chips."""
    scores = [score(m, v + i / 999, seed=i) for m, v in (("A", 0.9), ("B", 0.1)) for i in range(10)]
    board = tabulate_scores(scores)
    assert {(c.place, c.p_best, c.smallest_difference) for c in board.cells} == {(None,) * 3}
    assert {c.unit for c in board.cells} == {"seeds"}
    assert board.mean_rank == {}
    assert board.rows == ["A", "B"]
    text = said(board)
    assert "one checkpoint does not represent its method" in text
    assert "holds for one checkpoint and these test chips" in text
    assert 'compare = "checkpoints"' in text


@pytest.mark.parametrize(("starts", "place"), [(2, None), (3, 1)])
def test_places_begin_at_three_pretraining_seeds(starts, place):
    levels = {"A": 0.9, "B": 0.5, "C": 0.5}
    wobble = np.array([0.01, -0.01, 0.0])[:starts]
    scores = [s for m, v in levels.items() for s in cell_scores(m, v + wobble)]
    board = tabulate_scores(scores)
    assert board.cell("A", DRAWN).place == place
    assert board.cell("B", DRAWN).place == (place and 2)
    assert bool(board.mean_rank) == bool(place)
    assert {(c.unit, c.pretrain_seeds) for c in board.cells} == {("pretrain_seeds", starts)}
    assert all(c.smallest_p == (0.0 if place and c.method != "A" else None) for c in board.cells)


def test_equal_methods_whose_checkpoints_differ_share_the_place():
    """A test over seeds of one checkpoint separates these two methods."""
    scores = [*cell_scores("A", [0.360, 0.436, 0.374]), *cell_scores("B", [0.416, 0.39, 0.41])]
    assert {c.place for c in tabulate_scores(scores).cells} == {1}


def test_with_equal_spreads_the_test_is_scipys_tukey():
    """With equal spreads the own variance is never larger than the pooled one."""
    draw = np.random.default_rng(2)
    values = draw.normal(0, 1, (4, 3))
    values = (values - values.mean(1, keepdims=True)) / values.std(1, ddof=1, keepdims=True)
    values = 0.5 + 0.01 * values + np.array([0.05, 0.03, 0.01, 0.0])[:, None]
    ours = place_methods({str(i): v for i, v in enumerate(values)}, None)
    theirs = scipy.stats.tukey_hsd(*values)
    for row in (1, 2, 3):
        assert ours[str(row)].p_best == pytest.approx(theirs.pvalue[0, row], abs=1e-5)
        half = theirs.statistic[0, row] - theirs.confidence_interval(0.95).low[0, row]
        assert ours[str(row)].smallest_difference == pytest.approx(half, rel=1e-4)


def test_a_method_with_a_large_spread_keeps_it():
    """Variances 1, 1, 1, 9 have the pooled value 3; 9 is kept, but is not more than 3 times 3."""
    base = np.array([-1.0, 0.0, 1.0])
    found = spreads([base, base, base, 3 * base])
    assert [part.value for part, _ in found] == pytest.approx([1.0, 1.0, 1.0, 3.0])
    assert {(part.df, wide) for part, wide in found} == {(8.0, False)}
    *_, (part, wide) = spreads([base] * 9 + [8 * base])  # 64 of a pooled 7.3
    assert (part.value, part.df, wide) == (pytest.approx(64 / 3), 2.0, True)


@pytest.mark.parametrize(("methods", "df"), [(2, 4.0), (4, 8.0), (10, 20.0), (7, 3.7), (30, 60.0)])
def test_the_studentized_range_is_scipys(methods, df):
    q = np.array([0.5, 2.0, 3.5, 5.0, 9.0])
    known = scipy.stats.studentized_range.sf(q, methods, df)
    assert range_p(q, methods, np.full(5, df)) == pytest.approx(known, abs=2e-6)
    quantile = range_quantile(methods, np.array([df]))
    assert scipy.stats.studentized_range.sf(quantile[0], methods, df) == pytest.approx(
        0.05, abs=2e-5
    )


def test_independent_variances_add_with_satterthwaites_degrees_of_freedom():
    assert add(Variance(1.0, 2.0), Variance(1.0, 2.0)) == Variance(2.0, 4.0)
    assert add(Variance(3.0, 9.0), Variance(1.0, 4.0)) == Variance(4.0, 16 / (1 + 0.25))
    assert add(Variance(0.0, 2.0), Variance(0.0, 50.0)) == Variance(0.0, 2.0)


def test_the_interval_over_chips_is_that_of_groups_by_hand():
    """Six pairs and six single chips; sums 2, 1 and 0 of the pairs, 1 and 0 of the others.

    Mean 10/18; residuals of the sums 16/18, -2/18, -20/18, 8/18, -10/18; one more group that
    differs throughout adds the mean square of the sizes, 30/12.
    """
    outcomes = np.array([1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0], bool)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11])

    class Pairs(Chips):
        def right(self, score):
            return outcomes

    one = score("A", outcomes.mean(), column=WHOLE)
    (cell,) = tabulate_scores([one], chips=Pairs(groups=groups)).cells
    squares = (np.array([16, 16, -2, -2, -20, -20, 8, 8, 8, 8, -10, -10]) / 18) ** 2
    small = 1 / (1 - 30 / 18**2)
    variance = small * squares.sum() / 18**2 + 30 / 12 / 18**2
    df = squares.sum() ** 2 / (squares**2).sum() - 1
    half = scipy.stats.t.ppf(0.975, df) * np.sqrt(variance)
    assert (cell.mean - cell.low, cell.high - cell.mean) == pytest.approx((half, half))


def test_all_labels_of_one_checkpoint_are_over_test_chips_not_heads():
    """Ten equal heads: the interval over heads would be 0, over 200 chips it is 6.5 points."""
    scores = [score("A", 0.7, seed=i, column=WHOLE) for i in range(10)]
    (cell,) = tabulate_scores(scores, chips=Chips()).cells
    assert cell.unit == "chips"
    # 140 right and 60 wrong chips: squares 0.09 and 0.49
    df = (140 * 0.09 + 60 * 0.49) ** 2 / (140 * 0.09**2 + 60 * 0.49**2) - 1
    half = scipy.stats.t.ppf(0.975, df) * np.sqrt(0.7 * 0.3 / 199 + 1 / 200**2)
    assert cell.high - cell.mean == pytest.approx(half)
    text = said(tabulate_scores(scores, chips=Chips()))
    assert "over test chips" in text
    assert "labelled chips" not in text


def test_near_duplicates_count_once():
    scores = [score("A", 0.7, column=WHOLE)]
    groups = np.repeat(np.arange(20), 10)
    (cell,) = tabulate_scores(scores, chips=Chips(groups=groups)).cells
    (alone,) = tabulate_scores(scores, chips=Chips()).cells
    assert (cell.high - cell.low) > 3 * (alone.high - alone.low)


@pytest.mark.parametrize(("spread", "wider"), [(0.01, "both"), (0.05, "seeds")])
def test_all_labels_of_several_pretrainings_are_over_both(spread, wider):
    """By hand; never narrower than Student's interval over the three seeds alone."""
    scores = cell_scores("A", [0.7 - spread, 0.7, 0.7 + spread], WHOLE)
    (cell,) = tabulate_scores(scores, chips=Chips()).cells
    assert cell.unit == "pretrain_seeds+chips"
    shares = np.mean([Chips().right(s) for s in scores], axis=0)
    chips, starts = shares.var(ddof=1) / 200 + 1 / 200**2, spread**2 / 3
    squares = (shares - shares.mean()) ** 2
    df_chips = squares.sum() ** 2 / (squares**2).sum() - 1
    df = (chips + starts) ** 2 / (chips**2 / df_chips + starts**2 / 2)
    halves = {
        "both": scipy.stats.t.ppf(0.975, df) * np.sqrt(chips + starts),
        "seeds": scipy.stats.t.ppf(0.975, 2) * np.sqrt(starts),
    }
    assert cell.high - cell.mean == pytest.approx(halves[wider])
    assert halves[wider] == max(halves.values())


def test_chips_never_make_a_place_more_certain():
    """Scores of two methods 3 standard errors apart, and chips that hardly vary."""
    values = {"A": np.array([0.70, 0.72, 0.74]), "B": np.array([0.660, 0.665, 0.67])}

    def placed(count):
        right = {row: np.arange(count) < part.mean() * count for row, part in values.items()}
        outcomes = {row: Outcome(of * 1.0, np.empty((0, count)), None) for row, of in right.items()}
        return place_methods(values, outcomes)["B"]

    alone, many, few = place_methods(values, None)["B"], placed(5000), placed(100)
    assert many == alone
    assert few.p_best > alone.p_best
    assert few.smallest_difference > alone.smallest_difference


def test_without_predictions_a_column_with_all_labels_has_no_interval_over_heads():
    (one,) = tabulate_scores([score("A", 0.7, seed=i, column=WHOLE) for i in range(5)]).cells
    assert (one.unit, one.low) == ("chips", None)
    (three,) = tabulate_scores(cell_scores("A", [0.6, 0.7, 0.8], WHOLE)).cells
    assert three.unit == "pretrain_seeds"
    assert three.high - three.mean == pytest.approx(scipy.stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3))


def test_the_test_of_all_labels_counts_chips_too():
    """A difference of 3 points with nearly equal pretrainings: 40 chips are too few to show it."""
    scores = [s for m, v in (("A", 0.60), ("B", 0.57)) for s in cell_scores(m, [v, v, v], WHOLE)]
    scores = [replace(s, values={"accuracy": s.values["accuracy"] + s.pretrain_seed / 1e5})
              for s in scores]  # fmt: skip
    assert [c.place for c in tabulate_scores(scores).cells] == [1, 2]
    spread_out = tabulate_scores(scores, chips=Chips(40, shift=1))
    assert [c.place for c in spread_out.cells] == [1, 1]
    assert spread_out.cells[0].smallest_difference > 0.1


def test_mean_ranks_are_over_the_columns_that_every_ranked_row_completes():
    """A is complete in the first column only, so the mean ranks are over that column."""
    other = Column("synthetic", "knn", 10)
    starts = np.array([-0.01, 0.0, 0.01])
    scores = [
        *cell_scores("A", 0.40 + starts), *cell_scores("B", 0.60 + starts),
        *cell_scores("C", 0.30 + starts),
        *[replace(s, state="failed", values={}) for s in cell_scores("A", starts, other)],
        *cell_scores("B", 0.20 + starts, other), *cell_scores("C", 0.50 + starts, other),
    ]  # fmt: skip
    board = tabulate_scores(scores)
    assert board.rank_columns == [DRAWN]
    assert board.mean_rank == {"A": 2.0, "B": 1.0, "C": 3.0}
    assert board.rows == ["B", "A", "C"]
    assert "mean rank is over 1 of 2 columns" in said(board)


def test_without_a_shared_column_there_is_no_mean_rank():
    """A and B are complete in different columns, so no mean rank compares them."""
    other = Column("synthetic", "knn", 10)
    starts = np.array([-0.01, 0.0, 0.01])
    scores = [
        *cell_scores("A", 0.40 + starts),
        *[replace(s, state="failed", values={}) for s in cell_scores("B", starts)],
        *[replace(s, state="failed", values={}) for s in cell_scores("A", starts, other)],
        *cell_scores("B", 0.60 + starts, other),
    ]
    board = tabulate_scores(scores)
    assert board.mean_rank == {}
    assert board.rows == ["B", "A"]
    assert "No mean rank" in said(board)


def test_a_row_without_any_complete_cell_does_not_hide_the_ranks():
    scores = [*cell_scores("A", [0.5, 0.6, 0.7]), *cell_scores("B", [0.4, 0.5, 0.6])]
    scores += [replace(s, state="failed", values={}) for s in cell_scores("C", [0, 0, 0])]
    assert tabulate_scores(scores).mean_rank == {"A": 1.0, "B": 2.0}


def test_a_control_that_is_not_pretrained_has_its_own_unit_and_the_notes_say_so():
    scores = [*cell_scores("A", [0.5, 0.6, 0.7]), *cell_scores("B", [0.4, 0.5, 0.6])]
    scores += [score("Raw", 0.8 + i / 99, seed=i, control=True) for i in range(2)]
    board = tabulate_scores(scores)
    assert (board.cell("Raw", DRAWN).unit, board.units[DRAWN]) == ("seeds", "pretrain_seeds")
    assert board.cell("Raw", DRAWN).place is None
    (note,) = [n.text for n in notes(board) if n.text.startswith("Raw ")]
    assert "over labelled chips" in note


def test_each_column_names_its_unit_in_its_head():
    scores = [s for c in (DRAWN, WHOLE) for m, v in (("A", 0.5), ("B", 0.6))
              for s in cell_scores(m, [v, v + 0.01, v + 0.02], c)]  # fmt: skip
    board = tabulate_scores(scores, chips=Chips())
    page = render(board, "html")
    assert '<th scope="colgroup" colspan="1">over pretraining seeds</th>' in page
    assert '<th scope="colgroup" colspan="1">over pretraining seeds and test chips</th>' in page
    assert r"over pretraining \\ seeds" in render(board, "latex", "paper")
    assert max(map(len, render(board, "text").split("Accuracy")[0].splitlines())) < 80


def test_checkpoints_are_tested_over_labelled_and_test_chips():
    draw = np.random.default_rng(0)
    right = {
        m: draw.random((10, 200)) < level for m, level in (("A", 0.8), ("B", 0.79), ("C", 0.5))
    }

    class Drawn(Chips):
        def right(self, score):
            return right[score.method][score.seed]

    scores = [score(m, float(r.mean()), seed=i, column=column) for column in (DRAWN, WHOLE)
              for m, rows in right.items() for i, r in enumerate(rows)]  # fmt: skip
    board = tabulate_scores(scores, chips=Drawn(), compares="checkpoints")
    units = {c.column: c.unit for c in board.cells}
    assert units == {DRAWN: "seeds+chips", WHOLE: "chips"}
    for column in (DRAWN, WHOLE):
        assert [board.cell(m, column).place for m in "ABC"] == [1, 1, 2]
    # all labels: the paired t-test over chips of the share of heads that are right, Holm of two
    shares = {m: rows.mean(axis=0) for m, rows in right.items()}
    p = scipy.stats.ttest_rel(shares["A"], shares["B"]).pvalue
    (found,) = (board.cell(m, WHOLE).p_best for m in "AB" if board.cell(m, WHOLE).p_best)
    assert found == pytest.approx(p, rel=0.05)  # without the added group of `two_way.py`
    assert "no claim about their methods" in said(board)
    assert "of checkpoints, not methods" in render(board, "text")
    assert "Leaderboard of checkpoints" in render(board, "html")
    assert {c["compares"] for c in json.loads(render(board, "json"))} == {"checkpoints"}


def test_checkpoints_without_stored_outcomes_are_not_tested():
    scores = [score(m, v + i / 99, seed=i) for m, v in (("A", 0.8), ("B", 0.2)) for i in range(5)]
    board = tabulate_scores(scores, compares="checkpoints")
    assert {(c.unit, c.place) for c in board.cells} == {("seeds", None)}
    assert "Not tested" in said(board)


def test_stale_runs_are_shown_as_such():
    scores = [score("A", None, seed=i, state="stale") for i in range(2)]
    board = tabulate_scores([*scores, score("B", None, state="new")])
    cell = board.cell("A", DRAWN)
    assert (cell.stale, format_cell(cell)) == (2, "stale")
    assert format_cell(board.cell("B", DRAWN)) == "missing"
    assert "sarbench plan" in said(board)


def test_a_method_that_fails_its_contract_is_marked():
    scores = [*cell_scores("A", [0.5, 0.6, 0.7], fails_contract=True, name="mine")]
    board = tabulate_scores(scores)
    assert board.cells[0].fails_contract
    assert "A ‡" in said(board)
    assert "fails its contract (`sarbench methods check mine`)" in render(board, "text")
    assert "A $^{\\ddagger}$" in render(board, "latex")


@pytest.mark.parametrize(("starts", "drawn"), [(1, 0), (3, 1)])
def test_critical_differences_are_drawn_of_ranked_methods_only(starts, drawn):
    columns = [("synthetic", "linear", shots) for shots in (5, 10, 20, 40, 80)]
    wobble = np.array([0.01, -0.01, 0.0])[:starts]
    scores = [s for c in columns for m, v in (("A", 0.9), ("B", 0.5), ("C", 0.4))
              for s in cell_scores(m, v + wobble, c)]  # fmt: skip
    figures, skipped = _ranks(tabulate_scores(scores))
    assert len(figures) == drawn
    assert drawn or "3 pretraining seeds or more" in skipped[0]
