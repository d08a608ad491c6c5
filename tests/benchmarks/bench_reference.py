"""Time a training step of SAR-JEPA against the released code, on equal work on a CPU.

SARJEPA_REFERENCE=SAR-JEPA python tests/benchmarks/bench_reference.py [THREADS]

The folder is that of waterdisappear/SAR-JEPA at 1f17f90. Both train the same network with AdamW on
the same images, alternately, in one process; the times are the shortest of several repeats.
"""

import importlib
import importlib.util
import os
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sarbench.bench.execution.job import prepare_process
from sarbench.bench.identity import Recipe, Resources
from sarbench.bench.pretraining.optimisation import make_optimizer
from sarbench.bench.pretraining.step import train_step
from sarbench.bench.seeding import torch_stream
from sarbench.methods import SIZES, get
from sarbench.methods._encoders import EncoderConfig
from sarbench.methods._method import Batch, Method

VARIABLE = "SARJEPA_REFERENCE"
SMALL = EncoderConfig("64 wide, 3 deep", 224, 16, 64, 3, 4)
CASES = [  # encoder, predictor, batch, repeats, smallest ratio of the reference's time to ours
    (SIZES["vit_base"], None, 4, 5, 1.25),
    (SIZES["vit_tiny"], None, 4, 8, 1.4),
    (SMALL, (64, 2, 4), 32, 3, 8.0),
]


class Attributes(dict):
    """The part of easydict that the reference needs, where easydict is not installed."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def reference_network(encoder: EncoderConfig, predictor: tuple[int, int, int]) -> nn.Module:
    """Return the network of the released code in the given size."""
    module = importlib.import_module("models_lomar")
    network = module.MaskedAutoencoderViT(
        img_size=encoder.input_px, patch_size=encoder.patch_px, embed_dim=encoder.width,
        depth=encoder.depth, num_heads=encoder.heads, decoder_embed_dim=predictor[0],
        decoder_depth=predictor[1], decoder_num_heads=predictor[2],
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    return network.train()


def step_of_reference(network: nn.Module, images: Tensor) -> Callable[[], object]:
    """Return a step of the released code: loss, gradients, AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.9, 0.95))

    def step() -> None:
        loss, _, _ = network(images)
        loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def step_of_ours(method: Method, images: Tensor) -> Callable[[], object]:
    """Return our step with the same work."""
    optimizer = make_optimizer(method, Recipe(batch=len(images)))
    batch = Batch(views=(images,), index=torch.arange(len(images)))
    return lambda: train_step(method, optimizer, batch, torch_stream(0, "mask"))


def best_times(steps: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the shortest time of each step in seconds; they run in turn, once to warm up."""
    # Processor time is not disturbed by other processes, but counts waiting threads.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    best = [float("inf")] * len(steps)
    for repeat in range(repeats + 1):
        for number, step in enumerate(steps):
            start = clock()
            step()
            if repeat:
                best[number] = min(best[number], clock() - start)
    return best


def main() -> None:
    """Print times, ratio and limit of each size; exit with 1 where a limit is missed."""
    checkout = os.environ.get(VARIABLE, "")
    folder = Path(checkout) / "Pretraining"
    if not (folder / "models_lomar.py").is_file():
        print(
            f"skipped: {VARIABLE} is {checkout!r}; it must be a checkout of "
            "waterdisappear/SAR-JEPA (its licence, CC BY-NC, keeps the code out of this project)"
        )
        return
    sys.path.insert(0, str(folder))
    if importlib.util.find_spec("easydict") is None:
        sys.modules["easydict"] = types.ModuleType("easydict")
        sys.modules["easydict"].EasyDict = Attributes  # pyright: ignore[reportAttributeAccessIssue]
    vars(np)["float"] = float  # of older numpy
    warnings.simplefilter("ignore")  # of names that timm has moved
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    prepare_process(Resources(threads=threads))
    print(f"{threads} threads, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    missed = 0
    for encoder, predictor, batch, repeats, limit in CASES:
        kind = get("sar_jepa")
        method = kind(kind.Config(predictor=predictor), encoder, torch_stream(0, "w")).train()
        network = reference_network(encoder, predictor or (512, 8, 16))
        sizes = [sum(w.numel() for w in one.parameters() if w.requires_grad)
                 for one in (method, network)]  # fmt: skip
        images = torch.rand(batch, 1, 224, 224, generator=torch_stream(0, "images"))
        steps = [step_of_ours(method, images), step_of_reference(network, images)]
        ours, theirs = best_times(steps, repeats)
        missed += theirs / ours < limit
        print(
            f"{encoder.name:16} batch {batch:2}  ours {1e3 * ours:7.0f} ms  reference "
            f"{1e3 * theirs:7.0f} ms  ratio {theirs / ours:5.2f}  limit {limit}  "
            f"(weights {sizes[0]} and {sizes[1]})",
            flush=True,
        )
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
