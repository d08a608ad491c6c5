"""The gain of a row over the untrained encoder of the same architecture."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_scores import DRAWN, WHOLE, Chips, cell_scores, said, score

from sarbench.results.gain import gains_of
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.page.html_page import Report, report_page
from sarbench.results.scores import Column, Score
from sarbench.results.tables.render import render

CONTROLS = {"MAE": "Random", "LoMaR": "Random (relative)"}


def trained(method, starts, column=DRAWN):
    return cell_scores(method, starts, column, encoder="vit_nano")


def untrained(method, starts, column=DRAWN):
    return cell_scores(method, starts, column, encoder="vit_nano", control=True)


def board_of(scores, controls=CONTROLS, chips=None, compares="methods"):
    rng = np.random.default_rng(0)
    made = tabulate_scores(scores, chips=chips, compares=compares)
    gains = gains_of(scores, controls, "accuracy", chips, rng, compares)
    return replace(made, gains=gains, above_untrained=gains.above())


def gain(board, row, column=DRAWN):
    (found,) = [
        one for one in board.to_json()
        if (one["method"], one["protocol"], one["shots"]) == (row, *column[1:3])
    ]  # fmt: skip
    return found["gain"], found["gain_low"], found["gain_high"], found["gain_over"]


def test_the_gain_of_a_method_has_scipys_welch_interval():
    levels, floor = [0.62, 0.65, 0.70], [0.41, 0.40, 0.43]
    board = board_of(trained("MAE", levels) + untrained("Random", floor))
    expected = scipy.stats.ttest_ind(levels, floor, equal_var=False).confidence_interval(0.95)
    mean, low, high, control = gain(board, "MAE")
    assert mean == pytest.approx(np.mean(levels) - np.mean(floor))
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert control == "Random"
    assert gain(board, "Random") == (None, None, None, None)


def test_the_gain_of_one_checkpoint_is_paired_over_draws():
    ours, theirs = [0.61, 0.70, 0.66, 0.72], [0.40, 0.52, 0.41, 0.55]
    scores: list[Score] = []
    for seed, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        scores.append(score("MAE", mine, seed=seed, encoder="vit_nano"))
        scores.append(score("Random", other, seed=seed, encoder="vit_nano", control=True))
    expected = scipy.stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    mean, low, high, _ = gain(board_of(scores), "MAE")
    assert mean == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_each_row_has_its_own_control():
    board = board_of([
        *trained("MAE", [0.6] * 3), *trained("LoMaR", [0.5] * 3),
        *untrained("Random", [0.45] * 3), *untrained("Random (relative)", [0.2] * 3),
    ])  # fmt: skip
    assert gain(board, "MAE")[0] == pytest.approx(0.15)
    assert gain(board, "LoMaR")[0] == pytest.approx(0.3)
    assert "MAE over Random; LoMaR over Random (relative)." in said(board)


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "html"])
def test_every_format_shows_the_gain_in_points(style):
    scores = trained("MAE", [0.62, 0.65, 0.68]) + untrained("Random", [0.4, 0.41, 0.42])
    text = render(board_of(scores), style)
    assert "(+24.0)" in text
    assert text.count("(+") == 2  # the cell and the caption
    assert "gain over the untrained encoder of the same architecture, in points" in text
    assert "(+" not in render(tabulate_scores(scores), style)


def test_csv_and_json_have_the_gain_only_if_it_is_shown():
    scores = trained("MAE", [0.62, 0.65, 0.68]) + untrained("Random", [0.4, 0.41, 0.42])
    (mae, _) = csv.DictReader(io.StringIO(render(board_of(scores), "csv")))
    assert float(mae["gain"]) == pytest.approx(0.24)
    assert json.loads(render(board_of(scores), "json"))[0]["gain"] == pytest.approx(0.24)
    assert "gain" not in json.loads(render(tabulate_scores(scores), "json"))[0]


def test_a_loss_is_shown_and_a_gain_near_zero_has_no_minus_sign():
    below = board_of(trained("MAE", [0.3, 0.31, 0.32]) + untrained("Random", [0.4, 0.41, 0.42]))
    assert "31.0 ± 2.5 (-10.0)" in said(below)
    equal = board_of(trained("MAE", [0.3999] * 3) + untrained("Random", [0.4] * 3))
    assert "(+0.0)" in said(equal)


def test_a_row_without_a_control_has_no_gain_and_is_flagged():
    scores = trained("MAE", [0.6, 0.61, 0.62]) + trained("LoMaR", [0.5, 0.51, 0.52])
    board = board_of(scores + untrained("Random", [0.4] * 3), {"MAE": "Random"})
    assert gain(board, "LoMaR") == (None, None, None, None)
    assert "No gain for LoMaR: no untrained control is shown." in render(board, "text")
    alone = board_of(scores, {})
    assert "No gain for MAE, LoMaR:" in said(alone)
    assert "(+d)" not in said(alone)


def test_a_control_without_a_run_in_a_column_is_named():
    knn = ("synthetic", "knn", 10)
    missing = [replace(one, state="new", values={}) for one in untrained("Random", [0.4], knn)]
    scores = [*trained("MAE", [0.6] * 3), *untrained("Random", [0.4] * 3),
              *trained("MAE", [0.6] * 3, knn), *missing]  # fmt: skip
    board = board_of(scores)
    assert gain(board, "MAE", knn)[0] is None
    assert gain(board, "MAE")[0] == pytest.approx(0.2)
    assert "No gain for MAE in synthetic/knn/10: the row and its control share" in said(board)


def test_gains_that_may_be_zero_are_listed():
    clear = trained("LoMaR", [0.6, 0.61, 0.62]) + untrained("Random (relative)", [0.1, 0.1, 0.11])
    near = trained("MAE", [0.4, 0.5, 0.6]) + untrained("Random", [0.4, 0.41, 0.42])
    text = said(board_of(clear + near))
    assert "interval of the gain contains 0: MAE in synthetic/linear/10." in text
    assert "contains 0: nowhere." in said(board_of(clear))


KNN = Column("synthetic", "knn", 10)


def two_columns(*, knn=(0.40, 0.44, 0.48)):
    """Return scores of two methods that gain in the first column and not in the second."""
    return [
        *trained("MAE", [0.6, 0.61, 0.62]), *trained("LoMaR", [0.42, 0.40, 0.44]),
        *untrained("Random", [0.40, 0.41, 0.42]), *untrained("Random (relative)", [0.41] * 3),
        *trained("MAE", knn, KNN), *trained("LoMaR", [0.30, 0.31, 0.32], KNN),
        *untrained("Random", [0.40, 0.41, 0.42], KNN),
        *untrained("Random (relative)", [0.40, 0.41, 0.42], KNN),
    ]  # fmt: skip


@pytest.mark.parametrize("shown", [True, False])
def test_columns_in_which_no_method_gains_are_named_with_and_without_gains(shown):
    """LoMaR is below its control in the second column, and MAE's interval contains 0."""
    board = board_of(two_columns())
    board = board if shown else replace(board, gains=None)
    flag = (
        "No method is measurably better than its untrained encoder in 1 of 2 columns: "
        "synthetic/knn/10."
    )
    for style in ("text", "markdown", "html"):
        assert flag in render(board, style).replace("\\", "")
    assert "Places there order rows that show no gain from pretraining." in said(board)
    assert ("(+d)" in said(board)) == shown
    found = {(c["method"], c["protocol"]): c["above_untrained"] for c in board.to_json()}
    assert found == {
        ("MAE", "linear"): True, ("LoMaR", "linear"): False,
        ("Random", "linear"): None, ("Random (relative)", "linear"): None,
        ("MAE", "knn"): False, ("LoMaR", "knn"): False,
        ("Random", "knn"): None, ("Random (relative)", "knn"): None,
    }  # fmt: skip


def test_one_method_that_gains_is_enough_and_gains_without_an_interval_do_not_count():
    assert "measurably" not in said(board_of(two_columns(knn=[0.6, 0.61, 0.62])))
    one = [replace(s, state="new", values={}) if (s.protocol, s.pretrain_seed) == ("knn", 2) else s
           for s in two_columns()]  # fmt: skip
    assert gain(board_of(one), "MAE", KNN)[:2] == (pytest.approx(0.015), None)
    assert "measurably" not in said(board_of(one))
    low = [s for s in one if s.method != "MAE"]
    assert "untrained encoder in 1 of 1 tested column: synthetic/linear/10." in said(board_of(low))


def test_many_columns_without_a_gain_are_counted_in_the_caption_and_named_in_the_notes():
    columns = [Column("synthetic", "knn", shots) for shots in (1, 2, 5, 10, 20, 50)]
    scores = [one for column in columns for one in
              (*trained("MAE", [0.4, 0.41, 0.42], column),
               *untrained("Random", [0.4, 0.41, 0.42], column))]  # fmt: skip
    board = board_of(scores)
    short = render(board, "text")
    assert "in 6 of 6 columns: synthetic/knn/1, synthetic/knn/2, synthetic/knn/5, " in short
    assert "synthetic/knn/10 and 2 more." in short
    assert "synthetic/knn/20, synthetic/knn/50." in said(board)
    assert "Places there" not in said(board)  # one method has no place


def test_a_page_has_the_gain_of_a_cell_and_its_interval():
    board = board_of(two_columns())
    report = Report("t", [], [board], [], [], [], [])
    text = report_page(report)
    assert "data-gains checked> gain (+d)" in text
    assert '<span class="gain"> (+20.0)</span>' in text
    interval = board.gains.differences["MAE", DRAWN]
    limits = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    assert f"; gain {limits} over Random" in text
    assert "gain (+d)" not in report_page(replace(report, boards=[replace(board, gains=None)]))


def test_with_all_labels_the_interval_covers_test_chips_too():
    scores = trained("MAE", [0.62, 0.65, 0.68], WHOLE)
    scores += untrained("Random", [0.40, 0.41, 0.42], WHOLE)
    seeds, chips = board_of(scores), board_of(scores, chips=Chips(shift=3))
    width = [gain(b, "MAE", WHOLE)[2] - gain(b, "MAE", WHOLE)[1] for b in (seeds, chips)]
    assert gain(chips, "MAE", WHOLE)[0] == pytest.approx(0.24)
    assert width[1] > width[0]
    # one checkpoint has an interval over test chips only
    one = [s for s in scores if s.pretrain_seed == 0]
    assert gain(board_of(one), "MAE", WHOLE)[1] is None
    assert "No gain has a 95% interval." in said(board_of(one))
    assert gain(board_of(one, chips=Chips(shift=3)), "MAE", WHOLE)[1] is not None
