"""Columns of several conditions and swept settings side by side."""

import json
from dataclasses import replace

import pytest
from made_scores import Chips, score

from sarbench.results.leaderboard import LeaderboardError, tabulate_scores
from sarbench.results.scores import Column, column_name
from sarbench.results.tables.render import render

PLAIN = Column("mstar_soc", "knn", "all")
SHIFTED = PLAIN._replace(condition="shift:4")
SWEPT = [PLAIN._replace(settings=f"readout {name}") for name in ("patch_mean", "patch_max")]


def board_of(values: dict[Column, float], **more):
    rows = [(0.0, "A"), (-0.1, "B")]
    return tabulate_scores(
        [score(row, v + d, column=c) for c, v in values.items() for d, row in rows], **more
    )


def test_names_of_columns():
    assert column_name(PLAIN) == "mstar_soc/knn/all"
    assert column_name(SHIFTED) == "mstar_soc/knn/all/shift:4"
    assert column_name(SWEPT[1]) == "mstar_soc/knn/all/readout=patch_max"
    both = SHIFTED._replace(settings="betas 0.9/0.95, epochs 10")
    assert column_name(both) == "mstar_soc/knn/all/shift:4/betas=0.9/0.95,epochs=10"


def test_each_condition_is_a_column_with_its_own_head():
    board = board_of({PLAIN: 0.9, SHIFTED: 0.5})
    lines = [line.split() for line in render(board, "text").splitlines()]
    assert lines[4] == ["clean", "shift:4"]  # no mean rank without ranks
    assert [line for line in lines if line and line[0] == "A"] == [["A", "90.0", "50.0"]]
    assert "shift" not in render(board_of({PLAIN: 0.9}), "text")
    assert "clean" not in render(board_of({PLAIN: 0.9}), "text")


def test_swept_settings_are_heads_and_no_mixture():
    scores = [
        replace(score("A", 0.9, column=c), versions={"settings": c.settings, "data_digest": "d"})
        for c in SWEPT
    ]
    board = tabulate_scores(scores)
    assert "readout patch_mean" in " ".join(render(board, "text").split())
    assert [cell.settings for cell in board.cells] == [c.settings for c in SWEPT]
    mixed = replace(scores[0], method="B", versions={"settings": "x", "data_digest": "e"})
    with pytest.raises(LeaderboardError) as caught:
        tabulate_scores([*scores, mixed])
    assert "knn: settings is" in str(caught.value)
    assert "knn: data_digest is" in str(caught.value)


def test_a_table_is_sorted_by_a_condition_or_a_setting():
    values = {("A", PLAIN): 0.9, ("A", SHIFTED): 0.2, ("B", PLAIN): 0.8, ("B", SHIFTED): 0.5}
    scores = [score(row, value, column=column) for (row, column), value in values.items()]
    assert tabulate_scores(scores, sort="mstar_soc/knn/all").rows == ["A", "B"]
    assert tabulate_scores(scores, sort="mstar_soc/knn/all/shift:4").rows == ["B", "A"]


def test_json_and_csv_name_condition_and_settings():
    board = board_of({PLAIN: 0.9, SHIFTED: 0.5, SWEPT[0]: 0.3})
    cells = json.loads(render(board, "json"))
    found = {
        (one["condition"], one["settings"]): one["mean"] for one in cells if "A" in one["method"]
    }
    assert found == {("", ""): 0.9, ("shift:4", ""): 0.5, ("", "readout patch_mean"): 0.3}
    assert ",condition,settings" in render(board, "csv").splitlines()[0]


def test_intervals_over_test_chips_do_not_mix_conditions():
    """Both rows of a column are paired on its own predictions."""
    board = board_of({PLAIN: 0.9, SHIFTED: 0.5}, chips=Chips(), compares="checkpoints")
    half = [cell.high - cell.mean for cell in board.cells if cell.method == "A"]
    assert half[0] < half[1]  # the variance of 0.9 is smaller than that of 0.5
    assert [board.units[c] for c in (PLAIN, SHIFTED)] == ["chips", "chips"]
