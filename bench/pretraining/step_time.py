"""The time of a training step on one core, for a budget in core-seconds."""

import platform
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from ..data.pools import open_pool_of
from ..given_identity import given_of
from ..identity import Pretraining, Resources
from ..method_facts.build import build_method
from ..store.provenance import Clock, host, now
from ..store.records import Store
from ..store.step_times import StepTime, step_fields
from ..store.weights import read_encoder
from .distributed import ALONE
from .step import train_step
from .training import Loop

WARM_UP, TIMED = 2, 5  # steps, at least
LEAST_S, MOST_S = 2.0, 60.0  # of all steps


def measure_step(identity: Pretraining, pool: Sequence[str], store: Store) -> StepTime:
    """Do a few steps of a pretraining on one core of this machine, and keep nothing of them.

    A step is that of the training loop: chips are cropped, the loss is computed, the weights move.
    The time is the median over the steps.

    Args:
        identity: The pretraining.
        pool: Names of its pool in the grid.
        store: Holds the pool, and the given weights that it continues from.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = _steps_s(identity, pool, store)
    finally:
        torch.set_num_threads(threads)
    chips = (identity.recipe or {})["batch"]
    return StepTime(
        step=step_fields(identity),
        seconds=median(seconds) / chips,
        chips=chips,
        host=host(),
        processor=platform.processor() or platform.machine(),
        time=now(),
    )


def _steps_s(identity: Pretraining, pool: Sequence[str], store: Store) -> list[float]:
    """Return the seconds of each timed step."""
    given = given_of(identity)
    weights = read_encoder(store, given) if given else None
    chips = open_pool_of(identity, pool, store.prepared)
    resources, began = Resources(), time.monotonic()
    with TemporaryDirectory(prefix="sarbench-") as folder:
        loop = Loop(
            identity, build_method(identity, weights), chips, Path(folder), resources,
            lambda message: None, ALONE, Clock(resources),
        )  # fmt: skip
        loop.method.train()
        seconds: list[float] = []
        for step in count():
            before = time.process_time()  # of this thread alone, on a busy machine too
            loop.one_step(train_step)
            if step >= WARM_UP:
                seconds.append(time.process_time() - before)
            done_s = time.monotonic() - began
            if seconds and (done_s > MOST_S or (len(seconds) >= TIMED and done_s > LEAST_S)):
                break
    return seconds
