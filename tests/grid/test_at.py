"""States of a training after shares of its steps, in grids."""

import pytest
from small_grids import METHODS, TEXT, grid_of, make_summary, spread

from sarbench.bench.grid.at_problems import check_states
from sarbench.bench.grid.schema import GridError
from sarbench.bench.grid.validate import validate

POOL = 'pool = ["synthetic"]\nrecipe = "quick"\nbatch = 4\nwarmup_epochs = 0.5\n'


def with_at(shares: str, pretrain: str = "") -> str:
    text = TEXT.replace("seeds = 3", f"seeds = 3\nat = {shares}")
    return text.replace("[pretrain]\n", f"[pretrain]\n{pretrain}")


def test_each_share_is_a_row_with_a_key_and_the_whole_training_keeps_its_own(tmp_path):
    summary = make_summary()
    plain, _ = spread(grid_of(tmp_path), summary)
    grid = grid_of(tmp_path, with_at("[0.1, 0.3, 1]"))
    validate(grid, METHODS)
    starts, runs = spread(grid, summary)
    assert [one.row for one in starts] == [
        "MAE, at 0.1", "MAE, at 0.3", "MAE, at 1.0", "raw pixels", "random"
    ]  # fmt: skip
    first, second, whole, *controls = (one.identity for one in starts)
    assert whole.key == plain[0].identity.key
    assert first.to_json() == whole.to_json() | {"at": 0.1}
    assert "at" not in whole.to_json()
    assert len({first.key, second.key, whole.key}) == 3
    assert [one.key for one in controls] == [one.identity.key for one in plain[1:]]
    assert {run.identity.start for run in runs} == {one.identity.key for one in starts}
    assert starts[0].without_at().row == "MAE"


def test_shares_are_states_at_each_point_of_a_sweep(tmp_path):
    starts, _ = spread(
        grid_of(tmp_path, with_at("[0.5, 1.0]", "epochs = [30, 60]\n")), make_summary()
    )
    assert [one.row for one in starts if one.method == "mae"] == [
        f"MAE, epochs {epochs}, at {at}" for epochs in (30, 60) for at in (0.5, 1.0)
    ]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ("[]", "evaluate.at has no share; give at least one"),
        ("[0.5, 0.5]", "evaluate.at has 0.5 more than once; give it once"),
        ("[0.0, 1.0]", "evaluate.at must be shares of the steps in (0, 1], got 0; for example at = "
         "[0.1, 0.3, 1.0]"),
        ("[1.5]", "evaluate.at must be shares of the steps in (0, 1], got 1.5; for example"),
        ("[-0.5]", "evaluate.at must be shares of the steps in (0, 1], got -0.5; for example"),
        ("[nan]", "evaluate.at must be shares of the steps in (0, 1], got nan; for example"),
        ("[inf]", "evaluate.at must be shares of the steps in (0, 1], got inf; for example"),
        ("0.5", "evaluate.at must be a list, got 0.5"),
        ('["half"]', "evaluate.at.0 must be a number, got 'half'"),
    ],
)  # fmt: skip
def test_impossible_shares_are_refused_in_the_plan(tmp_path, shares, expected):
    with pytest.raises(GridError) as caught:
        validate(grid_of(tmp_path, with_at(shares)), METHODS)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_grid_that_trains_nothing_has_no_states(tmp_path):
    text = with_at("[0.5]").replace('methods = ["mae"]', "methods = []")
    with pytest.raises(
        GridError, match="the grid trains no method; leave it out, or name a method"
    ):
        validate(grid_of(tmp_path, text), METHODS)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ("[0.01, 1.0]", "evaluate.at: 0.01 of the 10 steps of MAE is before its first step; give "
         "0.1 or more, or train longer"),
        ("[0.3, 0.31, 1.0]", "evaluate.at: 0.3 and 0.31 of the 10 steps of MAE are both step 3; "
         "leave one of them out, or train longer"),
        ("[0.99, 1.0]", "evaluate.at: 0.99 and 1 of the 10 steps of MAE are both step 10; leave"),
    ],
)  # fmt: skip
def test_shares_of_no_step_or_of_one_step_are_refused(tmp_path, shares, expected):
    grid = grid_of(tmp_path, with_at(shares, POOL + "epochs = 2\n"))
    starts, _ = spread(grid, make_summary())  # 20 chips: 5 batches of 4
    with pytest.raises(GridError) as caught:
        check_states(starts)
    assert expected in str(caught.value)
