"""Recipes by name, own recipes of single methods, and untrained controls of each kind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sarbench.bench.cli import main
from sarbench.bench.data.packed import Summary
from sarbench.bench.grid.expand import PlannedPretraining, PlannedRun, pretrainings, runs
from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.grid.validate import check_data, validate
from sarbench.bench.identity import RECIPES, Recipe, fill, to_json
from sarbench.bench.method_facts.method_info import describe
from sarbench.bench.plan.comparability import recipe_lines
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.store.records import Store

SUMMARY = Summary(
    name="synthetic", kind="dataset", count=900, counts={"train": {"a": 10}, "test": {"a": 10}},
    data_digest="d" * 64, split_digest="s" * 64, rendering="", transform="full_scale",
    crop_px=None, dtype="uint8", classes=("a",),
)  # fmt: skip
TEXT = """
name = "test"
methods = {methods}
[pretrain]
encoder = "vit_nano"
{pretrain}
[evaluate]
seeds = 1
[evaluate.protocols]
knn = [5]
finetune = ["all"]
"""


KEYS = {
    "MAE": "78b175c29d9f", "SAR-JEPA": "01582c059470", "Raw pixels": "415c2dfde677",
    "Random init": "72ab46b0eb9f",
}  # fmt: skip


def spread(
    tmp_path: Path, methods: str, pretrain: str = ""
) -> tuple[list[PlannedPretraining], list[PlannedRun]]:
    path = tmp_path / "grid.toml"
    path.write_text(TEXT.format(methods=methods, pretrain=pretrain))
    grid = read_grid(path)
    known = describe(grid.method_names(), tmp_path)
    validate(grid, known)
    starts = pretrainings(grid, known, lambda name: SUMMARY)
    check_data(grid, {"pool:synthetic": SUMMARY}, known)
    return starts, runs(grid, starts, known, lambda name: SUMMARY)


def trained(starts: list[PlannedPretraining]) -> dict[str, Recipe]:
    return {start.row: start.recipe for start in starts if start.recipe}


def test_a_field_that_is_none_is_in_no_identity(tmp_path):
    (mae, *_), _ = spread(tmp_path, '["mae"]', 'recipe = "quick"')
    assert None not in mae.identity.recipe.values()
    assert set(mae.identity.recipe) == {
        "epochs", "batch", "base_lr", "warmup_epochs", "weight_decay", "beta1", "beta2",
        "crop_scale_min", "crop_scale_max", "flip", "contrast",
    }  # fmt: skip
    assert fill({"a": None, "b": 1}, {}) == {"b": 1}
    assert fill({"a": None}, {"a": 2}) == {"a": 2}


def test_keys_of_stored_pretrainings_and_controls_have_not_moved(tmp_path):
    # Keys of the commit before recipes had optional fields, for this very grid; random_init is
    # at version 2 since.
    starts, _ = spread(tmp_path, '["mae", "sar_jepa"]', 'recipe = "quick"')
    assert {start.row: start.identity.key[:12] for start in starts} == KEYS | {
        "Random init (relative positions)": starts[-1].identity.key[:12]
    }


def test_a_control_that_is_listed_as_a_method_is_not_added_again(tmp_path):
    starts, _ = spread(tmp_path, '["mae", "raw_pixels"]', 'recipe = "quick"')
    assert sorted(start.row for start in starts) == ["MAE", "Random init", "Raw pixels"]
    labelled = '["mae", {name = "raw_pixels", label = "Pixels"}]'
    starts, _ = spread(tmp_path, labelled, 'recipe = "quick"')
    assert {"Pixels", "Raw pixels"} < {start.row for start in starts}


def test_a_method_can_have_its_own_recipe(tmp_path):
    starts, _ = spread(
        tmp_path,
        '["mae", {name = "mae", recipe = "source"}, '
        '{name = "i_jepa", recipe = "source", label = "own"}]',
        'recipe = "quick"\nepochs = 30\nbatch = 64',
    )
    recipes = trained(starts)
    assert set(recipes) == {"MAE", "MAE, source recipe", "own"}
    assert recipes["MAE"] == Recipe(epochs=30, batch=64, base_lr=1.6e-2, warmup_epochs=1.0)
    # [pretrain] replaces values of all recipes; the warm-up of 40 in 800 keeps its share.
    own = recipes["MAE, source recipe"]
    assert (own.epochs, own.batch, own.base_lr, own.warmup_epochs) == (30, 64, 1.5e-4, 1.5)
    assert recipes["own"].weight_decay_end == 0.4
    assert recipes["own"].warmup_epochs == pytest.approx(30 * 40 / 300)
    names = {start.row: start.recipe_name for start in starts}
    assert (names["MAE"], names["own"], names["Raw pixels"]) == ("quick", "source", None)
    assert len({start.identity.key for start in starts}) == len(starts)


def test_a_method_can_have_its_own_values(tmp_path):
    methods = '["sar_jepa", {name = "mae", base_lr = 1, epochs = 12.0}]'
    starts, _ = spread(tmp_path, methods, 'recipe = "quick"\nbatch = 64')
    recipes = trained(starts)
    assert recipes["MAE"] == replace(RECIPES["quick"], batch=64, base_lr=1.0, epochs=12)
    assert recipes["SAR-JEPA"] == replace(RECIPES["quick"], batch=64)
    other = '["sar_jepa", {name = "mae", base_lr = 1.0, epochs = 12}]'
    again, _ = spread(tmp_path, other, 'recipe = "quick"\nbatch = 64')
    assert [one.identity for one in again] == [one.identity for one in starts]


@pytest.mark.parametrize(("methods", "pretrain", "said"), [
    ('["mae", {name = "lomar", base_lr = [1e-3, 2e-3]}]', "", "lomar.base_lr is a list, but"),
    ('["mae", {name = "lomar", base_lr = 1e-3}]', "base_lr = [1e-3, 2e-3]", "its own base_lr, whi"),
    ('["mae", {name = "lomar", base_lr = -1}]', "", "lomar: base_lr must be > 0"),
    ('["mae", {name = "lomar", base_lr = "a"}]', "", "lomar: base_lr must be a number, got 'a'"),
    ('["mae", {name = "lomar", batch = 8.5}]', "", "lomar: batch must be a whole number, got 8.5"),
    ('["mae", {name = "lomar", base_rl = 1}]', "", "Did you mean 'base_lr'"),
    ('["mae", {name = "raw_pixels", base_lr = 1}]', "", "raw_pixels is a control"),
    ('["mae", {name = "lomar", epochs = 9}]', 'budget = "flops"', "lomar has its own epochs, but"),
    ('["mae", "lomar"]', 'budget = "flop"', "Did you mean 'flops'"),
])  # fmt: skip
def test_impossible_own_values_are_refused(tmp_path, methods, pretrain, said):
    with pytest.raises(GridError) as refused:
        spread(tmp_path, methods, f'recipe = "quick"\nbatch = 64\n{pretrain}')
    assert said in str(refused.value)


def test_a_given_warm_up_is_not_scaled(tmp_path):
    given = 'recipe = "source"\nepochs = 30\nbatch = 64\nwarmup_epochs = 3'
    starts, _ = spread(tmp_path, '["mae"]', given)
    assert trained(starts)["MAE"].warmup_epochs == 3.0


def test_the_source_recipe_of_sar_jepa_is_the_recipe_paper_with_the_same_key(tmp_path):
    few = "batch = 300"
    own, paper = (
        spread(tmp_path, '["sar_jepa"]', f'recipe = "{name}"\n{few}')[0][0]
        for name in ("source", "paper")
    )
    assert own.recipe == paper.recipe == RECIPES["paper"]
    assert own.identity.key == paper.identity.key


@pytest.mark.parametrize(
    ("methods", "pretrain", "message"),
    [
        (
            '["pgga"]',
            'recipe = "source"',
            r"pgga has no recipe 'source'.* have one: dino, .*fg_mae, hpm, i_jepa",
        ),
        ('[{name = "mae", recipe = "sauce"}]', "", r"mae.recipe: unknown .* mean 'source'"),
        ('["mae"]', 'recipe = "sauce"', r"pretrain.recipe: unknown .* mean 'source'"),
        ('[{name = "raw_pixels", recipe = "quick"}]', "", "raw_pixels is a control"),
        ('["mae"]', "lr_end_share = 2.0", "must be in"),
        ('["mae"]', "weight_decay_end = true", "weight_decay_end must be a number"),
        ('["mae"]', 'recipe = "source"', "batch = 4096, but the pool has 900"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path, methods, pretrain, message):
    with pytest.raises(GridError, match=message):
        spread(tmp_path, methods, pretrain)


def test_a_plan_describes_the_recipe_of_each_row(tmp_path, capsys, monkeypatch):
    path = tmp_path / "grid.toml"
    methods = '["mae", {name = "i_jepa", recipe = "source"}]'
    path.write_text(TEXT.format(methods=methods, pretrain='recipe = "quick"\nbatch = 256'))
    runs_dir = tmp_path / "runs"
    own, common = recipe_lines(make_plan(read_grid(path), Store(runs_dir), tmp_path))[::-1]
    assert common.startswith(
        "recipe quick: MAE: AdamW (betas 0.9 and 0.95), epochs 10 (1 of warm-up)"
    )
    assert own.startswith("recipe source: I-JEPA, source recipe: AdamW")
    assert "rate 2.5e-05 to 0.000125 to 1.25e-07 on a cosine, weight decay 0.04 to 0.4" in own
    command = ["sarbench", "plan", path, "--runs", runs_dir, "--data", tmp_path, "--json"]
    monkeypatch.setattr("sys.argv", list(map(str, command)))
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    entries = json.loads(capsys.readouterr().out)["pretrain"]
    assert [entry["recipe"] for entry in entries[:3]] == ["quick", "source", None]


@pytest.mark.parametrize(
    ("methods", "rows"),
    [
        ('["mae", "fg_mae"]', {"Random init": None}),
        ('["lomar", "pgga"]', {"Random init (relative positions)": "lomar"}),
        ('["i_jepa"]', {"Random init (no class token)": "i_jepa"}),
        (
            '["sar_jepa", "i_jepa", "mae"]',
            {
                "Random init": None,
                "Random init (relative positions)": "lomar",
                "Random init (no class token)": "i_jepa",
            },
        ),
        ("[]", {"Random init": None}),
    ],
)
def test_a_grid_has_an_untrained_control_for_each_kind_of_encoder(tmp_path, methods, rows):
    starts, planned = spread(tmp_path, methods, 'recipe = "quick"\nseeds = 2')
    controls = [start for start in starts if start.method == "random_init"]
    assert {start.row: start.identity.config.get("like") for start in controls} == rows
    assert {start.seed for start in controls} == {0, 1}
    assert len({start.identity.key for start in controls}) == 2 * len(rows)
    for start in controls:
        assert {run.protocol for run in planned if run.pretraining is start} == {"knn", "finetune"}


def test_a_control_with_a_given_method_is_not_repeated_for_each_kind(tmp_path):
    path = tmp_path / "grid.toml"
    control = '{name = "random_init", label = "x", config = {like = "pgga"}}'
    methods = f'["mae"]\ncontrols = [{control}]'
    path.write_text(TEXT.format(methods=methods, pretrain='recipe = "quick"'))
    grid = read_grid(path)
    known = describe(grid.method_names(), tmp_path)
    validate(grid, known)
    starts = pretrainings(grid, known, lambda name: SUMMARY)
    assert [start.row for start in starts] == ["MAE", "x"]
    assert starts[1].identity.config == {"like": "pgga"}


def test_the_version_of_a_control_rises_with_that_of_the_method_it_imitates(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(TEXT.format(methods='["mae", "lomar"]', pretrain='recipe = "quick"'))
    grid = read_grid(path)
    known = describe(grid.method_names(), tmp_path)

    def versions(methods: dict) -> dict[str, int]:
        starts = pretrainings(grid, methods, lambda name: SUMMARY)
        return {s.row: s.identity.method_version for s in starts if s.method == "random_init"}

    raised = known | {"lomar": replace(known["lomar"], version=known["lomar"].version + 1)}
    alone, imitating = "Random init", "Random init (relative positions)"
    assert versions(raised)[imitating] == versions(known)[imitating] + 1
    assert versions(raised)[alone] == versions(known)[alone]


def test_a_recipe_can_be_read_from_its_identity():
    recipe = Recipe(lr_start_share=0.2, weight_decay_end=0.4)
    assert Recipe(**json.loads(json.dumps(fill(to_json(recipe), {})))) == recipe
