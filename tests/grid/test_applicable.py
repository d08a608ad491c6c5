"""A plan finds the runs that a method cannot do, and reports them as n/a."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from commands import TINY, call_here

from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.identity import RECIPES, Recipe, to_json
from sarbench.bench.method_facts import fit as method_fit
from sarbench.bench.method_facts import method_info
from sarbench.bench.method_facts.fit import find_fit
from sarbench.bench.method_facts.method_info import fits
from sarbench.bench.method_facts.setups import Fit, MethodSetup
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting.notes import notes
from sarbench.bench.store.records import Store
from sarbench.methods import SIZES, get, names
from sarbench.methods._method import Method
from sarbench.methods._timm import TimmModelError
from sarbench.protocols._settings import BadSettingsError, FewShot, Finetune, Linear

MIXED = (
    TINY.replace('["mae"]', '["mae", "i_jepa", {name = "lomar", config = {windows = 20}}]')
    .replace("seeds = 2", "seeds = 1")
    .replace("linear = [5]", 'linear = {shots = [5], settings = {readout = "class"}}')
)


def setup(method: str, size: str = "vit_nano", **config: object) -> MethodSetup:
    given = to_json(get(method).Config()) | config
    return MethodSetup(method, given, asdict(SIZES[size]))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        # 14 patches along a side leave 14 - 7 + 1 = 8 places for a window of 7
        (setup("lomar", windows=20), "they need 208 px or more"),
        (setup("lomar", windows=9), "or set windows = 1 (up to 8 fit)"),
        # 0.3 x 768 = 230.4, and 230 = 12 x 19 + 2
        (setup("i_jepa", "vit_base", predictor_share=0.3), "is 230; it must be a multiple of 4"),
        (setup("i_jepa", targets=40), "40 targets leave no context of "),
        (setup("fg_mae", cell_px=6), "so 3 in the 8 px of vit_nano; it must divide a patch"),
        (setup("sar_hog", cell_px=1), "so 0.5 in the 8 px of vit_nano"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_an_encoder_are_found_without_training(given, reason):
    assert reason in find_fit(given).problem


@pytest.mark.parametrize("name", names())
def test_every_method_fits_the_smallest_encoder_with_the_facts_of_that_encoder(name):
    method = get(name)
    size = None if method.evaluation_input != "encoder" else SIZES["vit_nano"]
    fit = find_fit(MethodSetup(name, to_json(method.Config()), asdict(size) if size else None))
    encoder = method.build_encoder(method.Config(), size)
    assert fit.problem == ""
    assert (fit.has_class_token, fit.width) == (encoder.has_class_token, encoder.width)
    assert fit.architecture.split(",")[0] == type(encoder).__name__


def test_a_fit_has_no_real_weights(monkeypatch):
    seen, architecture = [], method_fit._architecture
    monkeypatch.setattr(
        method_fit, "_architecture", lambda encoder: seen.append(encoder) or architecture(encoder)
    )
    assert find_fit(setup("mae", "vit_large")).width == 1024
    assert all(weight.is_meta for weight in seen[0].parameters())
    assert sum(weight.numel() for weight in seen[0].parameters()) > 300_000_000


class NeedsValues(get("mae")):
    """A method that needs real weights, because it reads a value."""

    def loss(self, batch, rng):
        if float(self.encoder.norm.weight.sum()) == 0:
            raise ValueError("never")
        return super().loss(batch, rng)


class Fails(Method):
    """A method that cannot be built."""

    Config = get("mae").Config

    def __init__(self, config, encoder, rng):
        raise KeyError("no part 'x'")


@pytest.mark.parametrize(("method", "problem"), [(NeedsValues, ""), (Fails, 'KeyError: "no part')])
def test_a_failure_on_the_meta_device_is_confirmed_with_real_weights(monkeypatch, method, problem):
    method.control = False
    monkeypatch.setattr(method_fit._registry, "get", lambda name: method)
    fit = find_fit(MethodSetup("mae", {}, asdict(SIZES["vit_nano"])))
    assert fit.problem.startswith(problem)
    assert bool(fit.problem) == bool(problem)


def test_a_plan_leaves_out_what_does_not_fit_and_lists_the_reasons(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(MIXED)
    plan = make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)
    assert {start.planned.label for start in plan.pretrain} == {
        "MAE", "I-JEPA", "Raw pixels", "Random init", "Random init (relative positions)",
        "Random init (no class token)",
    }  # fmt: skip
    kept = {(e.planned.pretraining.label, e.planned.protocol) for e in plan.runs}
    assert ("I-JEPA", "knn") in kept
    assert ("MAE", "linear") in kept
    assert not {("I-JEPA", "linear"), ("Raw pixels", "linear"), ("LoMaR", "knn")} & kept
    rows = {(row, what): reason for row, what, reason in plan.not_applicable}
    assert "no class token" in rows["I-JEPA", "linear with readout 'class'"]
    assert "no class token" in rows["Raw pixels", "linear with readout 'class'"]
    assert "need 208 px" in rows["LoMaR", "encoder vit_nano"]
    assert "no class token" in rows["Random init (no class token)", "linear with readout 'class'"]
    assert len(rows) == 4
    assert notes(plan)[-1].text.startswith(
        "Not applicable (n/a): I-JEPA, linear with readout 'class'; Raw pixels, linear with"
    )


def test_a_control_that_a_protocol_cannot_measure_is_reported(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(TINY.replace('["mae"]', '["mae"]\ncontrols = ["chip_size"]'))
    said = notes(make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path))[-1]
    assert "(n/a): Chip size only is measured by knn only." in said.text


def test_a_pretraining_whose_every_run_is_not_applicable_is_not_trained(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(MIXED)
    plan = make_plan(
        read_grid(path), Store(tmp_path / "runs"), tmp_path, Filters(protocols=("linear",))
    )
    assert {start.planned.label for start in plan.pretrain} == {
        "MAE", "Random init", "Random init (relative positions)",
    }  # fmt: skip


def test_a_grid_without_any_applicable_run_is_refused_with_the_reasons(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(MIXED)
    with pytest.raises(GridError, match=r"nothing is left to run:\nn/a: LoMaR, .* need 208 px"):
        make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path, Filters(methods=("LoMaR",)))
    assert not (tmp_path / "runs").exists()


def test_a_second_plan_imports_no_torch_and_a_plan_creates_no_store(tmp_path):
    path, runs = tmp_path / "grid.toml", tmp_path / "runs"
    path.write_text(MIXED.replace('"mae"', '{name = "mae", config = {mask_ratio = 0.5}}'))
    make_plan(read_grid(path), Store(runs), tmp_path)
    assert not runs.exists()
    runs.mkdir()
    make_plan(read_grid(path), Store(runs), tmp_path)
    code = (
        "import sys; from pathlib import Path; from sarbench.bench.grid.schema import read_grid\n"
        "from sarbench.bench.plan.plan import make_plan\n"
        "from sarbench.bench.store.records import Store\n"
        f"plan = make_plan(read_grid(Path({str(path)!r})), Store(Path({str(runs)!r})), Path('d'))\n"
        "print(len(plan.not_applicable), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "4 False\n"


def test_a_damaged_cache_is_replaced(tmp_path):
    given = [setup("mae")]
    found = fits(given, tmp_path)
    (file,) = tmp_path.glob("fits-*.json")
    whole = json.loads(file.read_text())
    for text in ("", "[]", "{", '{"mae": 3}', '{"mae": {"colour": 1}}'):
        file.write_text(text)
        assert fits(given, tmp_path) == found
        assert json.loads(file.read_text()) == whole
    kinds = ["qkv", "proj", "fc1", "fc2"]
    assert found == {given[0].key: Fit("", True, 64, "Encoder, absolute positions", 196, kinds)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 19}, r"warmup_epochs = 20 of 19 epochs.*set warmup_epochs to at most epochs"),
        ({"epochs": 10}, r"warmup_epochs = 20 of 10 epochs.*for example warmup_epochs = 1\)"),
    ],
)
def test_a_recipe_that_only_warms_up_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**change)
    assert Recipe(epochs=20).epochs == 20
    assert RECIPES["quick"].warmup_epochs < RECIPES["quick"].epochs


def test_every_point_of_a_sweep_over_epochs_is_checked(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(TINY.replace("warmup_epochs = 0.5", "warmup_epochs = [0.5, 1, 2]"))
    with pytest.raises(GridError, match=r"pretrain: warmup_epochs = 2 of 1 epochs"):
        make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)


@pytest.mark.parametrize("settings", [FewShot, Linear, Finetune])
def test_settings_of_a_protocol_that_only_warm_up_are_refused(settings):
    default = settings()
    with pytest.raises(BadSettingsError, match="set warmup_epochs to at most epochs"):
        settings(epochs=default.warmup_epochs - 1)
    assert settings(epochs=default.warmup_epochs).epochs
    assert settings(epochs=1, warmup_epochs=0).warmup_epochs == 0


ENCODERS = (
    TINY.replace(
        '["mae"]', '["lomar", "simclr", {name = "supervised", pool = ["synthetic:train"]}]'
    )
    .replace("seeds = 2", "seeds = 1")
    .replace('"vit_nano"', '["vit_nano", "timm:test_resnet@64"]')
)


def test_methods_that_allow_any_encoder_are_planned_with_encoders_of_timm(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(ENCODERS)
    plan = make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)
    planned = {
        (one.label, one.axes["encoder"].removesuffix("@64"))
        for one in (entry.planned for entry in plan.pretrain)
        if one.axes
    }
    nano, resnet = "vit_nano", "timm:test_resnet"
    assert planned == {
        ("LoMaR", nano), ("SimCLR", nano), ("SimCLR", resnet), ("Supervised", nano),
        ("Supervised", resnet), ("Random init", nano), ("Random init", resnet),
        ("Random init (relative positions)", nano),
    }  # fmt: skip
    ((row, what, reason),) = plan.not_applicable
    assert (row, what) == ("LoMaR, encoder timm:test_resnet@64", "encoder timm:test_resnet@64")
    assert "use one of vit_nano" in reason
    (identity,) = {
        json.dumps(e.planned.encoder) for e in plan.pretrain
        if "timm" in str(e.planned.encoder)
    }  # fmt: skip
    assert json.loads(identity) == {"name": "timm:test_resnet@64", "input_px": 64}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("timm:test_resnet@64", "timm:test_resnett"), "Did you mean test_resnet"),
        (("timm:test_resnet@64", "resnet18"), "a network of timm such as 'timm:resnet18'"),
        ((', pool = ["synthetic:train"]', ""), "supervised needs labels"),
        (("batch = 16", 'optimizer = "adam"'), "Did you mean 'adamw'"),
        (("batch = 16", "momentum = 0.5"), "momentum is that of SGD or LARS"),
    ],
)
def test_a_wrong_encoder_pool_or_recipe_is_refused(tmp_path, change, says):
    path = tmp_path / "grid.toml"
    assert change[0] in ENCODERS
    path.write_text(ENCODERS.replace(*change))
    with pytest.raises(GridError, match=says):
        make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [("recipe", '"papr"', '"paper"'), ("pool", '["tsx"]', '["synthetic"]')],
)
def test_each_of_two_rows_of_one_method_is_checked(tmp_path, key, wrong, right):
    rows = [f'{{name = "mae", label = "{n}", {key} = {v}}}' for n, v in enumerate((wrong, right))]
    path = tmp_path / "grid.toml"
    path.write_text(TINY.replace('["mae"]', f"[{', '.join(rows)}]"))
    with pytest.raises(GridError, match=rf"mae\.{key}: unknown"):
        make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)


def test_default_values_of_a_recipe_change_no_key(tmp_path):
    keys = []
    for text in (ENCODERS, ENCODERS.replace("batch", 'optimizer = "adamw"\nbatch')):
        path = tmp_path / "grid.toml"
        path.write_text(text)
        plan = make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)
        keys.append([e.planned.recipe for e in plan.pretrain])
    assert keys[0] == keys[1]


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_of_the_machine_is_not_remembered(tmp_path, monkeypatch, wrapped):
    """A login node with little memory must not make a method n/a for good."""

    def full(*_: object, **__: object) -> None:
        if wrapped:  # as timm's errors are
            raise TimmModelError("no memory") from RuntimeError("can't allocate memory")
        raise MemoryError("no memory")

    monkeypatch.setattr("sarbench.bench.method_facts.fit.build", full)
    method_info._fits.clear()
    asked = setup("mae")
    assert "no memory" in fits([asked], tmp_path)[asked.key].problem
    monkeypatch.undo()
    method_info._fits.clear()
    assert fits([asked], tmp_path)[asked.key].problem == ""


def test_a_label_with_brackets_is_printed_as_it_is(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(TINY.replace('["mae"]', '[{name = "mae", label = "MAE [/b] [ours]"}]'))
    assert call_here("plan", path, "--runs", tmp_path / "runs").stdout.count("MAE [/b] [ours]") > 0


def test_a_readout_of_cells_is_not_applicable_without_a_patch_grid(tmp_path):
    """A convolutional map of 2 x 2 and the one token of raw pixels have no 4 x 4 cells."""
    path = tmp_path / "grid.toml"
    text = TINY.replace('["mae"]', '["mae", "simclr"]')
    text = text.replace('encoder = "vit_nano"', 'encoder = ["vit_nano", "timm:test_resnet@64"]')
    path.write_text(
        text.replace(
            "linear = [5]", "linear = {shots = [5], settings = {readout = 'patch_grid_4'}}"
        )
    )
    plan = make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)
    reasons = {row: why for row, what, why in plan.not_applicable if "patch_grid_4" in what}
    assert "1 patches" in reasons["Raw pixels"]
    assert "not a square grid" in reasons["SimCLR, encoder timm:test_resnet@64"]
    assert "MAE, encoder vit_nano" not in reasons


def test_lora_is_not_applicable_without_the_layers_that_it_updates(tmp_path):
    path = tmp_path / "grid.toml"
    text = TINY.replace('["mae"]', '["simclr"]').replace("linear = [5]", "lora = [5]")
    path.write_text(text.replace('"vit_nano"', '["vit_nano", "timm:test_resnet@64"]'))
    plan = make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path)
    reasons = {row: why for row, what, why in plan.not_applicable if what == "lora"}
    assert {row.split(", ")[1] for row in reasons} == {"encoder timm:test_resnet@64"}
    assert all(
        "lora updates the linear layers qkv, proj, fc1 and fc2" in why for why in reasons.values()
    )
    assert {e.planned.pretraining.label for e in plan.runs if e.planned.protocol == "lora"} >= {
        "SimCLR"
    }


def test_a_control_that_no_protocol_measures_is_named_as_a_method_is(tmp_path):
    text = MIXED.replace("linear = {shots = [5]", 'finetune = {shots = ["all"]')
    text = text.replace('knn = [5, "all"]\n', "")
    text = text.replace("[pretrain]", 'controls = ["random_init", "raw_pixels"]\n[pretrain]', 1)
    (tmp_path / "grid.toml").write_text(text)
    grid, store = read_grid(tmp_path / "grid.toml"), Store(tmp_path / "runs")
    plan = make_plan(grid, store, tmp_path)
    rows = {row: (what, why) for row, what, why in plan.not_applicable}
    assert rows["Raw pixels"] == ("finetune", "it is measured by linear, logistic, knn only")
    assert "Raw pixels" not in {one.planned.label for one in plan.pretrain}
    (line,) = [one.flag for one in notes(plan) if "Not in the table" in one.flag]
    assert "Raw pixels (n/a finetune)" in line
    only = make_plan(grid, store, tmp_path, Filters(methods=("mae",)))
    assert not only.not_applicable
