"""Grid files are read strictly, and every problem is reported before anything starts."""

import pytest
from small_grids import METHODS, TEXT, grid_of, make_summary, spread

from sarbench.bench.data.packed import Summary
from sarbench.bench.grid.claim_warning import claim_warning
from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.grid.validate import validate


@pytest.fixture
def summary() -> Summary:
    return make_summary()


def test_a_grid_declares_pretrainings_and_runs(tmp_path, summary):
    grid = grid_of(tmp_path)
    validate(grid, METHODS)
    starts, planned = spread(grid, summary)
    assert [start.method for start in starts] == ["mae", "raw_pixels", "random_init"]
    per_method = 3 + 3 + 3 + 1  # linear 10, linear all, knn 10, knn all (one: it draws nothing)
    assert len(planned) == 3 * per_method
    assert len({run.identity.key for run in planned}) == len(planned)
    all_knn = [run for run in planned if run.protocol == "knn" and run.shots == "all"]
    assert {run.seed for run in all_knn} == {0}


def test_one_and_one_point_zero_have_one_key(tmp_path, summary):
    keys = []
    for rate, betas in (("1", "[0, 0.5]"), ("1.0", "[0.0, 0.5]")):
        setting = f"linear = {{shots = [10], settings = {{lr = {rate}, betas = {betas}}}}}"
        grid = grid_of(tmp_path, TEXT.replace('linear = [10, "all"]', setting))
        validate(grid, METHODS)
        keys.append([run.identity.key for run in spread(grid, summary)[1]])
    assert keys[0] == keys[1]


def test_without_prepared_data_there_are_no_keys(tmp_path):
    starts, planned = spread(grid_of(tmp_path), None)
    assert starts[0].identity is None
    assert starts[1].identity is not None  # a control needs no pool
    assert all(run.identity is None for run in planned)


def test_the_key_of_a_control_does_not_depend_on_pool_and_recipe(tmp_path, summary):
    one, _ = spread(grid_of(tmp_path), summary)
    changed = TEXT.replace('"vit_nano"', '"vit_nano"\nepochs = 7\nwarmup_epochs = 1\nbatch = 8')
    other, _ = spread(grid_of(tmp_path, changed), summary)
    assert one[0].identity.key != other[0].identity.key
    assert [s.identity.key for s in one[1:]] == [s.identity.key for s in other[1:]]


def test_lists_are_swept(tmp_path, summary):
    text = TEXT.replace(
        'encoder = "vit_nano"',
        'encoder = ["vit_nano", "vit_tiny"]\nepochs = [20, 40]',
    )
    starts, _ = spread(grid_of(tmp_path, text), summary)
    mae = [start.axes for start in starts if start.method == "mae"]
    assert mae == [
        {"encoder": "vit_nano", "epochs": 20}, {"encoder": "vit_nano", "epochs": 40},
        {"encoder": "vit_tiny", "epochs": 20}, {"encoder": "vit_tiny", "epochs": 40},
    ]  # fmt: skip
    assert len({start.identity.key for start in starts}) == len(starts)


def test_a_protocol_may_have_its_own_seeds_and_data_sets(tmp_path, summary):
    text = TEXT + 'few_shot = { shots = [10], seeds = 2, datasets = ["synthetic"] }\n'
    _, planned = spread(grid_of(tmp_path, text), summary)
    assert sum(run.protocol == "few_shot" for run in planned) == 2 * 2  # raw pixels: n/a


def test_every_problem_is_listed_at_once(tmp_path):
    grid = grid_of(tmp_path, TEXT.replace('"vit_nano"', '"vit_nan"').replace("linear =", "liner ="))
    with pytest.raises(GridError) as caught:
        validate(grid, METHODS)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "warns"),
    [
        (("[pretrain]", "[pretrain]"), True),
        (("[pretrain]", "[pretrain]\nseeds = 2"), True),
        (("[pretrain]", "[pretrain]\nseeds = [4, 5, 6]"), False),
        (('methods = ["mae"]', "methods = []"), False),
    ],
)
def test_a_grid_of_methods_with_few_pretraining_seeds_warns(tmp_path, change, warns):
    warning = claim_warning(grid_of(tmp_path, TEXT.replace(*change)))
    assert bool(warning) == warns
    if warning:
        assert "one checkpoint is not a method" in warning


@pytest.mark.parametrize(
    ("change", "few"),
    [
        (("seeds = 3", "seeds = 4"), "(linear with 4, knn with 4)"),
        (("seeds = 3", "seeds = 5"), None),
        (("seeds = 3", "seeds = [1, 2, 3, 4, 8]"), None),
        (('linear = [10, "all"]', "linear = {shots = [10], seeds = 9}"), "(knn with 3)"),
        (('linear = [10, "all"]\nknn = [10, "all"]', 'linear = ["all"]'), None),
    ],
)
def test_a_grid_of_checkpoints_with_few_draws_warns(tmp_path, change, few):
    """An interval of checkpoints needs five draws."""
    assert change[0] in TEXT
    warning = claim_warning(grid_of(tmp_path, 'compare = "checkpoints"\n' + TEXT.replace(*change)))
    assert (warning is not None) == (few is not None)
    if warning:
        assert few in warning
        assert "set seeds = 5 or more under [evaluate]" in warning


@pytest.mark.parametrize("methods", ['["mae"]', "[]"])
@pytest.mark.parametrize("seeds", ["2", "[4, 7]"])
def test_checkpoints_of_several_pretraining_seeds_are_refused(tmp_path, methods, seeds):
    """A row would average several checkpoints, of methods or of controls."""
    text = TEXT.replace("[pretrain]", f"[pretrain]\nseeds = {seeds}").replace('["mae"]', methods)
    validate(grid_of(tmp_path, text), METHODS)
    with pytest.raises(GridError, match=r"pretrain.seeds has 2 seeds; write seeds = 1 or"):
        validate(grid_of(tmp_path, 'compare = "checkpoints"\n' + text), METHODS)
    one = text.replace(f"seeds = {seeds}", "seeds = [7]")
    validate(grid_of(tmp_path, 'compare = "checkpoints"\n' + one), METHODS)


def test_the_field_compare_changes_no_key(tmp_path, summary):
    plain = spread(grid_of(tmp_path), summary)[1]
    other = spread(grid_of(tmp_path, 'compare = "checkpoints"\n' + TEXT), summary)[1]
    assert [run.identity.key for run in plain] == [run.identity.key for run in other]


def test_a_missing_grid_file_is_refused_with_the_bundled_grids(tmp_path):
    with pytest.raises(GridError, match="demo"):
        read_grid(tmp_path / "none.toml")
