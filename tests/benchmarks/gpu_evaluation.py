"""Times of evaluation on the first GPU, for bench_gpu.py."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import gpu_steps
import numpy as np
import torch
from gpu_steps import identity_of, made_up, pool_of, timed

from sarbench.bench.evaluation.evaluate import Evaluation, group_runs
from sarbench.bench.execution.job import prepare_process
from sarbench.bench.identity import Recipe, Resources, Run, fill, to_json
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.pretraining.device import COMPILE
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.seeding import torch_stream
from sarbench.bench.store.records import Store
from sarbench.methods import SIZES, get
from sarbench.protocols import PROTOCOLS, few_shot
from sarbench.protocols._settings import FewShot
from sarbench.protocols._types import LabelledImages

# classes, training and test chips, side of the three data sets of the paper (docs/data.md)
SETS = {
    "mstar_soc": (10, 2747, 2425, 128), "fusar_ship": (10, 6870, 2940, 512),
    "sar_acd": (5, 1262, 1260, 128),
}  # fmt: skip
SHOTS, SEEDS = (10, 20, 40), 10
SUPPORT = 100  # labelled chips of a run, where seeds are timed apart and together


def few_shot_seeds() -> dict[str, Any]:
    """Time 10 seeds of few_shot (10 shots, ViT-B, 4 of 40 epochs), apart and together."""
    identity = identity_of("sar_jepa", Recipe())
    state = build_method(identity).encoder.state_dict()
    device, px = gpu_steps.DEVICE, SIZES[gpu_steps.SIZE].input_px

    def make(drop_path: float) -> Any:
        kind = get("sar_jepa")
        made = kind.build_encoder(kind.Config(), SIZES[gpu_steps.SIZE], drop_path=drop_path)
        made.load_state_dict(state)
        return made.to(device)

    train, test = torch.rand(4 * SUPPORT, 1, px, px, device=device), torch.rand(64, 1, px, px)
    images = LabelledImages(
        train, torch.arange(4 * SUPPORT, device=device) % 10, [test.to(device)], 10
    )
    episodes = [
        np.random.default_rng(seed).permutation(4 * SUPPORT)[:SUPPORT] for seed in range(SEEDS)
    ]
    found = {}
    for precision in ("bf16", "fp32"):
        settings = FewShot(epochs=4, warmup_epochs=0, precision=precision)

        def rngs() -> list[torch.Generator]:
            return [torch_stream(seed, "run") for seed in range(SEEDS)]

        def apart(settings: FewShot = settings) -> None:
            for episode, rng in zip(episodes, rngs(), strict=True):
                few_shot.run(make, images, episode, rng, settings)

        def together(settings: FewShot = settings) -> None:
            few_shot.run_together(make, images, episodes, rngs(), settings)

        timed(together, 1)
        found[precision] = {"apart_s": timed(apart, 1), "together_s": timed(together, 1)}
    return found


def evaluate(name: str) -> dict[str, Any]:
    """Do the 180 runs of one encoder of the paper on made-up sets of the paper's sizes.

    few_shot computes in bf16 here, which is a setting of the protocol.
    """
    resources = Resources(gpu_steps.DEVICE)
    prepare_process(resources)
    os.environ[COMPILE] = "0"
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        identity = identity_of(name, Recipe(epochs=1, batch=8, warmup_epochs=0.0))
        pretrain(identity, pool_of(8), store, resources)
        began, count, times = time.perf_counter(), 0, {}
        for dataset, (classes, train, test, px) in SETS.items():
            chips = made_up(classes, train, test, px, dataset)
            start = time.perf_counter()
            runs = [
                Run(
                    identity.key,
                    name,
                    dataset,
                    chips.data_digest,
                    chips.split_digest,
                    protocol,
                    PROTOCOLS[protocol].version,
                    settings_of(protocol),
                    shots,
                    seed,
                )
                for protocol in ("few_shot", "linear")
                for shots in SHOTS
                for seed in range(SEEDS)
            ]
            evaluation = Evaluation(identity, chips, store, resources, {"default"})
            for group in group_runs(runs, resources.device):
                count += sum(1 for _ in evaluation.run(group))
            times[dataset] = round(time.perf_counter() - start, 1)
            del evaluation
        return {
            "runs": count, "evaluation_s": round(time.perf_counter() - began, 1), "by_set": times,
            "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        }  # fmt: skip


def settings_of(protocol: str) -> dict[str, Any]:
    """Return the settings of a run as an identity has them."""
    given = {"precision": "bf16"} if protocol == "few_shot" else {}
    return fill(to_json(PROTOCOLS[protocol].settings()), given)
