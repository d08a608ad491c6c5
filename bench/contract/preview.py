"""A picture of what a method hides and predicts, after a short training."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...methods import _registry
from ...methods._encoders import SIZES, EncoderConfig, EncoderError, encoder_named
from ...methods._masked import MaskedPrediction
from ...methods._method import Batch
from ..augmentation.augment import Augmentation, augment
from ..augmentation.resample import resize
from ..data.chips import Chips
from ..pretraining.sample_predictions import sample_of
from ..pretraining.step import train_step
from ..reporting.method_figures import draw_predictions
from ..seeding import stream, torch_stream
from ..suggest import RequestError, unknown

CHIPS_SHOWN = 4
STEPS, LIMIT_S = 100, 6.0  # of the training where no number of steps is given
BATCH, BATCH_224 = 16, 2  # chips of a step; fewer where the input is larger than 112 px
LEARNING_RATE = 1e-3


def check_drawable(name: str, encoder: str) -> None:
    """Refuse what cannot be drawn, before any chip is prepared.

    Raises:
        RequestError: The encoder is unknown or not a ViT, or the method predicts no patches.
    """
    _vit_named(encoder)
    kind = _registry.get(name)
    if not (kind.control or issubclass(kind, MaskedPrediction)):
        raise RequestError(
            f"{name} is not a MaskedPrediction: it predicts no patches that a picture could show. "
            f"To check that it works: sarbench methods check {name}"
        )


def _vit_named(name: str) -> EncoderConfig:
    try:
        found = encoder_named(name)
    except EncoderError as error:
        raise RequestError(str(error)) from None
    if not isinstance(found, EncoderConfig):
        raise RequestError(unknown("encoder", name, SIZES))
    return found


def draw_method(
    name: str,
    encoder: str,
    chips: Chips,
    steps: int | None,
    path: Path,
    on_step: Callable[[int], None] = lambda done: None,
) -> int:
    """Train a method briefly and draw it; return the number of steps.

    Neither the training nor the picture uses test chips.

    Args:
        name: Of the method.
        encoder: Name of one of our ViTs.
        chips: Give the training and the chips of the picture.
        steps: Train exactly this long. None = 100 steps, or as many as fit into 6 s.
        path: Where the picture is written.
        on_step: Called with the number of steps done.
    """
    kind, size = _registry.get(name), _vit_named(encoder)
    method = kind(kind.Config(), size, torch_stream(0, "show", "weights"))
    chosen = np.flatnonzero(~chips.is_test)
    done = 0
    if isinstance(method, MaskedPrediction):
        done = _train(method, chips, chosen, steps, on_step)
    shown = chosen[np.linspace(0, len(chosen) - 1, CHIPS_SHOWN).astype(int)]
    images = resize(torch.from_numpy(chips.stack(shown)), size.input_px)
    made = sample_of(method, images, torch_stream(0, "show", "mask"))
    draw_predictions(made, method.label, size).savefig(path, dpi=110)
    return done


def _train(
    method: MaskedPrediction,
    chips: Chips,
    chosen: np.ndarray,
    steps: int | None,
    on_step: Callable[[int], None],
) -> int:
    """Train on the `chosen` chips; return the number of steps."""
    limit_s, total = (LIMIT_S, STEPS) if steps is None else (float("inf"), steps)
    trained = [weight for weight in method.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    px = method.encoder_config.input_px
    size = BATCH if px <= SIZES["vit_nano"].input_px else BATCH_224
    method.train()
    method.steps = total
    began = time.monotonic()
    for step in range(total):
        pixels = chips.stack(stream(0, "show", "batch", step).choice(chosen, size))
        height, width = (torch.full((size,), side) for side in pixels.shape[-2:])
        rng = torch_stream(0, "show", "training", step)
        images = augment(torch.from_numpy(pixels[:, 0]), height, width, px, Augmentation(), rng)
        batch = Batch((images,), torch.arange(size), progress=step / total)
        train_step(method, optimizer, batch, rng)
        on_step(step + 1)
        mean_s = (time.monotonic() - began) / (step + 1)
        if mean_s * (step + 2) > limit_s:
            return step + 1
    return total
