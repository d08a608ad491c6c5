"""Files that change after they were packed make another version, which `run` packs and names."""

from pathlib import Path

import numpy as np
from PIL import Image

from sarbench.bench.cli import data
from sarbench.bench.cli.grid_arguments import Request
from sarbench.bench.plan import pool_copies

GRID = """
name = "changed"
controls = ["raw_pixels"]
methods = []

[evaluate]
datasets = ["folder:veh"]
seeds = 1

[evaluate.protocols]
knn = ["all"]
"""


def test_changed_files_are_packed_as_another_version_which_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines, draw = ["file,class,side"], np.random.default_rng(0)
    for number in range(16):
        label, side = "ab"[number % 2], "train" if number < 8 else "test"
        path = tmp_path / f"data/veh/{label}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (32, 32), np.uint8)).save(path)
        lines.append(f"{label}/{number}.png,{label},{side}")
    split = tmp_path / "data/veh/split.csv"
    split.write_text("\n".join(lines))
    (tmp_path / "grid.toml").write_text(GRID)
    said = []
    monkeypatch.setattr(data, "print_status", said.append)
    monkeypatch.setattr(pool_copies, "audit_pools", lambda *_: None)

    def prepared() -> str:
        request = Request(Path("grid.toml"), Path("runs"), Path("data"))
        return data.prepare_missing(request, request.plan()).data["folder:veh"].split_digest

    before = prepared()
    assert (prepared(), said) == (before, [])
    split.write_text(split.read_text().replace("a/0.png,a,train", "a/0.png,a,test"))
    after = prepared()
    assert after != before
    (text,) = said
    assert text.startswith("folder:veh: its files have changed since they were packed (16 chips")
    assert before[:12] in text.partition("now")[0]
    assert after[:12] in text.partition("now")[2]
    assert (prepared(), len(said)) == (after, 1)
