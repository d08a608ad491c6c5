"""Time a training step of every method on one core, and its share of what the core can do.

Run: python tests/benchmarks/bench_step.py [METHOD ...]

The times are processor time, the shortest of several steps. A core can do what a product of two
matrices of 1024 x 1024 reaches: by torch (MKL), and by oneDNN. The work of a step is that of its
matrix products (`sarbench methods show`); the rest takes time and does not count.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from sarbench.bench.execution.job import prepare_process
from sarbench.bench.identity import Pretraining, Recipe, Resources, to_json
from sarbench.bench.method_facts.architecture import architecture_of
from sarbench.bench.method_facts.sample_batches import build, sample_batch
from sarbench.bench.pretraining.optimisation import make_optimizer
from sarbench.bench.pretraining.step import train_step
from sarbench.bench.seeding import torch_stream
from sarbench.methods import SIZES, get, names
from sarbench.methods._linear import linear

BATCH, STEPS, ENCODER = 32, 10, SIZES["vit_nano"]


def shortest(task: Callable[[], object], repeats: int = STEPS) -> float:
    """Return the shortest processor time of some repeats in seconds, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.thread_time()
        task()
        times.append(time.thread_time() - start)
    return min(times[1:])


def best_rates() -> tuple[float, float]:
    """Return the GFLOP/s of a large matrix product by torch, and by our linear layers."""
    a, b = (torch.rand(1024, 1024, generator=torch_stream(i, "matrix")) for i in range(2))
    gflop = 2 * 1024**3 / 1e9
    return gflop / shortest(lambda: a @ b, 30), gflop / shortest(lambda: linear(a, b, None), 30)


def step_of(name: str, precision: str, **config: Any) -> tuple[float, float]:
    """Return the seconds and the GFLOP of a step of a method."""
    kind = get(name)
    settings = kind.Config(**config)
    method = build(kind, ENCODER, settings).train()
    recipe = Recipe(batch=BATCH)
    identity = Pretraining(
        method=name, method_version=kind.version, config=to_json(settings),
        encoder=asdict(ENCODER), precision="fp32", pool=[], pool_cap=None, pool_fraction=1.0,
        recipe=to_json(recipe), seed=0,
    )  # fmt: skip
    batch = sample_batch(method, BATCH)
    optimizer = make_optimizer(method, recipe)

    def step() -> None:
        train_step(method, optimizer, batch, torch_stream(0, "mask"), precision=precision)

    return shortest(step), BATCH * (architecture_of(identity).step_gflop or 0.0)


def main() -> None:
    """Print a line for each method."""
    prepare_process(Resources(threads=1))
    chosen = sys.argv[1:] or [name for name in names() if get(name).trains]
    mkl, onednn = best_rates()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {ENCODER.name}, one core")
    print(f"a core does {mkl:.0f} GFLOP/s by torch's product, {onednn:.0f} by oneDNN's")
    print("| method | fp32 ms | bf16 ms | GFLOP | GFLOP/s | of torch's | of oneDNN's |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in chosen:
        bf16, _ = step_of(name, "bf16")
        fp32, gflop = step_of(name, "fp32")
        rate = gflop / fp32
        print(
            f"| `{name}` | {1e3 * fp32:.0f} | {1e3 * bf16:.0f} | {gflop:.1f} | {rate:.0f} "
            f"| {rate / mkl:.0%} | {rate / onednn:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
