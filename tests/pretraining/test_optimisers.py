"""Steps of LARS and SGD by their formulas, and the source recipes that use them."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from chips import labelled_chips
from small_pretrainings import identity_of, outcome, pool_from, stop_after
from torch import nn

from sarbench.bench.identity import Recipe, Resources
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.pretraining.optimisation import learning_rate, make_optimizer
from sarbench.bench.store.records import Store
from sarbench.methods import get
from sarbench.methods._encoders import TimmConfig
from sarbench.methods._method import Method

TINY_RESNET = asdict(TimmConfig("timm:test_resnet@64", 64))
LABELLED = [{"name": "bars:train", "digest": "d", "count": 16, "split": "s", "classes": 8}]
LARS = Recipe(
    epochs=8, batch=256, optimizer="lars", base_lr=3.0, momentum=0.9, warmup_epochs=2.0,
    weight_decay=0.1,
)  # fmt: skip
SGD = replace(LARS, optimizer="sgd", warmup_epochs=0.0, schedule="step", epochs=9)


def holding(**weights: np.ndarray) -> Method:
    """Return a method that has these weights and nothing else."""
    method = Method.__new__(Method)
    nn.Module.__init__(method)
    for name, weight in weights.items():
        setattr(method, name, nn.Parameter(torch.from_numpy(weight).float()))
    return method


def step(method: Method, optimizer: torch.optim.Optimizer, lr: float, **gradients: object) -> None:
    """Take a step with given gradients."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    for name, gradient in gradients.items():
        method.get_parameter(name).grad = torch.as_tensor(gradient).float()
    optimizer.step()


def test_a_step_of_lars_is_that_worked_by_hand():
    method = holding(matrix=np.array([[3.0, 4.0]]), bias=np.array([2.0]))
    # |w| = 5, |g| = 1, so the rate is adapted by 0.001 * 5 / (1 + 0.1 * 5) = 1 / 300; g + 0.1 w is
    # (0.9, 1.2). The bias is neither adapted nor decayed.
    step(method, make_optimizer(method, LARS), 3.0, matrix=[[0.6, 0.8]], bias=[0.5])
    np.testing.assert_allclose(method.matrix.detach(), [[3 - 0.009, 4 - 0.012]], rtol=1e-6)
    np.testing.assert_allclose(method.bias.detach(), [2 - 3 * 0.5], rtol=1e-6)


def test_lars_adapts_the_rate_without_weight_decay_too():
    method = holding(matrix=np.array([[3.0, 4.0]]), bias=np.array([2.0]))
    # Adapted by 0.001 * |w| / |g| = 0.005.
    step(method, make_optimizer(method, replace(LARS, weight_decay=0.0)), 3.0,
         matrix=[[0.6, 0.8]], bias=[0.5])  # fmt: skip
    np.testing.assert_allclose(method.matrix.detach(), [[3 - 0.009, 4 - 0.012]], rtol=1e-6)
    np.testing.assert_allclose(method.bias.detach(), [2 - 3 * 0.5], rtol=1e-6)


def test_a_step_of_sgd_is_that_worked_by_hand():
    method = holding(matrix=np.array([[3.0, 4.0]]), bias=np.array([2.0]))
    step(method, make_optimizer(method, SGD), 0.5, matrix=[[0.6, 0.8]], bias=[0.5])
    np.testing.assert_allclose(method.matrix.detach(), [[3 - 0.45, 4 - 0.6]], rtol=1e-6)
    np.testing.assert_allclose(method.bias.detach(), [2 - 0.25], rtol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "rates"),
    [
        # Linear to 3 in two epochs, then half a cosine over six: cos(60 degrees) at a third.
        (LARS, {0.0: 0.0, 0.5: 0.75, 1.0: 1.5, 2.0: 3.0, 4.0: 2.25, 5.0: 1.5}),
        (SGD, {0.0: 3.0, 2.9: 3.0, 3.0: 0.3, 5.9: 0.3, 6.0: 0.03, 8.9: 0.03}),
    ],
    ids=["LARS", "SGD"],
)
def test_steps_follow_the_formula_with_momentum_decay_and_warm_up(recipe, rates):
    """You et al., arXiv 1708.03888, algorithm 1, with the rate outside the momentum (timm, torch).

    The paper and the source of SimCLR sum steps, each at its own rate.
    """
    draws = np.random.default_rng(0)
    weights = {"matrix": draws.normal(size=(3, 4)), "bias": draws.normal(size=4)}
    method = holding(**weights)
    optimizer = make_optimizer(method, recipe)
    momenta = {name: np.zeros_like(weight) for name, weight in weights.items()}
    for epoch, rate in rates.items():
        assert learning_rate(recipe, epoch) == pytest.approx(rate, abs=1e-12)
        gradients = {name: draws.normal(size=weight.shape) for name, weight in weights.items()}
        step(method, optimizer, learning_rate(recipe, epoch), **gradients)
        for name, weight in weights.items():
            gradient, decay = gradients[name], 0.1 if name == "matrix" else 0.0
            adapted = 1.0
            if name == "matrix" and recipe.optimizer == "lars":
                norms = np.linalg.norm(weight), np.linalg.norm(gradient)
                adapted = 0.001 * norms[0] / (norms[1] + decay * norms[0])
            momenta[name] = 0.9 * momenta[name] + adapted * (gradient + decay * weight)
            weights[name] = weight - rate * momenta[name]
            found = method.get_parameter(name).detach()
            np.testing.assert_allclose(found, weights[name], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", [pytest.param("simclr", marks=pytest.mark.slow), "supervised"])
def test_a_source_recipe_trains_to_its_end_and_resumes_with_the_same_bits(tmp_path, name):
    source = get(name).source_recipe
    epochs = 12
    warmup = source["warmup_epochs"] * epochs / source["epochs"]
    recipe = Recipe(**{**source, "epochs": epochs, "warmup_epochs": warmup, "batch": 8})
    pool = pool_from(*labelled_chips(8, 2, 48))
    members = LABELLED if name == "supervised" else []
    identity = identity_of(name, recipe=recipe, encoder=TINY_RESNET, pool=members)
    straight, stopped = Store(tmp_path / "straight"), Store(tmp_path / "stopped")
    pretrain(identity, pool, straight, Resources())
    for _ in range(3):  # after 7, 14 and 21 of 24 steps
        with pytest.raises(Interrupted):
            pretrain(identity, pool, stopped, Resources(), should_stop=stop_after(7))
    pretrain(identity, pool, stopped, Resources())
    assert outcome(stopped, identity) == outcome(straight, identity)
    losses = [line["loss"] for line in outcome(straight, identity)[1] if line["step"]]
    assert len(losses) == epochs
    assert all(map(math.isfinite, losses))
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
