"""Times of training steps and of attention on the first GPU, for bench_gpu.py."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention.flex_attention import flex_attention

from sarbench.bench.data.chips import Chips
from sarbench.bench.data.pools import Pool
from sarbench.bench.execution.job import prepare_process
from sarbench.bench.identity import Pretraining, Recipe, Resources, to_json
from sarbench.bench.method_facts.architecture import architecture_of
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.pretraining.batches import Batches
from sarbench.bench.pretraining.device import COMPILE, compile_blocks
from sarbench.bench.pretraining.distributed import ALONE
from sarbench.bench.pretraining.optimisation import make_optimizer
from sarbench.bench.pretraining.step import queue_step
from sarbench.methods import SIZES, get
from sarbench.methods._relative_positions import fused_attention, plain_attention, relative_buckets

DEVICE = "cuda:0"
SIZE, BATCH = "vit_base", 300  # of the paper
WARM, TIMED = 3, 20  # steps
# Dense bf16 TFLOP/s of tensor cores, from NVIDIA's data sheets; the first name that fits counts.
PEAKS = {
    "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "GH200": 989, "B200": 2250,
    "A100": 312, "A800": 312, "L40S": 362, "A40": 150, "4090": 165, "A6000": 155,
}  # fmt: skip


def identity_of(method: str, recipe: Recipe) -> Pretraining:
    """Return the identity of a pretraining on a made-up pool."""
    kind = get(method)
    member = {"name": "made_up:train", "digest": "d", "count": 8, "split": "s", "classes": 10}
    return Pretraining(
        method=method, method_version=kind.version,
        config=json.loads(json.dumps(asdict(kind.Config()))), encoder=asdict(SIZES[SIZE]),
        precision="bf16", pool=[member], pool_cap=None, pool_fraction=1.0,
        recipe=to_json(recipe), seed=0,
    )  # fmt: skip


def made_up(classes: int, train: int, test: int, px: int, name: str = "made_up") -> Chips:
    """Return chips of noise whose classes differ by a bright square."""
    count, rng = train + test, np.random.default_rng(0)
    labels = np.arange(count) % classes
    pixels = rng.integers(0, 128, (count, px, px), dtype=np.uint8)
    for chip, label in zip(pixels, labels.tolist(), strict=True):
        place = label * px // (classes + 1)
        chip[place : place + px // 8, place : place + px // 8] += 100
    side = np.full(count, px)
    return Chips(
        name=name, ids=np.array([f"chip {i:06d}" for i in range(count)]), labels=labels,
        classes=tuple(f"class {i:02d}" for i in range(classes)), is_test=np.arange(count) >= train,
        pixels=pixels.ravel(), offset=np.arange(count) * px**2, height=side, width=side,
        source_size=np.stack([side, side], 1), content=np.arange(count, dtype=np.uint64),
        full_scale=255.0, data_digest="d" * 64, split_digest="s" * 64,
    )  # fmt: skip


def pool_of(count: int) -> Pool:
    """Return a made-up pool of the usual size of chips, with labels."""
    pool = Pool([made_up(10, count, 0, 128)])
    pool.labels = np.arange(count) % 10
    return pool


def timed(work: Callable[[], Any], repeats: int) -> float:
    """Return the seconds of one call, without the time before the first."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / repeats


def steps_of(name: str, batch: int, compiled: bool) -> dict[str, Any]:
    """Time the steps of a method as a pretraining does them, with the pool on the GPU."""
    recipe = Recipe(batch=batch)
    identity = identity_of(name, recipe)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    method = build_method(identity).to(DEVICE).train()
    messages: list[str] = []
    os.environ[COMPILE] = str(int(compiled))
    compiled = compile_blocks(method, DEVICE, messages.append)
    views = type(method).views(method.config)
    batches = Batches(
        pool_of(8 * batch), recipe, 0, views, SIZES[SIZE].input_px, DEVICE,
        labelled=method.needs_labels, warn=messages.append,
    )  # fmt: skip
    optimizer = make_optimizer(method, recipe)
    method.steps = 1000
    number = iter(range(10**6))

    def step() -> None:
        now = next(number)
        drawn = replace(batches.batch(now), progress=now / 1000)
        rng = ALONE.stream(0, "mask", now, device=DEVICE)
        queue_step(method, optimizer, drawn, rng, precision="bf16")

    began = time.perf_counter()
    timed(step, WARM)
    first_s = time.perf_counter() - began
    return {
        "compiled": compiled, "resident": batches.resident, "messages": messages,
        "seconds": timed(step, TIMED), "first_steps_s": round(first_s, 1),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
    }  # fmt: skip


def pretrain_step(name: str) -> dict[str, Any]:
    """Return the time of a step with and without the compiler, at batch 300 or what fits."""
    prepare_process(Resources(DEVICE))
    batch = BATCH
    while True:
        try:
            eager = steps_of(name, batch, compiled=False)
            break
        except torch.OutOfMemoryError:
            if batch < 20:
                raise
        batch //= 2
    best = steps_of(name, batch, compiled=True)
    cost = architecture_of(identity_of(name, Recipe(batch=batch))).step_gflop
    tflops = cost * batch / best["seconds"] / 1e3
    device = torch.cuda.get_device_name()
    peak = next((value for part, value in PEAKS.items() if part in device), None)
    return {
        "batch": batch, "step_ms": 1e3 * best["seconds"], "eager_ms": 1e3 * eager["seconds"],
        "chips_per_s": batch / best["seconds"], "tflops": tflops,
        "peak_share": None if peak is None else tflops / peak, "memory_gib": best["memory_gib"],
        **{key: best[key] for key in ("compiled", "resident", "messages", "first_steps_s")},
    }  # fmt: skip


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Import from a folder of somebody else."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def reference(checkout: Path) -> dict[str, Any]:
    """Time SAR-JEPA's own ViT-B step: fp32, 75 chips as its script has, chips on the GPU already.

    Its loader and its wait after each step are left out, which is to its advantage.
    """
    with on_path(checkout / "Pretraining"):
        import models_lomar  # pyright: ignore[reportMissingImports]

        model = models_lomar.mae_vit_base_patch16().to(DEVICE).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95))
        found = {}
        for batch in (75, 300):
            images = torch.rand(batch, 1, 224, 224, device=DEVICE)

            def step(images: torch.Tensor = images) -> None:
                optimizer.zero_grad()
                model(images, window_size=7, num_window=4, mask_ratio=0.8)[0].mean().backward()
                optimizer.step()

            try:
                timed(step, WARM)
                found[batch] = batch / timed(step, TIMED)
            except torch.OutOfMemoryError:
                found[batch] = 0.0
    return {"chips_per_s": max(found.values()), "by_batch": found}


def flex(q: Any, k: Any, v: Any, table: Any, buckets: Any, attend: Any) -> torch.Tensor:
    """Attend with the relative term in the kernel; q . T is one small product before it."""
    terms = q @ table.to(q.dtype)  # (R, h, N, buckets)

    def score(logit: Any, row: Any, head: Any, query: Any, key: Any) -> Any:
        return logit + terms[row, head, query, buckets[query, key]]

    return attend(q, k, v, score_mod=score)


def attention() -> dict[str, Any]:
    """Time forward and backward of relative attention in the shapes of SAR-JEPA with ViT-B."""
    shapes = {
        "encoder, windows": (1200, 12, 50, 64), "predictor, windows": (1200, 16, 50, 32),
        "encoder, chips": (64, 12, 197, 64),
    }  # fmt: skip
    ways = {
        "fused, additive mask": fused_attention, "plain": plain_attention,
        "fused, compiled": torch.compile(fused_attention),
        "flex": partial(flex, attend=torch.compile(flex_attention)),
    }  # fmt: skip
    found: dict[str, Any] = {}
    for shape_name, (rows, heads, tokens, width) in shapes.items():
        rng = torch.Generator(DEVICE).manual_seed(0)
        q, k, v = (
            torch.randn(rows, heads, tokens, width, generator=rng, device=DEVICE)
            .bfloat16()
            .requires_grad_()
            for _ in range(3)
        )
        table = (0.1 * torch.randn(width, 50, generator=rng, device=DEVICE)).requires_grad_()
        buckets = relative_buckets(tokens, q.device)
        expected = plain_attention(q.float(), k.float(), v.float(), table, buckets)
        for way, attend in ways.items():

            def step(attend: Any = attend, given: Any = (q, k, v, table, buckets)) -> Any:
                out = attend(*given)
                out.float().square().sum().backward()
                return out

            try:
                error = float((step().float() - expected).abs().max())
                timed(step, WARM)
                found[f"{shape_name}: {way}"] = {"ms": 1e3 * timed(step, TIMED), "error": error}
            except Exception as problem:  # a way that this release of torch cannot go
                found[f"{shape_name}: {way}"] = f"{type(problem).__name__}: {problem}"[:200]
    return found
