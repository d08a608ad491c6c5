"""Time, memory, recall and precision of `sarbench data audit` on chips with planted copies.

Run: python tests/benchmarks/bench_audit.py [CHIPS ...]             # made-up chips of 128 px
     python tests/benchmarks/bench_audit.py --real NAME --data DIR  # copies among real chips

An audit of several sizes gives the exponent, by which the time of 100,000 chips is extrapolated.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from planted import CHANGES, chips_of, made_images, plant

from sarbench.bench.audit.report import Audit, audit
from sarbench.bench.data.prepare import prepare

EACH = 100  # planted copies of each kind
SIDE_PX = 128
PART = 5000  # made-up chips drawn at a time
WHOLE = 100_000


def timed(images: list[np.ndarray]) -> tuple[Audit, float]:
    chips = chips_of(images)
    started, stages = time.process_time(), {}
    result = audit([chips], lambda stage, done, total: stages.update({stage: total}))
    seconds = time.process_time() - started
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(images):,} chips: {seconds:.0f} s of processor time, peak {peak_gb:.1f} GB with "
        f"the chips ({chips.pixels.nbytes / 2**30:.1f} GB); {stages}"
    )
    return result, seconds


def show(result: Audit, pairs: dict[tuple[int, int], str]) -> None:
    found = {pair.numbers: pair for pair in (*result.exact, *result.near)}
    for name, (kind, _) in CHANGES.items():
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
    parser.add_argument("chips", nargs="*", type=int, default=[10_000, 20_000])
    parser.add_argument("--real")
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    if given.real:
        with tempfile.TemporaryDirectory() as folder:
            pool = given.real.startswith("pool:")
            name = given.real.removeprefix("pool:")
            chips = prepare(name, given.data, Path(folder), pool=pool).chips
            own = [np.array(chips.chip(row)) for row in range(len(chips))]
        images, pairs = plant(own, EACH, rng)
        show(timed(images)[0], pairs)
        return
    times = []
    for count in given.chips:
        parts = range(0, count - EACH * len(CHANGES), PART)
        images = [
            one
            for start in parts
            for one in made_images(min(PART, count - EACH * len(CHANGES) - start), SIDE_PX, start)
        ]
        images, pairs = plant(images, EACH, rng)
        result, seconds = timed(images)
        show(result, pairs)
        times.append(seconds)
    if len(times) > 1:
        low, high = given.chips[0], given.chips[-1]
        exponent = np.log(times[-1] / times[0]) / np.log(high / low)
        print(
            f"exponent {exponent:.2f}: {WHOLE:,} chips in "
            f"{times[-1] * (WHOLE / high) ** exponent:.0f} s of processor time"
        )


if __name__ == "__main__":
    main()
