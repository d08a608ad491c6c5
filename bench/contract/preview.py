"""Draw what a method does before anything is pretrained with it: a fresh one, trained a little."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ...methods import _registry
from ...methods._encoders import SIZES
from ...methods._masked import MaskedPrediction
from ...methods._method import Batch
from ..augmentation.augment import Augmentation, augment
from ..augmentation.resample import resize
from ..data.chips import Chips
from ..pretraining.sample_predictions import predictions_of
from ..reporting.method_figures import draw_predictions
from ..seeding import stream, torch_stream
from ..suggest import unknown


class NothingToShowError(ValueError):
    """A method that hides and predicts nothing that a picture could show."""


CHIPS_SHOWN = 4
BATCH, LEARNING_RATE = 32, 1e-3  # of the short training before the picture


def check_drawable(name: str, encoder: str) -> None:
    """Refuse what cannot be drawn, before any chip is prepared.

    Raises:
        NothingToShowError: The encoder is unknown, or the method predicts no patches.
    """
    if encoder not in SIZES:
        raise NothingToShowError(unknown("encoder", encoder, SIZES))
    kind = _registry.get(name)
    if not (kind.control or issubclass(kind, MaskedPrediction)):
        raise NothingToShowError(
            f"{name} is no MaskedPrediction: it predicts no patches that a picture could show. "
            f"To see whether it works: sarbench methods check {name}"
        )


def train_briefly(
    method: MaskedPrediction,
    chips: Chips,
    chosen: np.ndarray,
    steps: int,
    on_step: Callable[[int], None],
) -> None:
    """Train a method for a few steps, enough to see where its predictions go."""
    trainable = [weights for weights in method.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trainable, LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    method.train()
    for step in range(steps):
        batch = chips.stack(stream(0, "show", "batch", step).choice(chosen, BATCH))
        height, width = (torch.full((BATCH,), side) for side in batch.shape[-2:])
        rng = torch_stream(0, "show", "training", step)
        px = method.encoder_config.input_px
        images = augment(torch.from_numpy(batch[:, 0]), height, width, px, Augmentation(), rng)
        given = Batch((images,), torch.arange(BATCH), progress=step / steps)
        optimizer.zero_grad()
        loss, kept = method.loss(given, rng)
        loss.backward()
        optimizer.step()
        method.after_step(given.progress, given.index, kept)
        on_step(step + 1)


def picture_of_method(
    name: str,
    encoder: str,
    chips: Chips,
    steps: int,
    path: Path,
    on_step: Callable[[int], None] = lambda done: None,
) -> None:
    """Draw the method `name` on chips that are not under test, after `steps` steps of training."""
    kind = _registry.get(name)
    method = kind(kind.Config(), SIZES[encoder], torch_stream(0, "show", "weights"))
    chosen = np.flatnonzero(~chips.is_test)
    if steps and isinstance(method, MaskedPrediction):
        train_briefly(method, chips, chosen, steps, on_step)
    shown = chosen[np.linspace(0, len(chosen) - 1, CHIPS_SHOWN).astype(int)]
    images = resize(torch.from_numpy(chips.stack(shown)), SIZES[encoder].input_px)
    made = predictions_of(method, images, torch_stream(0, "show", "mask"))
    draw_predictions(made, method.label, SIZES[encoder]).savefig(path, dpi=110)
