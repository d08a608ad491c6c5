"""Time of a pretraining step of every method, and memory of the process.

Run: python tests/benchmarks/bench_pretrain.py [METHOD ...]
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from sarbench.bench.data.pools import Pool
from sarbench.bench.data.prepare import prepare
from sarbench.bench.identity import Pretraining, Recipe, Resources
from sarbench.bench.pretraining.loop import Progress, pretrain
from sarbench.bench.store.records import Store
from sarbench.methods import get, names
from sarbench.methods._encoders import SIZES

CHIPS, BATCH, EPOCHS = 160, 32, 40  # 200 steps


def resident_mb() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def watch(name: str, pool: Pool, store: Store) -> tuple[float, float, float]:
    """Pretrain; return milliseconds of a step, peak MB of the first half, growth in the second.

    Between two steps memory comes and goes by 100 MB; only peaks of many steps say something.
    """
    method = get(name)
    identity = Pretraining(
        method=name, method_version=method.version,
        config=json.loads(json.dumps(asdict(method.Config()))), encoder=asdict(SIZES["vit_nano"]),
        precision="fp32", pool=[], pool_cap=CHIPS, pool_fraction=1.0,
        recipe=asdict(Recipe(epochs=EPOCHS, batch=BATCH, warmup_epochs=1.0)), seed=0,
    )  # fmt: skip
    memory, moments = [], [time.perf_counter()]

    def see(progress: Progress) -> None:
        memory.append(resident_mb())
        moments.append(time.perf_counter())

    pretrain(identity, pool, store, Resources(checkpoint_s=1.0), on_progress=see)
    half = len(memory) // 2
    first, second = max(memory[:half]), max(memory[half:])
    return 1e3 * float(np.median(np.diff(moments))), first, second - first


def main() -> None:
    """Print a line for each method."""
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or [name for name in names() if get(name).trains]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, one thread, vit_nano")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        pool = Pool([prepare("synthetic", store.root, store.prepared, pool=True).chips], cap=CHIPS)
        for name in chosen:
            step_ms, peak_mb, growth_mb = watch(name, pool, store)
            print(
                f"{name:16} {step_ms:7.1f} ms a step of {BATCH}, {peak_mb:5.0f} MB at most in the "
                f"first half of {EPOCHS * CHIPS // BATCH} steps, {growth_mb:+.1f} MB in the second"
            )


if __name__ == "__main__":
    main()
