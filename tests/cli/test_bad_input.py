"""Wrong requests: exit status 2, one message that says what to do, no traceback."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from chips import speckled_chips
from commands import TINY
from PIL import Image
from small_grids import make_summary

from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.grid.validate import check_data
from sarbench.bench.method_facts.method_info import describe


def write_grid(folder: Path, *change: str) -> Path:
    assert not change or change[0] in TINY
    path = folder / "grid.toml"
    path.write_text(TINY.replace(*change) if change else TINY)
    return path


METHOD, POOL, DATA = '["mae"]', 'pool = ["synthetic"]', 'datasets = ["synthetic"]'
EPOCHS, LINEAR, KNN = "epochs = 1", "linear = [5]", 'knn = [5, "all"]'


def settings(protocol: str, shots: str, values: str) -> tuple[str, str]:
    return LINEAR, f"{protocol} = {{shots = [{shots}], settings = {{{values}}}}}"


WRONG_GRIDS = [
    (METHOD, '["maee"]', "Did you mean 'mae'"),
    (METHOD, '["../mae"]', "unknown method"),
    (METHOD, "[3]", "methods.0"),
    (METHOD, "[{config = {}}]", "methods.0.name is missing"),
    (METHOD, '["mae", "mae"]', "two methods have the label 'MAE'"),
    (METHOD, "[]\ncontrols = []", "name at least one method"),
    (METHOD, '["mae"]\ncontrols = ["raw_pixel"]', "Did you mean 'raw_pixels'"),
    (METHOD, '[{name = "mae", config = {mask_ration = 0.5}}]', "Did you mean 'mask_ratio'"),
    (METHOD, '[{name = "mae", config = {mask_ratio = 1.5}}]', "mask_ratio is 1.5"),
    (METHOD, '[{name = "mae", config = {mask_ratio = "high"}}]', "must be a number"),
    (METHOD, '[{name = "mae", config = {standardise = 3}}]', "must be true or false"),
    (METHOD, '[{name = "sar_jepa", config = {radii_px = ["a"]}}]', "radii_px must be a list like"),
    (METHOD, '[{name = "sar_jepa", config = {radii_px = [-3]}}]', "radii >= 1"),
    (DATA, 'datasets = ["synthetik"]', "Did you mean 'synthetic'"),
    (DATA, 'datasets = ["mstar_soc/all_serial"]', "Did you mean 'mstar_soc/all_serials'"),
    (DATA, 'datasets = ["msar"]', "unknown data set 'msar'"),
    (DATA, 'datasets = ["folder:x?shape=2"]', "'shape=2' is not an option of a folder"),
    (DATA, "datasets = []", "evaluate.datasets has no data set"),
    (POOL, 'watch = "mstar_soc"', "pretrain.watch: unknown data set of this grid 'mstar_soc'. A"),
    (POOL, 'pool = ["mstar_soc"]', "Did you mean 'mstar_soc:train'"),
    (POOL, 'pool = ["sarshpi"]', "Did you mean 'sar_ship'"),
    (POOL, "pool = []", "pretrain.pool has no pool"),
    (POOL, 'pool = "synthetic"', "pretrain.pool must be a list, got 'synthetic'"),
    (POOL, 'pool = ["synthetic", "synthetic"]', "more than once"),
    (LINEAR, "lineer = [5]", "Did you mean 'linear'"),
    (f"{LINEAR}\n{KNN}\n", "", "has no protocol"),
    (f'[evaluate]\n{DATA}\nseeds = 2\n[evaluate.protocols]\n{LINEAR}\n{KNN}\n', "",
     "evaluate is missing"),
    ("batch = 16", "bacth = 16", "Did you mean 'batch'"),
    ("[evaluate]", "[evaluat]", "Did you mean 'evaluate'"),
    (EPOCHS, "overrides = {epochs = 7}", "unknown key 'overrides'"),
    (LINEAR, "linear = []", "linear.shots has no value"),
    (LINEAR, "linear = [5, 5]", "has 5 more than once"),
    (LINEAR, "linear = [0]", "or a share of the labels such as '30%'; got 0"),
    (LINEAR, "linear = [-5]", "such as '30%'; got -5"),
    (LINEAR, 'linear = ["ten"]', "such as '30%'; got 'ten'"),
    (LINEAR, "linear = [2.5]", "such as '30%'; got 2.5"),
    (LINEAR, "linear = [true]", "such as '30%'; got True"),
    (LINEAR, 'finetune = [10]', 'shots must be "all" or a share such as "30%", got 10'),
    (LINEAR, 'few_shot = ["all"]', 'shots must be a number or a share such as "30%"'),
    (*settings("linear", "5", "epochs = 0"), "epochs is 0; it must be 1"),
    (*settings("linear", "5", "lr = -1.0"), "lr is -1.0; it must be finite"),
    (*settings("linear", "5", "lr = nan"), "lr is nan; it must be finite"),
    (*settings("linear", "5", "betas = [2.0, 3.0]"), "betas is [2.0, 3.0]; it must be two"),
    (*settings("linear", "5", "warmup_epochs = -3"), "warmup_epochs is -3; it must be finite"),
    (*settings("linear", "5", 'batch = "many"'), "batch must be a whole number"),
    (*settings("linear", "5", 'readout = "mean"'), "Did you mean 'patch_mean'"),
    (*settings("linear", "5", "epoch = 3"), "Did you mean 'epochs'"),
    (*settings("few_shot", "5", 'precision = "fp16"'), "Allowed: bf16, fp32"),
    (*settings("finetune", '"all"', "drop_path = 2.0"), "drop_path is 2.0; it must be in [0, 1]"),
    (KNN, "knn = {shots = [5], settings = {neighbours = 0}}", "neighbours is 0"),
    (EPOCHS, "epochs = 0", "epochs must be >= 1"),
    (EPOCHS, "epochs = 0.5", "epochs must be >= 1"),
    (EPOCHS, "epochs = inf", "epochs must be finite"),
    (EPOCHS, "epochs = []", "pretrain.epochs has no value"),
    ("batch = 16", "batch = 0", "batch >= 2"),
    ("batch = 16", "batch = 64", "batch = 64, but the pool has 32 chips"),
    ("seeds = 2", "seeds = 0", "evaluate.seeds has no seed"),
    ("seeds = 2", "seeds = -2", "evaluate.seeds has no seed"),
    ("seeds = 2", "seeds = 100000000000", "more than 1000 seeds"),
    (EPOCHS, 'schedule = "step"\nlr_end_share = 0.1', "leave one of them out"),
    (EPOCHS, 'optimizer = "sgd"\nbeta1 = 0.5', "beta1 are those of AdamW"),
    (EPOCHS, "base_lr = 1e308", "finite learning rate"),
    ('"vit_nano"', '"timm:resnet18@100000"', "unknown encoder"),
    ("seeds = 2", "seeds = [-1]", "evaluate.seeds must be 0 or more"),
    ("seeds = 2", "seeds = [1, 1]", "more than once"),
    ("seeds = 2", 'seeds = "two"', "seeds must be a whole number or a list of whole numbers"),
    ("seeds = 2", "seeds = true", "seeds must be a whole number or a list of whole numbers"),
    (EPOCHS, "seeds = 0", "pretrain.seeds has no seed"),
    (EPOCHS, "pool_fraction = 2", "pool_fraction must be in (0, 1]"),
    (EPOCHS, "pool_fraction = nan", "pool_fraction must be in (0, 1]"),
    (EPOCHS, "pool_fraction = []", "pretrain.pool_fraction has no value"),
    (EPOCHS, "pool_fraction = 0.0001", "the pool has 0"),
    ("pool_cap = 32", "pool_cap = 0", "pretrain.pool_cap must be 1 or more"),
    ('"vit_nano"', '"vit_nanoo"', "Did you mean 'vit_nano'"),
    ('"vit_nano"', "[]", "pretrain.encoder has no value"),
    ('"vit_nano"', '["vit_nano", "vit_nano"]', "more than once"),
    ('"quick"', '"quik"', "Did you mean 'quick'"),
    (EPOCHS, 'precision = "fp8"', "unknown value 'fp8'"),
    (EPOCHS, "base_lr = nan", "base_lr must be finite"),
    (EPOCHS, "beta1 = 2.0", "betas must be in [0, 1)"),
    ('name = "tiny"', 'name = "../x"', "name must be letters, digits, `_`, `.` and `-`"),
    ('name = "tiny"', "", "name is missing"),
    ('name = "tiny"', 'name = "tiny"\ncompare = "checkpoint"', "Did you mean 'checkpoints'"),
    ('name = "tiny"', 'name = "tiny"\ncompare = 3', "compare must be 'methods' or"),
    ("batch = 16", "batch = ", "is not a TOML file"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), WRONG_GRIDS)
def test_a_wrong_grid_is_refused_by_plan(sarbench, tmp_path, old, new, message):
    status, said = sarbench("plan", write_grid(tmp_path, old, new))
    assert status == 2
    assert said.startswith("error: ")
    assert "\n" not in said
    assert message in said


def test_a_file_that_is_not_a_grid_is_refused(sarbench, tmp_path):
    for path, content, message in (
        ("empty.toml", b"", "methods is missing"),
        ("binary.toml", b"\xff\xfe\x00", "is not a TOML file"),
        ("none.toml", None, "no grid file"),
    ):
        if content is not None:
            (tmp_path / path).write_bytes(content)
        status, said = sarbench("plan", tmp_path / path)
        assert (status, message in said) == (2, True), said
    os.mkfifo(tmp_path / "fifo.toml")
    status, said = sarbench("plan", tmp_path / "fifo.toml")
    assert (status, "is not a file" in said) == (2, True)
    status, said = sarbench("plan", tmp_path)
    assert (status, "is not a file" in said) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "GRID", "-m", "may"), "it has: MAE"),
        (("plan", "GRID", "-s", "99"), "it has: 0, 1"),
        (("run", "GRID", "--workers", "0"), "--workers"),
        (("plan", "GRID", "--rnus", "x"), "--runs"),
        (("plann", "GRID"), "plan"),
        (("data", "prepare", "synthetik"), "Did you mean 'synthetic'"),
        (("data", "verify", "mstar_sok"), "Did you mean 'mstar_soc'"),
        (("data", "prepare", "mstar_soc", "--data", "nowhere"), "nowhere does not exist"),
        (("data", "prepare", "mstar_soc", "--data", "GRID"), "is a file"),
        (("data", "prepare", "mstar_soc", "--data", "."), "holds no folder or archive named mstar"),
        (("data", "prepare", "folder:x?transform=log"), "transform=none|chip_max"),
        (("table", "GRID", "--out", "."), "--out . is a folder"),
        (("report", "GRID", "--out", "GRID"), "which is a file"),
        (("data", "show", "synthetic", "--out", "grid.toml/x.png"), "which is a file"),
        (("methods", "show", "maee"), "Did you mean 'mae'"),
        (("protocols", "show", "linea"), "Did you mean 'linear'"),
        (("methods", "show", "mae", "--encoder", "vit_nan"), "Did you mean 'vit_nano'"),
        (("table", "GRID", "--out", "t.csv", "--json"), "different formats: csv, json"),
        (("table", "GRID", "--out", "t.csv", "-f", "latex"), "different formats: csv, latex"),
        (("table", "GRID", "--out", "t.xls"), ".txt (text), .md (markdown), .tex (latex)"),
        (("table", "GRID", "--out", "t"), "the suffix '' is not a format"),
        (("compare", "GRID", "mae", "mae", "--out", "t.csv"), "allowed: .txt (text), .json (json)"),
        (("paper", "GRID", "--out", "t.csv"), "the suffix '.csv' is not a format"),
        (("compare", "GRID", "random-init", "mae"), "Did you mean 'random_init'"),
        (("compare", "GRID", "Random int", "mae"), "Did you mean 'Random init'"),
        (("plan", "dem"), "Did you mean 'demo'"),
        (("methods", "new", "my method"), "lower-case letters"),
        (("methods", "new", "mae"), "choose another name"),
    ],
)
def test_a_wrong_command_is_refused(sarbench, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    grid = write_grid(tmp_path)
    status, said = sarbench(*(grid if word == "GRID" else word for word in words))
    assert (status, message in said) == (2, True), said


def test_an_unknown_device_is_refused_before_anything_is_moved_aside(
    sarbench, tmp_path, monkeypatch
):
    monkeypatch.setattr("sarbench.bench.cli.data.prepare_all", lambda *_: [])
    monkeypatch.setattr("sarbench.bench.cli.grid.move_aside", None)  # called, it would fail
    status, said = sarbench("run", write_grid(tmp_path), "--force", "--device", "tpu")
    assert (status, "unknown device 'tpu'; allowed: auto, cpu, cuda" in said) == (2, True), said


@pytest.mark.parametrize("command", ["plan", "run", "table"])
@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_the_store_should_be_is_refused(sarbench, tmp_path, command, below):
    (tmp_path / "file").write_text("")
    status, said = sarbench(command, write_grid(tmp_path), runs=tmp_path / "file" / below)
    assert (status, "file is a file; name a folder with --runs" in said) == (2, True), said


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place that nobody can write")
def test_a_store_that_cannot_be_written_is_refused_before_work_begins(sarbench, tmp_path):
    grid = write_grid(tmp_path)
    status, said = sarbench("run", grid, runs=Path("/proc/sarbench"))
    assert (status, "cannot be written" in said, "--runs" in said) == (2, True, True), said
    assert sarbench("plan", grid, runs=Path("/proc/sarbench"))[0] == 0  # reading is allowed


def bad_images(folder: Path) -> dict[str, str]:
    """Write a folder for each kind of unusable image; return the message for each."""
    for name in ("truncated", "empty", "text", "colour", "nan", "link", "directory", "none"):
        (folder / name).mkdir()
        for i, chip in enumerate(speckled_chips(3, 40) if name != "none" else ()):
            Image.fromarray((chip * 255).astype(np.uint8)).save(folder / name / f"{i}.png")
    whole = (folder / "truncated" / "1.png").read_bytes()
    (folder / "truncated" / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty" / "1.png").write_bytes(b"")
    (folder / "text" / "1.png").write_text("hello")
    colour = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(colour).save(folder / "colour" / "1.png")
    np.save(folder / "nan" / "1.npy", np.full((40, 40), np.nan, np.float32))
    (folder / "link" / "9.png").symlink_to(folder / "gone.png")
    shutil.rmtree(folder / "directory")
    (folder / "directory").write_text("no folder")
    return {
        "truncated": "1.png: cannot be decoded", "empty": "1.png: the file is empty",
        "text": "1.png: is not an image", "colour": "1.png: its colour channels differ",
        "nan": "1.npy: holds NaN", "link": "9.png: No such file",
        "directory": "is not a folder or an archive", "none": "none holds no image",
        "absent": "is not a folder or an archive",
    }  # fmt: skip


def test_an_image_that_cannot_be_used_is_named(sarbench, tmp_path):
    for name, message in bad_images(tmp_path).items():
        status, said = sarbench("data", "prepare", f"folder:{tmp_path / name}", "--data", tmp_path)
        assert (status, message in said) == (2, True), (name, said)
        assert "\n" not in said
        assert not [p for p in (tmp_path / "runs").rglob("*") if p.is_file()], name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_image_without_permission_is_named(sarbench, tmp_path):
    (tmp_path / "pool").mkdir()
    np.save(tmp_path / "pool" / "1.npy", speckled_chips(1, 40)[0])
    (tmp_path / "pool" / "1.npy").chmod(0)
    status, said = sarbench("data", "prepare", "folder:pool", "--data", tmp_path)
    assert (status, "1.npy" in said, "Permission" in said) == (2, True, True), said


def test_a_folder_with_other_classes_or_counts_is_refused(sarbench, tmp_path):
    chip = Image.fromarray((speckled_chips(1, 40)[0] * 255).astype(np.uint8))
    for name in ("A220", "Boeing737", "Helicopter"):
        (tmp_path / "sar_acd" / name).mkdir(parents=True)
        chip.save(tmp_path / "sar_acd" / name / "001.jpg")
    status, said = sarbench("data", "prepare", "sar_acd", "--data", tmp_path)
    assert (status, "Helicopter/001.jpg: its folder is not a class" in said) == (2, True)
    shutil.rmtree(tmp_path / "sar_acd" / "Helicopter")
    status, said = sarbench("data", "prepare", "sar_acd", "--data", tmp_path)
    assert (status, "train ARJ21: expected 254, found 0" in said) == (2, True)
    assert "sarbench data verify sar_acd" in said
    assert sarbench("data", "verify", "sar_acd", "--data", tmp_path)[0] == 1


def test_shots_and_batches_that_the_data_do_not_have_are_refused(tmp_path):
    summary = make_summary()  # 10 training chips of class a
    for old, new, message in (
        (LINEAR, "linear = [11]", r"11 shots \(a has 10\); give at most 10"),
        (
            LINEAR,
            "knn = {shots = [5], settings = {neighbours = 6}}",
            "neighbours must be at most 5",
        ),
        (
            "pool_cap = 32\n",
            "pool_cap = 64\npool_fraction = 0.5\n",
            "batch = 16, .* has 10 chips",
        ),
    ):
        text = TINY.replace(KNN + "\n", "").replace(old, new)
        (tmp_path / "grid.toml").write_text(text)
        grid = read_grid(tmp_path / "grid.toml")
        methods = describe(grid.method_names(), tmp_path)
        with pytest.raises(GridError, match=message):
            check_data(grid, {"synthetic": summary, "pool:synthetic": summary}, methods)
