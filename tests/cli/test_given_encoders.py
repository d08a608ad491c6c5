"""Given encoders in a grid, from the file to the table, the archive and the page."""

import json
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Sarbench, call_here
from given_files import EVALUATE, grid_text, write_weights
from sklearn.neighbors import KNeighborsClassifier
from stores import planned

from parity.encoders.drawn import published
from sarbench.bench.data.prepare import prepare
from sarbench.bench.execution.job import execute
from sarbench.bench.identity import Resources
from sarbench.bench.store.records import Store

ENCODERS = (
    '{weights = "w/mae.pth", label = "MAE, published", heads = 3, seen = ["synthetic:train", '
    '"imagenet-1k"], labels = true}, {weights = "w/dino.pth", heads = 3}'
)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Sarbench:
    """A store with finished runs of two given encoders and the controls."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "w").mkdir()
    write_weights(folder / "w" / "mae.pth")
    write_weights(folder / "w" / "dino.pth", "dinov2_registers")
    sarbench = Sarbench(folder, grid_text(ENCODERS))
    plan, store = planned(sarbench.grid, sarbench.runs)
    for job in plan.jobs():
        execute(job, store, Resources(), lambda event: None)
    return sarbench


def accuracies(sarbench: Sarbench) -> dict[str, float | None]:
    return {cell["method"]: cell["mean"] for cell in sarbench.cells()}


def test_a_given_row_is_measured_as_scikit_learn_measures_its_features(done, tmp_path):
    file = done.folder / "w" / "mae.pth"
    answer = call_here(
        "features", file, "synthetic", "--heads", "3", "--runs", done.runs, "--out",
        tmp_path / "f.npz",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    with np.load(tmp_path / "f.npz") as found:
        features, ids = found["features"].astype(np.float64), found["ids"].tolist()
    chips = prepare("synthetic", done.folder, Store(done.runs).prepared).chips
    assert ids == chips.ids.tolist()
    train, test = ~chips.is_test, chips.is_test
    nearest = KNeighborsClassifier(1, metric="cosine").fit(features[train], chips.labels[train])
    expected = nearest.score(features[test], chips.labels[test])
    assert accuracies(done)["MAE, published"] == pytest.approx(expected, abs=1e-9)


def test_values_for_another_scale_are_warned_of_once_for_each_row_and_data_set(done):
    bytes_ = "heads = 3, mean = 116.3, std = 57.1"
    grid = done.folder / "scale.toml"
    grid.write_text(grid_text(
        f'{{weights = "w/mae.pth", label = "bytes", {bytes_}}}, '
        '{weights = "w/dino.pth", heads = 3}'
    ))  # fmt: skip
    warned = "warning: bytes on synthetic: with the declared mean 1"
    for _ in range(2):  # the second time from the store
        answer = call_here("plan", grid, "--runs", done.runs)
        assert answer.returncode == 0
        assert answer.stderr.count("warning: bytes on") == answer.stderr.count(warned) == 1
        assert "warning: dino" not in answer.stderr
        assert "mean = NUMBER and std = NUMBER" in answer.stderr
    assert len(list((done.runs / "pixels").iterdir())) == 1


def test_a_second_plan_imports_no_torch(done):
    settled = max(path.stat().st_ctime for path in (done.folder / "w").iterdir()) + 2.1
    time.sleep(max(0.0, settled - time.time()))
    done.here("plan", done.grid)
    script = (
        "import sys\nfrom sarbench.bench.cli import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    words = "plan", done.grid, "--runs", done.runs
    answer = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True,
        env=done.environment, check=True,
    )  # fmt: skip
    assert answer.stderr.splitlines()[-1] == "False"


def test_tables_name_the_files_the_input_and_what_was_seen(done):
    short = done.here("table", done.grid, "--gain").stdout
    assert "of checkpoints, not methods" in short
    assert "MAE, published has seen labels." in short
    assert "No gain" not in short
    full = done.here("table", done.grid, "--notes").stdout
    assert re.search(r"MAE, published: layout mae, digest \w{12}, file mae.pth\.", full)
    assert "Input 32 px, 1 channel, amplitude in [0, 1], not normalised." in full
    assert (
        "Input 32 px, 3 channels, each the chip, amplitude in [0, 1], mean (0.485, 0.456, 0.406), "
        "deviation (0.229, 0.224, 0.225)."
    ) in full
    assert (
        "MAE, published has seen (as declared): synthetic:train, imagenet-1k, with labels." in full
    )
    assert "synthetic: MAE, published has seen no test chip and 400 of its training chips" in full
    assert "dino has seen: not declared." in full


def test_a_given_row_is_compared_with_the_untrained_control_of_its_own_kind(done):
    text = done.here("compare", done.grid, "MAE, published", "random_init").stdout
    assert "B: Random init (given:48x2x3@32/8)\n" in text
    text = done.here("compare", done.grid, "dino", "random_init").stdout
    assert "B: Random init (given:48x2x3@32/8, as dino)" in text
    gains = json.loads(done.here("table", done.grid, "--gain", "--json").stdout)
    over = {cell["method"]: cell["gain_over"] for cell in gains}
    assert over["MAE, published"] == "Random init (given:48x2x3@32/8)"
    assert over["dino"] == "Random init (given:48x2x3@32/8, as dino)"


def test_a_plan_names_the_file_and_its_json_what_was_declared(done):
    text = done.here("plan", done.grid).stdout
    assert re.search(r"given weights: dino: layout dinov2, digest \w{12}, file dino.pth\n", text)
    given = {one["label"]: one["given"] for one in done.plan()["pretrain"]}
    assert given["Raw pixels"] is None
    assert given["MAE, published"]["seen"] == ["synthetic:train", "imagenet-1k"]
    assert given["MAE, published"]["labels"] is True
    assert given["dino"]["file"] == "dino.pth"
    states = done.here("status", done.grid).stdout
    assert "dino" in states


def test_declared_data_move_no_key(done):
    keys = [one["key"] for one in done.plan()["pretrain"]]
    other = grid_text(ENCODERS.replace('seen = ["synthetic:train", "imagenet-1k"], labels = true',
                                       'seen = ["synthetic"]'))  # fmt: skip
    (done.folder / "other.toml").write_text(other)
    found = json.loads(done.here("plan", done.folder / "other.toml", "--json").stdout)
    assert [one["key"] for one in found["pretrain"]] == keys


def test_a_changed_file_is_new_work_and_its_number_is_gone_until_it_is_back(done):
    path, before = done.folder / "w" / "mae.pth", accuracies(done)
    kept = path.read_bytes()
    assert isinstance(before["MAE, published"], float)
    write_weights(path, added=1.0)
    states = {one["label"]: one["state"] for one in done.plan()["pretrain"]}
    assert states["MAE, published"] == "new"
    assert states["dino"] == "done"
    after = accuracies(done)
    assert after.pop("MAE, published") is None
    assert after.items() <= before.items()
    path.write_bytes(kept)
    assert accuracies(done) == before


def test_results_stay_without_the_file_and_say_so(done):
    path, before = done.folder / "w" / "mae.pth", accuracies(done)
    path.rename(path.with_suffix(".away"))
    try:
        assert accuracies(done) == before
        text = done.here("table", done.grid).stdout
        assert "The file of MAE, published is missing; its scores are those of the weights" in text
        assert "file mae.pth (missing)" in done.here("plan", done.grid).stdout
        assert "all hold" in done.here("check", done.grid).stdout
        answer = done.here("run", done.grid, "--force", status=2)
        assert "those of MAE, published are missing; put them back" in answer.stderr
        assert accuracies(done) == before
    finally:
        path.with_suffix(".away").rename(path)


def test_an_archive_needs_no_file_and_names_no_folder(done, tmp_path):
    done.here("archive", done.grid, "--runs", done.runs, "--out", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        plan = archive.read("plan.json").decode()
    assert str(done.folder) not in plan
    table = call_here("table", tmp_path / "a.zip", "--gain", "--notes")
    live = done.here("table", done.grid, "--gain", "--notes").stdout
    assert table.stdout == live
    assert call_here("check", tmp_path / "a.zip").returncode == 0


WRONG = [
    ('{wieghts = "a.pth"}', "", "unknown key 'wieghts'. Did you mean 'weights'"),
    ('{weights = "a.pth", heads = 3, input = 32}', "", "unknown key 'input'"),
    ('{weights = 3}', "", "encoders.0.weights must be text, got 3"),
    ('{weights = "a.pth", heads = 0}', "", "encoders.0.heads must be 1 or more, got 0"),
    ('{weights = "a.pth", heads = 3, mean = "x"}', "", "must be a number or a list of numbers"),
    ('{weights = "a.pth"}', "", "encoders: a: "),
    ('{weights = "a.pth", heads = 5}', "", "5 heads do not divide its width, 48"),
    ('{weights = "a.pth", heads = 3, input_px = 30}', "", "do not divide its input"),
    ('{weights = "a.pth", heads = 3, channels = 3}', "", "channels is 3, but the file has 1 input"),
    ('{weights = "a.pth", heads = 3, channel = 1}', "", "the weights have channels 0 to 0"),
    ('{weights = "a.pth", heads = 3, mean = [0.1, 0.2]}', "", "mean has 2 values"),
    ('{weights = "a.pth", heads = 3, std = 0}', "", "deviations must be above 0"),
    ('{weights = "a.pth", heads = 3, part = "encoder"}', "", "has no part 'encoder'"),
    ('{weights = "a.pth", encoder = "timm:resnet18x"}', "", "timm"),
    ('{weights = "a.pth", heads = 3, label = " "}', "", "its label is empty"),
    ('{weights = "a.pth", heads = 3, seen = ["x", "x"]}', "", "seen has 'x' more than once"),
    ('{weights = "a.pth", heads = 3, seen = ["mstar_soc:test"]}', "", "write 'mstar_soc:train'"),
    ('{weights = "a.pth", heads = 3}, {weights = "copy.pth", heads = 3}', "",
     "a and copy have the same weights and settings"),
    ('{weights = "a.pth", heads = 3}, {weights = "dino.pth", heads = 3, label = "a"}', "",
     "two rows have the label 'a'"),
    ('{weights = "a.pth", heads = 3, label = "MAE"}', 'methods = ["mae"]',
     "two rows have the label 'MAE'"),
    ('{weights = "a.pth", heads = 3}', 'compare = "methods"', 'write compare = "checkpoints"'),
    ('{weights = "a.pth", heads = 3}', 'methods = ["given"]', "its weights come from a file"),
    ("", 'methods = ["given"]', "name the file under `encoders"),
    ('{weights = "none.pth", heads = 3}', "", "none.pth is missing"),
    ('{weights = "folder", heads = 3}', "", "is a folder; give the file of weights in it"),
    ('{weights = "short.pth", heads = 3}', "", "is damaged or truncated"),
    ('{weights = "nan.pth", heads = 3}', "", "holds NaN or infinite weights"),
    ('{weights = "more.pth", heads = 3}', "", "1 unexpected"),
    ('{weights = "fewer.pth", heads = 3}', "", "1 missing"),
    ('{weights = "grid.toml", heads = 3}', "", "is text"),
]  # fmt: skip


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> Path:
    """A folder with whole and damaged files of weights."""
    folder = tmp_path_factory.mktemp("wrong")
    write_weights(folder / "a.pth")
    write_weights(folder / "dino.pth", "dinov2_registers")
    shutil.copy(folder / "a.pth", folder / "copy.pth")
    (folder / "folder").mkdir()
    (folder / "short.pth").write_bytes((folder / "a.pth").read_bytes()[:5000])
    write_weights(folder / "nan.pth", added=float("nan"))
    for name, change in (("more", lambda w: w.update(extra=torch.zeros(1))),
                         ("fewer", lambda w: w.pop("norm.bias"))):  # fmt: skip
        content = published("mae_1")
        change(content.get("model", content))
        torch.save(content, folder / f"{name}.pth")
    return folder


@pytest.mark.parametrize(("encoders", "more", "message"), WRONG)
def test_a_wrong_entry_is_refused_and_nothing_is_written(wrong, encoders, more, message):
    (wrong / "grid.toml").write_text(grid_text(encoders, more))
    done = call_here("run", wrong / "grid.toml", "--runs", wrong / "runs")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (wrong / "runs").exists()


def test_every_wrong_file_has_a_line_of_its_own(wrong):
    encoders = ", ".join(f'{{weights = "{one}.pth", heads = 3}}' for one in ("short", "nan", "a"))
    (wrong / "grid.toml").write_text(grid_text(encoders))
    done = call_here("plan", wrong / "grid.toml", "--runs", wrong / "runs")
    assert done.returncode == 2
    lines = [one for one in done.stderr.splitlines() if "encoders: " in one]
    assert [one.split("encoders: ")[1].split(":")[0] for one in lines] == ["short", "nan"]


def test_a_path_may_be_absolute_and_an_entry_a_name(wrong, tmp_path):
    write_weights(tmp_path / "lomar.pth", "lomar")
    evaluate = EVALUATE.replace('knn = ["all"]', 'knn = ["all"]\nfinetune = ["all"]')
    (tmp_path / "grid.toml").write_text(
        grid_text(f'"lomar.pth", {{weights = "{wrong}/a.pth", heads = 3}}', "", evaluate)
    )
    answer = call_here("plan", tmp_path / "grid.toml", "--runs", tmp_path / "runs", "--json")
    found = [one for one in json.loads(answer.stdout)["runs"] if one["method"] == "given"]
    assert {(one["label"], one["protocol"]) for one in found} == {
        (label, protocol) for label in ("lomar", "a") for protocol in ("knn", "finetune")
    }
