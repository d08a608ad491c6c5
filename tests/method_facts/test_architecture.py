"""The counted cost of a pretraining step."""

from dataclasses import replace
from statistics import fmean

import pytest
import torch
from small_pretrainings import RECIPE, identity_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sarbench.bench.identity import Pretraining, from_json
from sarbench.bench.method_facts import architecture
from sarbench.bench.method_facts.architecture import architecture_of
from sarbench.bench.method_facts.fit import Shapes
from sarbench.bench.method_facts.sample_batches import build, empty_batch
from sarbench.bench.seeding import torch_stream
from sarbench.methods import _registry
from sarbench.methods._encoders import encoder_from_json, encoder_json, encoder_named

MASKS = 8


def whole_step_gflop(identity: Pretraining) -> float:
    """Return the mean GFLOP per chip, every block of every step counted by torch's counter."""
    kind = _registry.get(identity.method)
    config, counts = from_json(kind.Config, identity.config), []
    with Shapes(), sdpa_kernel(SDPBackend.MATH):
        with torch.device("meta"):
            method = build(kind, encoder_from_json(identity.encoder), config)
        batch = empty_batch(method, identity.recipe["batch"])
        for mask in range(MASKS):
            with FlopCounterMode(display=False) as counter:
                method.loss(batch, torch_stream(mask, "mask"))[0].backward()
            counts.append(counter.get_total_flops() / 1e9)
            if counts == counts[:1] * 2:
                break  # as the harness: the cost depends on no mask
    return fmean(counts) / len(batch.index)


# seconds for each, most of them in the reference
SLOW = {
    ("i_jepa", "vit_nano"), ("mae", "vit_tiny"), ("lomar", "vit_tiny"), ("i_jepa", "vit_tiny"),
    ("simclr", "vit_nano"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "encoder"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case in SLOW else [])
        for case in (
            ("mae", "vit_nano"), ("lomar", "vit_nano"), ("i_jepa", "vit_nano"),
            ("mae", "vit_tiny"), ("lomar", "vit_tiny"), ("i_jepa", "vit_tiny"),
            ("simclr", "vit_nano"), ("simclr", "timm:test_vit@160"),
        )
    ],
)  # fmt: skip
def test_counting_each_kind_of_block_once_gives_the_cost_of_all_blocks(method, encoder):
    recipe = replace(RECIPE, batch=32)
    identity = identity_of(method, recipe, encoder=encoder_json(encoder_named(encoder)))
    assert architecture_of(identity).step_gflop == whole_step_gflop(identity)


def test_a_method_that_needs_real_tensors_is_counted_on_a_small_batch(monkeypatch):
    expected = architecture_of(identity_of("mae")).step_gflop
    monkeypatch.setattr(architecture, "empty_batch", lambda *_: 1 / 0)
    architecture._counted.cache_clear()
    assert architecture_of(identity_of("mae")).step_gflop == expected
    architecture._counted.cache_clear()
