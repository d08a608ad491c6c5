"""A protocol on exported files: the run that the same encoder, shots and seed have in a grid."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...protocols import Protocol
from ...protocols._settings import Settings
from ...protocols._types import Features, LabelledImages, Predictions
from ..augmentation.resample import resize
from ..seeding import torch_stream
from ..suggest import RequestError
from ..weights.features import Chip, chips_in, features
from .encoders import NamedEncoder
from .splits import Item, Split, SupportSet


def predict(
    protocol: Protocol,
    settings: Settings,
    source: NamedEncoder,
    folder: Path,
    split: Split,
    support: SupportSet,
    device: str = "cpu",
) -> Predictions:
    """Train on a support set and predict all test chips, by the protocol's own function.

    Args:
        protocol: The protocol.
        settings: Its settings.
        source: The encoder.
        folder: The folder of the split and its images.
        split: The split.
        support: The labelled chips.
        device: `cpu` or `cuda`.

    Raises:
        RequestError: The protocol does not take these shots.
    """
    check_shots(protocol, support)
    if getattr(settings, "whiten", None):
        raise RequestError(
            "whiten is fitted on all training chips of a data set, but a support set is given; "
            "set it to false, or use a grid"
        )
    classes, episode = len(split.classes), np.arange(len(support.train))
    labels = torch.tensor([item.label for item in support.train], device=device)
    rng = torch_stream(
        support.seed, "head", protocol.name, support.split_digest, str(support.shots)
    )
    work = protocol.load()
    make, px = source.open()
    if protocol.kind == "features":
        encoder = make(0.0).to(device).eval()
        train, test = (
            torch.cat([
                found for _, found in
                features(encoder, px, _chips(folder, part, device), settings.readout)
            ])
            for part in (support.train, split.test)
        )  # fmt: skip
        of_tests = work.run(Features(train, labels, [test], classes), [episode], [rng], settings)[0]
        return of_tests[0]
    train, test = (
        torch.cat([resize(chip, px) for _, chip in _chips(folder, part, device)])
        for part in (support.train, split.test)
    )
    images = LabelledImages(train, labels, [test], classes)
    return work.run(lambda drop: make(drop).to(device), images, episode, rng, settings)[0]


def check_shots(protocol: Protocol, support: SupportSet) -> None:
    """Refuse shots that a protocol does not take.

    Raises:
        RequestError: It takes other shots.
    """
    if not protocol.allows(support.shots):
        other = "a number of shots" if support.shots == "all" else "all labelled chips"
        raise RequestError(
            f"{protocol.name} does not train on shots = {support.shots}; it takes {other}: set "
            f"DATASET.NUM_SHOTS to {'10, for example' if support.shots == 'all' else '-1'}"
        )


def one_hot_scores(predictions: Predictions, classes: int) -> Tensor:
    """Return predictions as the scores (M, C) that Dassl's evaluator takes."""
    scores = torch.zeros(len(predictions.classes), classes)
    scores[torch.arange(len(scores)), torch.from_numpy(predictions.classes)] = 1.0
    return scores


def _chips(folder: Path, part: Sequence[Item], device: str) -> Iterator[Chip]:
    paths = [folder / item.impath for item in part]
    for name, chip in chips_in(folder, paths):
        yield name, chip.to(device)
