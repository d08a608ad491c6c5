"""The network of a pretraining: its kind, number of weights and cost."""

import json
from collections.abc import Callable
from functools import cache
from statistics import fmean
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...methods._method import Batch, Method
from ...results.record import Architecture
from ..identity import Pretraining, from_json
from ..seeding import torch_stream
from .equal_blocks import EqualBlocks
from .fit import Shapes
from .sample_batches import CHIP_PX, CLASSES, build, empty_batch, sample_batch

CHIPS = 2  # in the batch that an encoder is counted on
FALLBACK_CHIPS = 4  # in the batch of a method that does not run on the meta device
MASKS = 8  # draws over which the cost of a step is averaged; 2 where both cost the same


def architecture_of(identity: Pretraining) -> Architecture:
    """Count the weights and operations of a pretraining's networks.

    The cost of a step is that of one chip in a batch of the recipe's size, forward and backward,
    without the optimiser. It is the mean over 8 draws of masks, because the number of visible
    patches of I-JEPA depends on all masks of the batch. The draws come from generators of their
    own and move no stream of the pretraining.
    """
    classes = sum(member.get("classes", 0) for member in identity.pool) or CLASSES
    batch = (identity.recipe or {}).get("batch", CHIPS)
    built_from = json.dumps([identity.config, identity.encoder, classes, batch])
    return _counted(identity.method, built_from)


@cache  # pretraining seeds share an architecture
def _counted(name: str, built_from: str) -> Architecture:
    values, size, classes, batch = json.loads(built_from)
    kind = _registry.get(name)
    encoder_config = encoder_from_json(size) if size else None
    config = from_json(kind.Config, values)
    try:
        with Shapes():
            with torch.device("meta"):
                method = build(kind, encoder_config, config, classes)
            return _count(method, lambda: empty_batch(method, batch), torch.device("meta"))
    except Exception:  # a plug-in may need real tensors
        method = build(kind, encoder_config, config, classes)
        return _count(method, lambda: sample_batch(method, FALLBACK_CHIPS), torch.device("cpu"))


def _count(method: Method, batch: Callable[[], Batch], device: torch.device) -> Architecture:
    """Count a method on the meta device, where nothing is computed, or on the CPU."""
    encoder = method.encoder
    trained = [weight for weight in method.parameters() if weight.requires_grad]
    size = method.encoder_config
    side = size.input_px if size else CHIP_PX
    shape = (1, 2) if method.evaluation_input == "size" else (side, side)
    chips = torch.full((CHIPS, 1, *shape), 0.5)
    chips += 0.1 * torch.rand(chips.shape, generator=torch_stream(0, "chips"))
    with torch.no_grad():
        forward = _gflop(lambda: encoder.eval()(chips.to(device))) / CHIPS
    described = getattr(encoder, "kind", None)
    return Architecture(
        encoder=type(encoder).__name__ + (f", {described}" if described else ""),
        encoder_parameters=sum(weight.numel() for weight in encoder.parameters()),
        trained_parameters=sum(weight.numel() for weight in trained) if method.trains else 0,
        encoder_gflop=forward,
        step_gflop=_step(method, batch()) if method.trains else None,
    )


def _step(method: Method, batch: Batch) -> float:
    """Return the GFLOP of a training step per chip, the mean over several masks."""
    method.train()
    blocks = EqualBlocks(method) if batch.views[0].is_meta else None
    counts: list[float] = []
    while len(counts) < MASKS and (len(counts) < 2 or len(set(counts)) > 1):
        rng = torch_stream(len(counts), "mask")
        counts.append(_gflop(lambda rng=rng: method.loss(batch, rng)[0].backward(), blocks))
    return fmean(counts) / len(batch.index)


def _gflop(work: Callable[[], Any], blocks: EqualBlocks | None = None) -> float:
    """Return the GFLOP of some work; `blocks` are those of the network that does it."""
    counter = FlopCounterMode(display=False)
    if blocks:
        blocks.counter, blocks.skipped_flop = counter, 0
    # Plain attention, because the counter does not know the fused one of a CPU.
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), counter:
        work()
    return (counter.get_total_flops() + (blocks.skipped_flop if blocks else 0)) / 1e9
