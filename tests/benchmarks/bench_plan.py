"""Time `plan` and `table` on a made-up store of 10,000 runs, each in a process of its own.

Run: python tests/benchmarks/bench_plan.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sarbench.bench.data.prepare import prepare
from sarbench.bench.grid import read_grid
from sarbench.bench.plan import make_plan
from sarbench.bench.seeding import stream
from sarbench.bench.store import Store
from sarbench.results.record import PretrainRecord, Provenance, RunRecord

GRID = """
name = "many"
methods = ["mae", "lomar", "i_jepa", "fg_mae", "sar_hog", "pgga", "sar_jepa"]
[pretrain]
encoder = "vit_nano"
recipe = "quick"
seeds = 5
[evaluate]
datasets = ["synthetic"]
seeds = 61
[evaluate.protocols]
linear = [5, 10, 20, 40]
"""
GOALS = {"plan": (2.0, None), "table": (5.0, 500.0)}  # seconds, MB (DESIGN section 9)
REPEATS = 3


def fill(store: Store, grid: Path) -> int:
    """Write a made-up record for all that the grid declares; return the number of runs."""
    for pool in (False, True):
        prepare("synthetic", store.root, store.prepared, pool=pool)
    plan, rng = make_plan(read_grid(grid), store, store.root), stream(0, "bench_plan")
    provenance = Provenance(
        commit="made up", dirty=False, versions={"torch": "2.11"}, host="none", device="cpu",
        threads=1, started="2026-01-01T00:00:00+00:00", wall_s=1.0, gpu_s=0.0, peak_memory_mb=1.0,
    )  # fmt: skip
    common = {"provenance": provenance, "weights_digest": "w" * 64}
    for entry in plan.pretrain:
        record = PretrainRecord(
            key=entry.key, identity=entry.planned.identity.to_json(), steps=1, images_per_s=1.0,
            final_loss=1.0, feature_spread=1.0, **common,
        )  # fmt: skip
        write(store, "pretrain", record)
    for entry, score in zip(plan.runs, rng.uniform(0.3, 0.9, len(plan.runs)), strict=True):
        record = RunRecord(
            key=entry.key, identity=entry.planned.identity.to_json(), accuracy=score,
            balanced_accuracy=score, macro_f1=score, train_count=50, test_count=600,
            support_digest="s" * 64, predictions_digest="p" * 64, **common,
        )  # fmt: skip
        write(store, "evaluate", record)
    return len(plan.runs)


def write(store: Store, kind: str, record: PretrainRecord | RunRecord) -> None:
    """Write a record without syncing it, which would take minutes."""
    folder = store.root / kind / record.key
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record.model_dump_json(indent=1) + "\n")


def measure(*words: str) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak memory (MB) of a command."""
    command = [sys.executable, "-m", "sarbench.bench.cli", *words]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print the best of a few repeats, and the ratio to the goal."""
    with tempfile.TemporaryDirectory() as folder:
        store, grid = Store(Path(folder) / "runs"), Path(folder) / "grid.toml"
        grid.write_text(GRID)
        runs = fill(store, grid)
        print(f"{runs} runs; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        for command, (goal_s, goal_mb) in GOALS.items():
            figures = [
                measure(command, str(grid), "--runs", str(store.root)) for _ in range(REPEATS)
            ]
            wall_s, cpu_s, memory_mb = np.min(figures, axis=0)
            print(
                f"{command:6} {wall_s:6.2f} s wall ({wall_s / goal_s:.2f} of the goal), "
                f"{cpu_s:.2f} s of processor ({cpu_s / goal_s:.2f}), {memory_mb:.0f} MB"
                + (f" ({memory_mb / goal_mb:.2f} of the goal)" if goal_mb else "")
            )


if __name__ == "__main__":
    main()
