"""Tables show what is there, what is missing, and mix nothing."""

import csv
import io
import json

import numpy as np
import pytest
import scipy.stats

from sarbench.results.leaderboard import LeaderboardError, Score, tabulate_scores
from sarbench.results.render import format_cell, render


def score(method, value, seed=0, *, state="done", control=False, shots=10, start=0, version="1"):
    return Score(
        method=method, control=control, unconfirmed=False, dataset="synthetic", protocol="linear",
        shots=shots, pretrain_seed=start, seed=seed, state=state,
        values={} if value is None else {"accuracy": value},
        versions={"protocol_version": version},
    )  # fmt: skip


def test_a_cell_is_the_mean_with_scipys_student_interval():
    values = [0.71, 0.74, 0.69, 0.80]
    board = tabulate_scores([score("A", v, i) for i, v in enumerate(values)])
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values)
    )
    (cell,) = board.cells
    assert (cell.mean, cell.n, cell.expected) == (pytest.approx(np.mean(values)), 4, 4)
    assert (cell.low, cell.high) == (pytest.approx(low), pytest.approx(high))
    assert format_cell(cell) == f"73.5 ± {50 * (high - low):.1f}"


def test_one_run_has_no_interval():
    (cell,) = tabulate_scores([score("A", 0.5)]).cells
    assert (cell.n, cell.low, cell.high) == (1, None, None)
    assert format_cell(cell) == "50.0"


def test_with_several_pretraining_seeds_the_interval_is_over_those():
    scores = [
        score("A", v, s, start=p)
        for p, s, v in [(0, 0, 0.4), (0, 1, 0.6), (1, 0, 0.7), (1, 1, 0.9)]
    ]
    (cell,) = tabulate_scores(scores).cells
    low, _ = scipy.stats.t.interval(0.95, 1, 0.65, scipy.stats.sem([0.5, 0.8]))
    assert cell.n == 4
    assert (cell.mean, cell.low) == (pytest.approx(0.65), pytest.approx(low))


def test_missing_and_failed_runs_are_shown_and_not_averaged_away():
    board = tabulate_scores([
        score("A", 0.5, 0), score("A", None, 1, state="failed"), score("A", None, 2, state="new"),
        score("B", None, 0, state="failed"), score("C", None, 0, state="new"),
    ])  # fmt: skip
    column = board.columns[0]
    assert format_cell(board.cell("A", column)) == "50.0 (1/3, 1 failed)"
    assert format_cell(board.cell("B", column)) == "failed"
    assert format_cell(board.cell("C", column)) == "missing"
    assert format_cell(board.cell("D", column)) == "n/a"


def test_methods_stand_by_rank_and_controls_after_them():
    scores = [score("low", 0.2), score("high", 0.9), score("control", 0.95, control=True)]
    assert tabulate_scores(scores).rows == ["high", "low", "control"]


def test_an_incomplete_row_is_ranked_last():
    scores = [score("whole", 0.5, 0), score("whole", 0.5, 1), score("part", 0.9, 0)]
    scores.append(score("part", None, 1, state="failed"))
    assert tabulate_scores(scores).rows == ["whole", "part"]


def test_mixed_versions_in_a_column_are_refused_and_named():
    scores = [score("A", 0.5, version="1"), score("B", 0.6, version="2")]
    with pytest.raises(LeaderboardError, match="protocol_version is 1 for A and 2 for B"):
        tabulate_scores(scores)


@pytest.mark.parametrize("metric", ["accuracy ", "auc"])
def test_an_unknown_metric_is_refused_with_the_allowed_ones(metric):
    with pytest.raises(LeaderboardError, match="balanced_accuracy"):
        tabulate_scores([score("A", 0.5)], metric)


def test_nothing_to_show_is_said():
    with pytest.raises(LeaderboardError, match="filters"):
        tabulate_scores([])


def test_the_formats_hold_the_same_numbers():
    board = tabulate_scores([score("A", 0.25, 0), score("A", 0.75, 1), score("B", 0.5)])
    cells = json.loads(render(board, "json"))
    assert {"method", "dataset", "protocol", "shots", "metric", "mean", "low", "high", "n",
            "expected", "failed"} <= cells[0].keys()  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    assert [float(row["mean"]) for row in rows] == [cell["mean"] for cell in cells]
    for style in ("text", "markdown"):
        text = render(board, style)
        assert "50.0" in text
        assert "Student" in text
    with pytest.raises(ValueError, match="markdown"):
        render(board, "html5")
