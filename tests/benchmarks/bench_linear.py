"""Time the linear protocol: 10 seeds x 3 shots of one encoder on features the size of MSTAR SOC.

Run it as `python tests/benchmarks/bench_linear.py`. All runs together are compared with a plain
loop of torch modules in this process, and with one process per run (three of the thirty are
timed, one per number of shots).
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sarbench.bench.seeding import torch_stream
from sarbench.protocols import linear
from sarbench.protocols._settings import Linear
from sarbench.protocols._support_sets import support_set
from sarbench.protocols._types import Features

SHOTS, SEEDS, CLASSES, WIDTH = (10, 20, 40), 10, 10, 192
TRAIN, TEST = 2747, 2425


def made_up() -> tuple[Features, np.ndarray]:
    """Return overlapping classes and the test labels."""
    rng = torch_stream(0, "benchmark")
    centres = 0.3 * torch.randn(CLASSES, WIDTH, generator=rng)
    labels, test_labels = torch.arange(TRAIN) % CLASSES, torch.arange(TEST) % CLASSES
    train = centres[labels] + torch.randn(TRAIN, WIDTH, generator=rng)
    test = centres[test_labels] + torch.randn(TEST, WIDTH, generator=rng)
    return Features(train, labels, [test], CLASSES), test_labels.numpy()


def episode(features: Features, seed: int, shots: int) -> np.ndarray:
    ids = [f"chip{index}" for index in range(TRAIN)]
    return support_set("benchmark", seed, ids, features.train_labels.numpy(), shots)


def stream(seed: int, shots: int) -> torch.Generator:
    return torch_stream(seed, "benchmark", shots)


def together(features: Features, runs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    episodes = [episode(features, *run) for run in runs]
    found = linear.run(features, episodes, [stream(*run) for run in runs], Linear())
    return [predictions.classes for (predictions,) in found]


def plain(features: Features, seed: int, shots: int) -> np.ndarray:
    """Train one head with a plain loop of torch modules."""
    settings, rng = Linear(), stream(seed, shots)
    head = nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        head.weight.copy_(torch.randn(CLASSES, WIDTH, generator=rng) * 0.01)
        head.bias.zero_()
    model = nn.Sequential(nn.BatchNorm1d(WIDTH, eps=1e-6, affine=False), head)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=5e-4)
    rows = episode(features, seed, shots)
    inputs, labels = features.train[rows], features.train_labels[rows]
    for epoch in range(settings.epochs):
        optimizer.param_groups[0]["lr"] = settings.lr_at(epoch)
        order = torch.randperm(len(inputs), generator=rng)
        for batch in order[: len(order) // 50 * 50].split(50):
            loss = nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return model.eval()(features.tests[0]).argmax(1).numpy()


def in_a_process(features_file: Path, seed: int, shots: int) -> None:
    """Execute one run in a process of its own."""
    command = [sys.executable, __file__, str(features_file), str(seed), str(shots)]
    subprocess.run(command, check=True)


def main() -> None:
    """Print seconds, ratios, and the largest differences."""
    features, test_labels = made_up()
    runs = [(seed, shots) for shots in SHOTS for seed in range(SEEDS)]
    plain(features, *runs[0])  # torch imports its compiler at the first step of an optimiser
    together(features, runs[:1])

    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        ours = together(features, runs)
        seconds.append(time.perf_counter() - start)
    batched = min(seconds)

    start = time.perf_counter()
    others = [plain(features, *run) for run in runs]
    loop = time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.pt"
        torch.save((features.train, features.train_labels, features.tests[0]), file)
        start = time.perf_counter()
        for shots in SHOTS:
            in_a_process(file, 0, shots)
        processes = (time.perf_counter() - start) * SEEDS

    differing = sum(int((a != b).sum()) for a, b in zip(ours, others, strict=True))
    accuracy = np.mean([(classes == test_labels).mean() for classes in ours])
    print(f"{len(runs)} runs, {TRAIN} x {WIDTH} -> {TEST}, {torch.get_num_threads()} thread(s)")
    print(f"all together            {batched:8.2f} s    mean accuracy {accuracy:.3f}")
    print(f"loop of torch modules   {loop:8.2f} s    {loop / batched:6.1f} x")
    print(f"one process per run     {processes:8.2f} s    {processes / batched:6.1f} x  (3 timed)")
    print(f"predictions that differ from the loop: {differing} of {len(runs) * TEST}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 4:
        train, labels, test = torch.load(sys.argv[1], weights_only=True)
        together(Features(train, labels, [test], CLASSES), [(int(sys.argv[2]), int(sys.argv[3]))])
    else:
        main()
