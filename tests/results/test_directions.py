"""Tables and comparisons of metrics that are not fractions, or of which lower values are better."""

from dataclasses import replace

import numpy as np
import pytest
from made_scores import cell_scores

from sarbench.results.compare import compare, comparison_text
from sarbench.results.gain import gains_of
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.metric import BUILT_IN
from sarbench.results.scores import LeaderboardError
from sarbench.results.tables.render import render

LEVELS = {"A": [0.10, 0.11, 0.12], "B": [0.30, 0.31, 0.33], "C": [0.20, 0.21, 0.22]}


def scores_of(metric, factor=1.0, **more):
    found = []
    for row, starts in LEVELS.items():
        for one in cell_scores(row, starts, **more):
            found.append(replace(one, values={metric: factor * one.values["accuracy"]}))
    return found


def test_the_lowest_error_is_first():
    for metric, rows in (("calibration_error", "ACB"), ("nll", "ACB"), ("auc", "BCA")):
        board = tabulate_scores(scores_of(metric), metric)
        assert "".join(board.rows) == rows
        assert [board.mean_rank[row] for row in rows] == [1, 2, 3]
        places = {cell.method: cell.place for cell in board.cells}
        assert [places[row] for row in rows] == [1, 2, None]
        by_column = tabulate_scores(scores_of(metric), metric, sort="synthetic/linear/10")
        assert "".join(by_column.rows) == rows


def test_places_of_errors_are_those_of_one_minus_the_error():
    errors = scores_of("calibration_error")
    rights = [replace(s, values={"auc": 1 - s.values["calibration_error"]}) for s in errors]
    for one, other in zip(
        tabulate_scores(errors, "calibration_error").cells, tabulate_scores(rights, "auc").cells,
        strict=True,
    ):  # fmt: skip
        assert (one.place, one.p_best) == (other.place, pytest.approx(other.p_best))
        assert one.smallest_difference == pytest.approx(other.smallest_difference)


def test_a_metric_that_is_no_fraction_is_printed_plainly():
    board = tabulate_scores(scores_of("nll", 10), "nll")
    text = render(board, "text", notes=True)
    assert "1.100 ± 0.2" in text
    assert "Negative log-likelihood (lower is better): mean ± half-width" in text
    assert "percent" not in text
    assert "points" not in text
    assert "in percent (lower is better)" in render(
        tabulate_scores(scores_of("calibration_error"), "calibration_error"), "text"
    )
    with pytest.raises(LeaderboardError, match=r"auc is 1\.\d+, not a fraction"):
        tabulate_scores(scores_of("auc", 10), "auc")


def test_compare_says_which_row_is_lower():
    rng = np.random.default_rng(0)
    found = compare(scores_of("nll", 10), "A", "B", "nll", None, rng)
    text = comparison_text(found, "A", "B", "nll")
    assert "Negative log-likelihood (lower is better), A minus B" in text
    assert "1.100 and 3.133" in text
    assert "difference -2.033" in text
    assert "A is lower than B by 2.033 (95% interval" in text
    found = compare(scores_of("auc"), "A", "B", "auc", None, rng)
    assert "B is higher than A by 20.3 points" in comparison_text(found, "A", "B", "auc")


def test_a_fall_of_an_error_is_a_gain():
    scores, rng = scores_of("calibration_error"), np.random.default_rng(0)
    scores = [replace(one, encoder="vit_nano", control=one.method == "B") for one in scores]
    metric = BUILT_IN["calibration_error"]
    gains = gains_of(scores, {"A": "B", "C": "B"}, metric, None, rng, "methods")
    (column,) = {one.column for one in scores}
    found = gains.differences["A", column]
    assert found.mean == pytest.approx(0.94 / 3 - 0.11)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.mean < found.high
    board = replace(tabulate_scores(scores, metric), gains=gains)
    text = render(board, "text", notes=True)
    assert "11.0 ± 2.5 (+20.3)" in text
    assert "in points (a fall is a gain)" in text
    assert "Controls below every method" not in text


def test_limits_of_a_fraction_are_printed_inside_0_and_100_percent():
    assert BUILT_IN["accuracy"].limits(-0.2, 1.3) == "0.0 to 100.0"
    assert BUILT_IN["accuracy"].limits(0.901, 0.95) == "90.1 to 95.0"
    assert BUILT_IN["nll"].limits(-0.25, 1.5) == "-0.250 to 1.500"
