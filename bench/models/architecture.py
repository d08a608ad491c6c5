"""The network of a pretraining as it is built: its kind, its size and its arithmetic."""

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
from .fit import Shapes
from .sample_batches import CLASSES, build, empty_batch, sample_batch

CHIPS = 2  # of the batch that an encoder is counted on
LEAST_CHIPS = 4  # of one whose step cannot be counted without memory
CHIP_PX = 128  # side of the chip that a control without an input size is shown
MASKS = 8  # draws over which the cost of a step is averaged; 2 where both cost the same


def architecture_of(identity: Pretraining) -> Architecture:
    """Build a pretraining's networks on the CPU and count them.

    Draws from generators of its own, so it moves no stream of the pretraining. The cost of a step
    is that of one chip in a batch of the recipe's size, forward and backward, without the
    optimiser: the mean over 8 draws of masks, because the number of visible patches of I-JEPA
    depends on all masks of the batch.
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
    method = build(kind, encoder_config, config, classes)
    encoder = method.encoder
    trained = [weight for weight in method.parameters() if weight.requires_grad]
    shape = {"encoder": size and (size["input_px"],) * 2, "chip": (CHIP_PX,) * 2, "size": (1, 2)}
    chips = torch.full((CHIPS, 1, *shape[kind.evaluation_input]), 0.5)
    chips += 0.1 * torch.rand(chips.shape, generator=torch_stream(0, "chips"))
    with torch.no_grad():
        forward = _gflop(lambda: encoder.eval()(chips)) / CHIPS
    step = None
    if not kind.control:
        try:
            with Shapes(), torch.device("meta"):
                light = build(kind, encoder_config, config, classes)
            with Shapes():
                step = _step(light, empty_batch(light, batch))
        except Exception:  # code of a stranger that cannot work without memory
            step = _step(method, sample_batch(method, LEAST_CHIPS))
    described = getattr(encoder, "kind", None)
    return Architecture(
        encoder=type(encoder).__name__ + (f", {described}" if described else ""),
        encoder_parameters=sum(weight.numel() for weight in encoder.parameters()),
        trained_parameters=0 if kind.control else sum(weight.numel() for weight in trained),
        encoder_gflop=forward,
        step_gflop=step,
    )


def _step(method: Method, batch: Batch) -> float:
    """Return the GFLOP of a training step per chip, the mean over several masks."""
    method.train()
    counts: list[float] = []
    while len(counts) < MASKS and (len(counts) < 2 or len(set(counts)) > 1):
        rng = torch_stream(len(counts), "mask")
        counts.append(_gflop(lambda rng=rng: method.loss(batch, rng)[0].backward()))
    return fmean(counts) / len(batch.index)


def _gflop(work: Callable[[], Any]) -> float:
    """Return the GFLOP of some work."""
    # Plain attention, because the counter does not know the fused one of a CPU.
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
        counter = FlopCounterMode(display=False)
        with counter:
            work()
    return counter.get_total_flops() / 1e9
