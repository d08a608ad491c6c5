"""The SAR-JEPA paper's fine-tuning: encoder and head, trained on k labelled chips per class."""

from collections.abc import Callable, Sequence
from traceback import clear_frames

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from ._settings import FewShot
from ._training import Classifier, train_and_predict
from ._training_together import train_together
from ._types import LabelledImages, Predictions


def run(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episode: Int[np.ndarray, " _"],
    rng: torch.Generator,
    settings: FewShot,
) -> list[Predictions]:
    """Train everything on one episode; predict each set of test chips after the last epoch.

    No epoch and no learning rate is selected. Arguments as in `train_and_predict`.
    """
    return train_and_predict(make_encoder, 0.0, _groups, images, episode, rng, settings)


def run_together(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episodes: Sequence[Int[np.ndarray, " _"]],
    rngs: Sequence[torch.Generator],
    settings: FewShot,
) -> list[list[Predictions] | Exception]:
    """Do `run` for episodes of one size, as batched models of as many as the memory holds.

    What cannot be batched, and what fails, is done episode by episode. The predictions are those of
    `run` up to rounding; each has drawn from its own `rng` alone.

    Returns:
        For each episode its predictions, or the error by which it failed.
    """
    found: list[list[Predictions] | Exception] = []
    most = len(episodes)
    while len(found) < len(episodes):
        part = slice(len(found), len(found) + most)
        states = [rng.get_state() for rng in rngs[part]]
        try:
            found += train_together(make_encoder, images, episodes[part], rngs[part], settings)
            continue
        except torch.OutOfMemoryError:
            alone = most == 1
            most = max(1, most // 2)
        except (RuntimeError, ValueError):
            alone = True
        for rng, state in zip(rngs[part], states, strict=True):
            rng.set_state(state)
        torch.cuda.empty_cache()
        if alone:
            for episode, rng in zip(episodes[part], rngs[part], strict=True):
                found.append(_run_or_error(make_encoder, images, episode, rng, settings))
    return found


def _run_or_error(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episode: Int[np.ndarray, " _"],
    rng: torch.Generator,
    settings: FewShot,
) -> list[Predictions] | Exception:
    try:
        return run(make_encoder, images, episode, rng, settings)
    except Exception as error:  # an encoder may raise anything; the other episodes are done
        clear_frames(error.__traceback__)  # they hold the device's memory
        return error


def _groups(classifier: Classifier) -> list[dict]:
    """Return all weights as one group; biases and norms decay too, as in the source."""
    return [{"params": list(classifier.parameters()), "lr_scale": 1.0}]
