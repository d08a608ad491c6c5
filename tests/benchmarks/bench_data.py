"""Time and memory of opening a prepared set of 100,000 chips.

Run: python tests/benchmarks/bench_data.py
"""

import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sarbench.bench.data.packed import Summary, open_packed
from sarbench.bench.data.registry import card

COUNT, SIDE_PX = 100_000, 64
GOAL_S = 0.2
REPEATS = 5


def write_set(folder: Path) -> None:
    """Write a prepared pool whose pixels are a sparse file, which takes no disk space."""
    summary = Summary(
        name="folder", kind="pool", count=COUNT, counts={"train": {}, "test": {}},
        data_digest="d" * 64, split_digest="", rendering="", transform="none", crop_px=None,
        dtype="uint8", classes=(),
    )  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(asdict(summary) | {"stamp": ""}))
    with (folder / "pixels.bin").open("wb") as file:
        file.truncate(COUNT * SIDE_PX**2)
    size = np.full((COUNT, 2), SIDE_PX)
    np.savez(
        folder / "index.npz",
        ids=np.array([f"folder/chip_{i:06d}.png" for i in range(COUNT)]),
        labels=np.full(COUNT, -1), is_test=np.zeros(COUNT, bool),
        offset=np.arange(COUNT) * SIDE_PX**2, size=size, source_size=size,
        content=np.arange(COUNT, dtype=np.uint64),
    )  # fmt: skip


def resident_mb() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Print the shortest time of a few repeats and the growth in memory."""
    with tempfile.TemporaryDirectory() as name:
        folder, pool = Path(name), card(f"folder:{name}")
        write_set(folder)
        before, times = resident_mb(), []
        for _ in range(REPEATS):
            began = time.perf_counter()
            chips = open_packed(pool, folder)
            times.append(time.perf_counter() - began)
        opened = resident_mb() - before
        for index in range(0, COUNT, 1000):
            chips.chip(index).sum()
        pixels_mb = COUNT * SIDE_PX**2 / 2**20
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"opening {COUNT} chips  {min(times):.3f} s ({min(times) / GOAL_S:.2f} of the goal)")
        print(f"memory  {opened:.0f} MB for the index; the pixels are {pixels_mb:.0f} MB")
        print(f"after reading every 1000th chip  {resident_mb() - before:.0f} MB")


if __name__ == "__main__":
    main()
