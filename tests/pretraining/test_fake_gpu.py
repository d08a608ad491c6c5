"""A step of every method on a GPU that is not there: one device, and no waiting."""

import itertools
from dataclasses import replace

import fake_gpu
import numpy as np
import pytest
import torch
from fake_gpu import GPU, FakeGPU
from small_pretrainings import identity_of, make_pool

from sarbench.bench.identity import Recipe
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.pretraining.batches import Batches
from sarbench.bench.pretraining.distributed import ALONE
from sarbench.bench.pretraining.optimisation import make_optimizer
from sarbench.bench.pretraining.step import queue_step
from sarbench.methods import get, names

FAST = {("sar_jepa", "bf16"), ("i_jepa", "fp32")}
TRAINED = [name for name in names() if not get(name).control and name != "given"]


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here: tests marked gpu use it")
    fake_gpu.use_gpu(monkeypatch)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(*both, marks=[] if both in FAST else pytest.mark.slow)
        for both in itertools.product(TRAINED, ("fp32", "bf16"))
    ],
)
def test_a_step_stays_on_the_gpu_and_waits_for_nothing(monkeypatch, name, precision):
    pool = make_pool(13)
    if get(name).needs_labels:
        pool.labels = np.arange(13) % 3
    identity = identity_of(name, precision=precision)
    recipe = Recipe(**{**(identity.recipe or {}), "batch": 4})
    if get(name).needs_labels:
        identity = replace(identity, pool=[{**identity.pool[0], "classes": 3}])
    with FakeGPU():
        method = build_method(identity).train()
        fake_gpu.move(method)

        def backward(loss: torch.Tensor) -> None:
            assert loss.requires_grad
            assert loss.device == torch.device(GPU)
            for weight in method.parameters():
                weight.grad = torch.empty_like(weight) if weight.requires_grad else None

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        batches = Batches(
            pool, recipe, 0, method.sized_views(), method.encoder_config.input_px, GPU,
            labelled=method.needs_labels,
        )  # fmt: skip
        method.steps, optimizer = 6, make_optimizer(method, recipe)
        for step in range(2):
            batch = replace(batches.batch(step), progress=step / 6, gather=ALONE.gather)
            rng = ALONE.stream(0, "mask", step, device=GPU)
            loss = queue_step(method, optimizer, batch, rng, precision=precision)
            assert loss.device == torch.device(GPU)


def test_what_waits_or_mixes_devices_fails():
    with FakeGPU():
        there = torch.ones(3, device=GPU)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            there.sum().item()
        with pytest.raises(Exception, match="same device"):
            there + torch.ones(3)
