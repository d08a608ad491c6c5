"""Files that change after they were packed make another version, which `run` packs and names."""

from pathlib import Path

import numpy as np
from commands import call_here
from PIL import Image

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


def test_run_packs_changed_files_and_keeps_the_results_of_those_before(tmp_path: Path, monkeypatch):
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
    words = "run", "grid.toml", "--data", "data", "--workers", "1"
    assert call_here(*words).returncode == 0
    again = call_here(*words)
    assert "2 done before, 0 to do" in again.stderr
    assert "changed" not in again.stderr
    split.write_text(split.read_text().replace("a/0.png,a,train", "a/0.png,a,test"))
    changed = call_here(*words)
    assert "folder:veh: its files have changed since they were packed (16 chips" in changed.stderr
    assert "0 done before, 2 to do" in changed.stderr
    assert len(list((tmp_path / "runs/evaluate").iterdir())) == 4
