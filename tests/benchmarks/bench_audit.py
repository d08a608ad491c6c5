"""Time, memory, recall and precision of `sarbench data audit` on chips with planted copies.

Run: python tests/benchmarks/bench_audit.py [CHIPS ...]             # made-up chips of 128 px
     python tests/benchmarks/bench_audit.py --real NAME --data DIR  # copies among real chips
     python tests/benchmarks/bench_audit.py --real NAME --overlap --data DIR  # by overlap, 128 px
     python tests/benchmarks/bench_audit.py CHIPS ... --real NAME --data DIR  # windows of these
     python tests/benchmarks/bench_audit.py --equal CHIPS           # one chip, many times

`pool:NAME` is a pool. An audit of several sizes gives the exponent, by which the time of 100,000
chips is extrapolated.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from sarbench.bench.audit.report import Audit, audit
from sarbench.bench.data.chips import Chips
from sarbench.bench.data.prepare import prepare

sys.path.insert(0, str(Path(__file__).parent.parent))

from planted import CHANGES, OVERLAPS, chips_of, made_images, plant, windows

EACH = 100  # planted copies of each kind
SIDE_PX = 128
PART = 5000  # made-up chips drawn at a time
WHOLE = 100_000


def timed(chips: Chips) -> tuple[Audit, float]:
    started, lines, last = time.process_time(), [], [("", time.process_time())]

    def report(stage: str, done: int, total: int) -> None:
        if done == total:  # what follows belongs to the next line
            now = time.process_time()
            lines.append(f"{stage} {total:,} after {now - last[0][1]:.0f} s")
            last[0] = stage, now

    wall = time.perf_counter()
    result = audit([chips], report)
    seconds, wall = time.process_time() - started, time.perf_counter() - wall
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(chips):,} chips: {seconds:.0f} s of processor time, {wall:.0f} s of wall time at a "
        f"load of {os.getloadavg()[0]:.0f}, peak {peak_gb:.1f} GB with the chips "
        f"({chips.pixels.nbytes / 2**30:.1f} GB); {'; '.join(lines)}; {result.counts}",
        flush=True,
    )
    return result, seconds


def show(result: Audit, pairs: dict[tuple[int, int], str]) -> None:
    changes = {name: one for name, one in (CHANGES | OVERLAPS).items() if name in pairs.values()}
    found = {pair.numbers: pair for pair in (*result.exact, *result.near)}
    for name, (kind, _) in changes.items():
        planted = [pair for pair, change in pairs.items() if change == name]
        there = [found[pair] for pair in planted if pair in found]
        kinds = Counter(pair.kind for pair in there)
        scores = [pair.score for pair in there] or [np.nan]
        print(
            f"  {name}: recall {len(there) / len(planted):.3f}, score {min(scores):.2f} to "
            f"{max(scores):.2f}, called {kind} {kinds[kind] / max(len(there), 1):.2f}"
        )
    right = len(found.keys() & pairs.keys())
    print(f"  precision {right / max(len(found), 1):.4f} of {len(found)} pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chips", nargs="*", type=int)
    parser.add_argument("--real")
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--equal", type=int, default=0)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    if given.equal:
        one = chips_of(made_images(1, SIDE_PX) * 2)
        row = np.zeros(given.equal, np.int64)
        ids = np.array([f"made/{number:06d}" for number in range(given.equal)])
        timed(replace(
            one, ids=ids, labels=row - 1, is_test=row > 0, offset=row, height=row + SIDE_PX,
            width=row + SIDE_PX, source_size=np.full((given.equal, 2), SIDE_PX),
            content=np.full(given.equal, one.content[0]),
        ))  # fmt: skip
        return
    real: list[np.ndarray] = []
    if given.real:
        with tempfile.TemporaryDirectory() as folder:
            pool = given.real.startswith("pool:")
            name = given.real.removeprefix("pool:")
            chips = prepare(name, given.data, Path(folder), pool=pool).chips
            real = [np.array(chips.chip(row)) for row in range(len(chips))]
        if not given.chips:
            images, pairs = plant(real, EACH, rng, OVERLAPS if given.overlap else CHANGES)
            show(timed(chips_of(images))[0], pairs)
            return
    times, sizes = [], given.chips or [10_000, 20_000]
    for count in sizes:
        own = count - EACH * len(CHANGES)
        if real:
            images = windows(real, own, SIDE_PX, rng)
        else:
            parts = range(0, own, PART)
            made = (made_images(min(PART, own - start), SIDE_PX, start) for start in parts)
            images = [one for part in made for one in part]
        images, pairs = plant(images, EACH, rng)
        chips = chips_of(images)
        del images
        result, seconds = timed(chips)
        show(result, pairs)
        times.append(seconds)
    if len(times) > 1:
        low, high = sizes[0], sizes[-1]
        exponent = np.log(times[-1] / times[0]) / np.log(high / low)
        print(
            f"exponent {exponent:.2f}: {WHOLE:,} chips in "
            f"{times[-1] * (WHOLE / high) ** exponent:.0f} s of processor time"
        )


if __name__ == "__main__":
    main()
