"""`sarbench data audit` from the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from commands import call_here
from PIL import Image
from planted import made_images


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with class/image, where b/1 is a rotation of a/0, and a/2 equals b/2."""
    images = made_images(6, 48)
    images[4], images[5] = np.rot90(images[0]).copy(), images[2]
    for name, image in zip(("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"), images, strict=True):
        path = tmp_path / f"data/chips/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "data"


def test_a_pool_is_audited_and_its_groups_divide_it(data: Path, tmp_path: Path):
    where = ("--data", data, "--runs", tmp_path / "runs")
    out = tmp_path / "out"
    answer = call_here("data", "audit", "folder:chips", *where, "--out", out)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[:5] == [
        "folder:chips: 6 chips",
        "  exact pairs: 1",
        "  near pairs: 1",
        "    rotation: 1",
        "  groups of duplicates: 2, with 4 chips",
    ]
    found = json.loads((out / "report.json").read_text())
    assert [(one["ids"], one["kind"]) for one in found["exact"] + found["near"]] == [
        (["a/2.png", "b/2.png"], "exact"), (["a/0.png", "b/1.png"], "rotation"),
    ]  # fmt: skip
    assert (out / "pairs.png").exists()
    rows = list(csv.DictReader((out / "groups.csv").read_text().splitlines()))
    assert {row["file"]: row["group"] for row in rows} == {
        "a/0.png": "duplicates-0", "a/1.png": "", "a/2.png": "duplicates-2",
        "b/0.png": "", "b/1.png": "duplicates-0", "b/2.png": "duplicates-2",
    }  # fmt: skip
    # the file divides the folder without dividing a group
    (out / "groups.csv").rename(data / "chips/split.csv")
    name = "folder:chips?test=0.5&by=group"
    answer = call_here("data", "audit", name, *where, "--json")
    assert answer.returncode == 0, answer.stderr
    divided = json.loads(answer.stdout)
    assert divided["shared"]["exact"] == divided["shared"]["near"] == 0
    assert [sorted(one["classes"]) for one in divided["label_conflicts"]] == [["a", "b"]] * 2


def test_labels_need_one_data_set_and_a_grid_with_runs(data: Path, tmp_path: Path):
    where = ("--data", data, "--runs", tmp_path / "runs")
    answer = call_here("data", "audit", "synthetic", "folder:chips", *where, "--labels", "demo")
    assert answer.returncode == 2
    assert "leave out NAME2" in answer.stderr
