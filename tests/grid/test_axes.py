"""Conditions of test chips and swept settings of protocols, in grids."""

import pytest
from small_grids import METHODS, TEXT, grid_of, make_summary, spread

from sarbench.bench.grid.schema import GridError
from sarbench.bench.grid.validate import validate
from sarbench.results.scores import Column, column_name

SHIFTS = 'conditions = ["clean", "shift:4", "shift:8"]'


def with_protocol(line: str) -> str:
    """Return the grid with only this protocol."""
    return TEXT.split("linear =")[0] + line + "\n"


def problems(tmp_path, text: str) -> list[str]:
    with pytest.raises(GridError) as caught:
        validate(grid_of(tmp_path, text), METHODS)
    return str(caught.value).splitlines()


def test_conditions_add_runs_and_move_no_key(tmp_path):
    summary = make_summary()
    clean = spread(grid_of(tmp_path), summary)[1]
    grid = grid_of(tmp_path, TEXT.replace("seeds = 3", f"seeds = 3\n{SHIFTS}"))
    validate(grid, METHODS)
    every = spread(grid, summary)[1]
    assert len({run.identity.key for run in every}) == len(every) == 3 * len(clean)
    kept = [run for run in every if not run.condition]
    assert [run.identity.key for run in kept] == [run.identity.key for run in clean]
    moved = [run for run in every if run.condition == "shift:8"]
    for run, plain in zip(moved, clean, strict=True):
        assert run.identity.to_json() == plain.identity.to_json() | {"condition": "shift:8"}
    assert Column("synthetic", "linear", 10, "shift:8") in {run.column for run in moved}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ('["shift:0"]', "evaluate.conditions: the severity of 'shift:0' is not possible; N of "
         "shift:N must be a whole number of pixels from 1: write for example shift:4"),
        ('["occlude:-0.1"]', "evaluate.conditions: the severity of 'occlude:-0.1' is not "
         "possible; F of occlude:F must be a share of the target area above 0, up to 1: write for "
         "example occlude:0.2"),
        ('["shift:04"]', "evaluate.conditions: 'shift:04' has another spelling than the allowed "
         "one; a severity is written with at most 6 digits and no more than it needs: write "
         "shift:4"),
        ('["clean", "blur:2"]', "evaluate.conditions: unknown condition 'blur:2'; allowed: clean; "
         "shift:N, N a whole number of pixels from 1; speckle:L, L a whole number of looks from 1 "
         "to 100; noise:DB, DB a ratio of signal to noise in dB above 0, up to 60; resolution:F, F "
         "a share of the bandwidth above 0 and below 1; occlude:F, F a share of the target area "
         "above 0, up to 1; gamma:G, G a power above 0, up to 10, other than 1: write one of "
         "these, for example speckle:4"),
        ('["resolution:0.01"]', "evaluate.conditions: resolution:0.01 leaves only the mean of "
         "chips with a side of 80 px; F must be above 1 / 80: use a larger F"),
        ('["shift:2", "clean", "shift:2"]',
         "evaluate.conditions has 'shift:2' more than once; give it once"),
        ("[]", "evaluate.conditions has no condition; give at least one"),
        ('["shift:80"]', "evaluate.conditions: shift:80 is impossible for chips with a side of 80 "
         "px, because the border is filled by reflection; N must be at most 79: use a smaller N"),
    ],
)  # fmt: skip
def test_impossible_conditions_are_refused_in_the_plan(tmp_path, conditions, expected):
    text = TEXT.replace("seeds = 3", f"seeds = 3\nconditions = {conditions}")
    assert problems(tmp_path, text) == [expected]


def test_conditions_may_be_for_some_data_sets_only(tmp_path):
    names = ["synthetic", "mstar_soc"]
    some = TEXT.replace(
        "seeds = 3", f"seeds = 3\n{SHIFTS}\ndatasets = {names}\ncondition_datasets = {names[1:]}"
    )
    grid = grid_of(tmp_path, some)
    runs = spread(grid, make_summary())[1]
    conditions = {name: {run.condition for run in runs if run.dataset == name} for name in names}
    assert conditions == {names[0]: {""}, names[1]: {"", "shift:4", "shift:8"}}
    for wrong, advice in (("['sar_acd']", "unknown data set of this grid 'sar_acd'"),
                          ("[]", "evaluate.condition_datasets has no data set")):  # fmt: skip
        text = some.replace(f"condition_datasets = {names[1:]}", f"condition_datasets = {wrong}")
        assert advice in problems(tmp_path, text)[0]


def test_a_shift_by_less_than_the_side_is_allowed(tmp_path):
    text = TEXT.replace("seeds = 3", 'seeds = 3\nconditions = ["shift:79"]')
    validate(grid_of(tmp_path, text), METHODS)


def test_a_list_of_a_setting_is_swept_as_columns(tmp_path):
    summary = make_summary()
    swept = with_protocol(
        'knn = { shots = ["all"], settings = { readout = ["patch_mean", "patch_max"] } }'
    )
    grid = grid_of(tmp_path, swept)
    validate(grid, METHODS)
    every = spread(grid, summary)[1]
    for readout in ("patch_mean", "patch_max"):
        alone = with_protocol(
            f'knn = {{ shots = ["all"], settings = {{ readout = "{readout}" }} }}'
        )
        single = spread(grid_of(tmp_path, alone), summary)[1]
        point = [run for run in every if run.swept == f"readout {readout}"]
        assert [r.identity.key for r in point] == [r.identity.key for r in single]
        assert {column_name(r.column) for r in point} == {f"synthetic/knn/all/readout={readout}"}
        assert {r.swept for r in single} == {""}
    assert len(every) == 2 * len(single)


def test_a_setting_that_is_a_list_is_swept_as_a_list_of_lists(tmp_path):
    summary = make_summary()
    settings = "{ betas = [[0.9, 0.95], [0.9, 0.999]], epochs = [10, 20] }"
    grid = grid_of(tmp_path, with_protocol(f"linear = {{ shots = [10], settings = {settings} }}"))
    validate(grid, METHODS)
    found = {run.swept: run.identity.settings for run in spread(grid, summary)[1]}
    assert {text: (one["betas"], one["epochs"]) for text, one in found.items()} == {
        "betas 0.9/0.95, epochs 10": ([0.9, 0.95], 10),
        "betas 0.9/0.95, epochs 20": ([0.9, 0.95], 20),
        "betas 0.9/0.999, epochs 10": ([0.9, 0.999], 10),
        "betas 0.9/0.999, epochs 20": ([0.9, 0.999], 20),
    }
    one = with_protocol("linear = { shots = [10], settings = { betas = [0.9, 0.95] } }")
    assert {run.swept for run in spread(grid_of(tmp_path, one), summary)[1]} == {""}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('knn = { shots = ["all"], settings = { readout = [] } }',
         "evaluate.protocols.knn.readout has no value; give at least one"),
        ('knn = { shots = ["all"], settings = { neighbours = [1, 3, 1] } }',
         "evaluate.protocols.knn.neighbours has 1 more than once; give it once"),
        ('knn = { shots = ["all"], settings = { neighbours = [1, "3"] } }',
         "evaluate.protocols.knn.neighbours must be a whole number, got '3'"),
        ('knn = { shots = ["all"], settings = { readout = ["patch_mean", "patch_maxx"] } }',
         "evaluate.protocols.knn: unknown readout 'patch_maxx'. Did you mean 'patch_max'?"),
        ("linear = { shots = [10], settings = { betas = [0.9, [0.9, 0.95]] } }",
         "evaluate.protocols.linear.betas must be a list like [0.9, 0.999], got 0.9"),
        ("linear = { shots = [10], settings = { epochs = [1, 40] } }",
         "evaluate.protocols.linear: warmup_epochs is 2, more than the 1 epochs"),
    ],
)  # fmt: skip
def test_every_point_of_a_sweep_is_checked_in_the_plan(tmp_path, line, expected):
    (problem,) = problems(tmp_path, with_protocol(line))
    assert problem.startswith(expected)
