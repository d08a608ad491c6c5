"""Time to pack a pool of 256 px JPEG images by one process and by one for each core.

Run: python tests/benchmarks/bench_prepare.py [IMAGES]
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sarbench.bench.data.pack_parallel import cores
from sarbench.bench.data.prepare import prepare

SIDE_PX, WHOLE = 256, 100_000


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


def processor_s() -> float:
    """Return the processor time of this process and of its finished children."""
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, who))


def main() -> None:
    """Print wall and processor time, and both for 100,000 images in proportion."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pool"
        folder.mkdir()
        write_images(folder, count)
        print(f"{count} images of {SIDE_PX} px, load {os.getloadavg()[0]:.1f}, {cores()} cores")
        for processes in (1, cores()):
            began, used = time.perf_counter(), processor_s()
            packed = Path(name) / f"packed{processes}"
            made = prepare("folder:pool", folder.parent, packed, pool=True, processes=processes)
            wall, spent = time.perf_counter() - began, processor_s() - used
            print(
                f"{processes} processes: {wall:.1f} s, {spent:.1f} s of processor time; for "
                f"{WHOLE:,}: {wall * WHOLE / count:.0f} s, {spent * WHOLE / count:.0f} s; pixels "
                f"{made.chips.data_digest[:12]}"
            )


if __name__ == "__main__":
    main()
