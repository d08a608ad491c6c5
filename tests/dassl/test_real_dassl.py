"""Trainings by a real Dassl, in a checkout that an environment variable names."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Sarbench
from stores import synthetic_sets

from sarbench.bench.dassl.splits import (
    draw_support,
    split_files,
    split_of,
    write_chips,
    write_files,
)
from sarbench.bench.data.prepare import prepare

TRAIN = Path(__file__).with_name("train.py")
GRID = """
name = "dassl"
methods = ["mae"]
[pretrain]
pool = ["synthetic"]
pool_cap = 32
encoder = "vit:16x1x1@16/8"
recipe = "quick"
epochs = 1
warmup_epochs = 0.5
batch = 16
[evaluate]
datasets = ["synthetic"]
seeds = [1]
[evaluate.protocols]
linear = [5]
few_shot = [5]
logistic = [5]
knn = ["all"]
[evaluate.protocols.finetune]
shots = ["all"]
settings = { epochs = 1, warmup_epochs = 0 }
"""
CASES = {  # trainer -> protocol and further options
    "SarbenchLinear": ("linear", ["DATASET.NUM_SHOTS", "5"]),
    "SarbenchFewShot": ("few_shot", ["DATASET.NUM_SHOTS", "5"]),
    "SarbenchLogistic": ("logistic", ["DATASET.NUM_SHOTS", "5"]),
    "SarbenchKnn": ("knn", []),
    "SarbenchFinetune": (
        "finetune", ["TRAINER.SARBENCHFINETUNE.EPOCHS", "1",
                     "TRAINER.SARBENCHFINETUNE.WARMUP_EPOCHS", "0"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Sarbench:
    """Return a store with the runs of a grid, and their split exported next to it."""
    calls = runpy.run_path(str(TRAIN))
    try:
        calls["dassl"]()
    except calls["MissingDasslError"] as error:
        pytest.skip(str(error))
    made = Sarbench(tmp_path_factory.mktemp("dassl"), GRID)
    made.here("run", made.grid, "-m", "mae")
    chips = prepare("synthetic", synthetic_sets(), synthetic_sets()).chips
    drawn = [draw_support(chips, shots, 1) for shots in (5, "all")]
    write_files(made.folder / "split", split_files(split_of(chips), drawn, "dassl"))
    list(write_chips(made.folder / "split", chips))
    return made


def train(run: Sarbench, *words: str) -> subprocess.CompletedProcess[str]:
    """Call `train.py` of Dassl on the exported split."""
    (start,) = (one["key"] for one in run.plan()["pretrain"] if one["method"] == "mae")
    options = [
        "--root", "split", "--dataset-config-file", "split/dataset.yaml", "--seed", "1",
        "--output-dir", "out", "--backbone", f"sarbench:{start[:12]}", *words,
        "DATALOADER.NUM_WORKERS", "0",
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, TRAIN, "--", *options], cwd=run.folder, capture_output=True, text=True,
        check=False, env=run.environment | {"SARBENCH_RUNS": str(run.runs)},
    )  # fmt: skip


@pytest.mark.parametrize("trainer", CASES)
def test_a_training_by_dassl_has_the_accuracy_of_the_run_in_a_grid(trainer, run):
    protocol, options = CASES[trainer]
    done = train(run, "--trainer", trainer, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    correct = int(re.search(r"\* correct: ([\d,]+)", done.stdout)[1].replace(",", ""))
    (record,) = (
        record for path in (run.runs / "evaluate").glob("*/record.json")
        if (record := json.loads(path.read_text()))["identity"]["protocol"] == protocol
        and record["identity"]["method"] == "mae"
    )  # fmt: skip
    assert correct == round(record["accuracy"] * 1200)


def test_a_trainer_of_dassl_trains_our_encoder_on_our_split(run):
    done = train(run, "--trainer", "Vanilla", "DATASET.NUM_SHOTS", "5", "OPTIM.MAX_EPOCH", "1")
    assert "* total: 1,200" in done.stdout, done.stdout + done.stderr


def test_what_a_protocol_would_ignore_stops_the_training(run):
    done = train(run, "--trainer", "SarbenchLinear", "DATASET.NUM_SHOTS", "5", "OPTIM.LR", "0.1")
    assert done.returncode == 1
    assert "SarbenchLinear does not use OPTIM.LR = 0.1" in done.stderr
