"""Tables show finished, missing and failed runs, and refuse mixtures."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_scores import score as made_score

from sarbench.results.leaderboard import LeaderboardError, tabulate_scores
from sarbench.results.metric import UnknownMetricError
from sarbench.results.tables.render import render
from sarbench.results.tables.sheets import format_cell


def score(method, value, seed=0, *, version="1", **more):
    return made_score(method, value, seed=seed, versions={"protocol_version": version}, **more)


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


def test_missing_and_failed_runs_are_shown():
    board = tabulate_scores([
        score("A", 0.5, 0), score("A", None, 1, state="failed"), score("A", None, 2, state="new"),
        score("B", None, 0, state="failed"), score("C", None, 0, state="new"),
    ])  # fmt: skip
    column = board.columns[0]
    assert format_cell(board.cell("A", column)) == "50.0 (1/3, 1 failed)"
    assert format_cell(board.cell("B", column)) == "failed"
    assert format_cell(board.cell("C", column)) == "missing"
    assert format_cell(board.cell("D", column)) == "n/a"


def test_methods_are_sorted_by_rank_and_controls_follow():
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


@pytest.mark.parametrize("metric", ["accuracy ", "auk"])
def test_an_unknown_metric_is_refused_with_the_allowed_ones(metric):
    with pytest.raises(UnknownMetricError, match="balanced_accuracy"):
        tabulate_scores([score("A", 0.5)], metric)


def test_an_empty_table_is_refused():
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
        assert "95% interval" in text
    with pytest.raises(ValueError, match="markdown"):
        render(board, "html5")


def test_a_repeated_run_is_refused_with_both_keys():
    twice = [replace(score("A", 0.5), key="first"), replace(score("A", 0.6), key="second")]
    with pytest.raises(LeaderboardError, match="occurs twice: first and second"):
        tabulate_scores(twice)


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.1, float("inf")])
def test_a_value_that_is_not_a_fraction_is_refused(value):
    with pytest.raises(LeaderboardError, match="not a fraction"):
        tabulate_scores([score("A", value)])


def test_two_encoders_of_one_pretraining_seed_are_refused():
    mixed = [replace(score("A", 0.5, i), weights=w) for i, w in enumerate(("one", "two"))]
    with pytest.raises(LeaderboardError, match=r"weights digest is one .* and two"):
        tabulate_scores(mixed)
    apart = [replace(score("A", 0.5, start=i), weights=w) for i, w in enumerate(("one", "two"))]
    assert tabulate_scores(apart).cells[0].n == 2


def test_labelled_chips_that_differ_between_methods_are_refused():
    mixed = [replace(score(m, 0.5), support=s) for m, s in (("A", "one"), ("B", "two"))]
    with pytest.raises(LeaderboardError, match=r"support digest is one .* and two for B"):
        tabulate_scores(mixed)


def test_every_disagreement_is_listed():
    mixed = [score("A", 0.5, version="1"), score("B", 0.6, version="2"), score("C", 2.0)]
    with pytest.raises(LeaderboardError) as caught:
        tabulate_scores(mixed)
    assert "for B" in str(caught.value)
    assert "2.0, not a fraction" in str(caught.value)


def test_one_method_alone_is_not_marked():
    board = tabulate_scores([score("A", 0.5 + i / 99, i) for i in range(9)])
    assert [cell.place for cell in board.cells] == [None]


def test_all_failed_gives_a_table_without_a_number():
    board = tabulate_scores([score(m, None, i, state="failed") for m in "AB" for i in range(3)])
    assert {format_cell(c) for c in board.cells} == {"failed"}
    for style in ("text", "markdown", "latex", "html", "csv", "json"):
        assert "failed" in render(board, style)
    assert board.mean_rank == {}
