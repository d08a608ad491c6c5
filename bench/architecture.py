"""The network of a pretraining as it is built: its kind, its size and its arithmetic."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..methods import _registry
from ..methods._encoders import encoder_from_json
from ..results.record import Architecture
from .method_samples import CLASSES, build, sample_batch
from .run import Pretraining, from_json
from .seeding import torch_stream

CHIPS = 2  # of the batch that is counted
CHIP_PX = 128  # side of the chip that a control without an input size is shown


def architecture_of(identity: Pretraining) -> Architecture:
    """Build a pretraining's networks on the CPU and count them.

    Draws from generators of its own, so it moves no stream of the pretraining. The cost of a step
    is that of one batch of two chips, forward and backward, without the optimiser. Where the number
    of visible patches is drawn (I-JEPA), it is that of one draw: about 10% up or down.
    """
    classes = sum(member.get("classes", 0) for member in identity.pool) or CLASSES
    return _counted(identity.method, json.dumps([identity.config, identity.encoder, classes]))


@cache  # pretraining seeds share an architecture
def _counted(name: str, built_from: str) -> Architecture:
    values, size, classes = json.loads(built_from)
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
        forward = _gflop(lambda: encoder.eval()(chips))
    step = None
    if not kind.control:
        method.train()
        batch = sample_batch(method, CHIPS)
        step = _gflop(lambda: method.loss(batch, torch_stream(0, "mask"))[0].backward())
    described = getattr(encoder, "kind", None)
    return Architecture(
        encoder=type(encoder).__name__ + (f", {described}" if described else ""),
        encoder_parameters=sum(weight.numel() for weight in encoder.parameters()),
        trained_parameters=0 if kind.control else sum(weight.numel() for weight in trained),
        encoder_gflop=forward,
        step_gflop=step,
    )


def _gflop(work: Callable[[], Any]) -> float:
    """Return the GFLOP of some work on a batch, per chip."""
    # Plain attention, because the counter does not know the fused one of a CPU.
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
        counter = FlopCounterMode(display=False)
        with counter:
            work()
    return counter.get_total_flops() / CHIPS / 1e9
