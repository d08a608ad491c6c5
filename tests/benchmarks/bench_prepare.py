"""Time to pack a pool of 256 px JPEG images on one core and on all.

Run: python tests/benchmarks/bench_prepare.py [IMAGES]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 256


def write_images(folder: Path, count: int) -> None:
    """Write speckle as JPEG images of quality 90; every fourth is new, the others are links."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if number % 4:
            path.hardlink_to(folder / f"{number - number % 4:06d}.jpg")
            continue
        pixels = (rng.rayleigh(0.15, (SIDE_PX, SIDE_PX)) * 255).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=90)


def packing_s(folder: Path, store: Path, used: set[int]) -> float:
    """Return the seconds that the command takes on these cores, its start and end included."""
    words = "data", "prepare", "folder:pool", "--data", str(folder.parent), "--runs", str(store)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sarbench.bench.cli", *words], check=True, capture_output=True,
        preexec_fn=partial(os.sched_setaffinity, 0, used),
    )  # fmt: skip
    taken = time.perf_counter() - began
    shutil.rmtree(store)
    os.sync()
    return taken


def main() -> None:
    """Print wall time on one core and on all, three times in turn, and the ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 28_000
    every = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pool"
        folder.mkdir()
        write_images(folder, count)
        print(f"{count} images of {SIDE_PX} px, load {os.getloadavg()[0]:.1f}")
        for _ in range(3):
            one, all_ = (packing_s(folder, Path(name) / "runs", c) for c in ({min(every)}, every))
            print(f"one core {one:.1f} s, {len(every)} cores {all_:.1f} s: {one / all_:.2f}")


if __name__ == "__main__":
    main()
