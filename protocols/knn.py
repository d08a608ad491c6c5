"""Nearest neighbours by cosine similarity; nothing is trained on labels, and nothing is drawn.

Similarities are doubles, because those of a nearly collapsed encoder differ by about the rounding
of single precision. They are compared to 12 decimals, so that equal chips are equally near for any
order of sums in a processor.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ._settings import KNN
from ._types import Features, Predictions
from ._whitening import whitened

CHUNK = 512  # test and training chips compared at a time; bounds memory
DECIMALS = 12  # of a similarity; the sums of doubles below are off by less than 1e-13


class TooManyNeighboursError(ValueError):
    """More neighbours than labelled chips."""


def run(
    features: Features,
    episodes: Sequence[Int[np.ndarray, " _"]],
    rngs: Sequence[torch.Generator],
    settings: KNN,
) -> list[list[Predictions]]:
    """Let the nearest labelled chips vote, once per episode, on each set of test chips.

    Chips as near as the last neighbour vote too, so the order of the chips has no effect. Most
    votes win, then the higher sum of similarities, then the lower class. The similarity of a zero
    feature is 0. With `whiten`, features are first whitened on all training chips of the data set,
    without their labels, so also on those that are not among the k labelled ones per class.

    The score of a class is minus the distance, in [-2, 0], between the unit features of the test
    chip and of the nearest labelled chip of the class; with several `neighbours`, the mean over as
    many nearest chips of the class, or over all of them if there are fewer. So with one neighbour
    the predicted class has the best score; with several, votes can decide otherwise.

    Args:
        features: The data set under a frozen encoder.
        episodes: Indices of the labelled training chips of each run, in any order.
        rngs: Unused; all protocols on features have it.
        settings: The protocol.

    Raises:
        TooManyNeighboursError: An episode has fewer chips than `neighbours`.
    """
    del rngs
    for episode in episodes:
        if settings.neighbours > len(episode):
            raise TooManyNeighboursError(
                f"neighbours is {settings.neighbours}, but there are {len(episode)} labelled "
                "chips; set at most that many"
            )
    if settings.whiten:
        features = whitened(features)
    device, used = features.train.device, np.unique(np.concatenate(episodes))
    supports = [torch.from_numpy(np.searchsorted(used, one)).to(device) for one in episodes]
    if len(used) < len(features.train):  # the others are never compared
        rows = torch.from_numpy(used).to(device)
        labels = features.train_labels[rows]
        features = replace(features, train=features.train[rows], train_labels=labels)
    train_scale = _inverse_norm(features.train)
    of_tests = [
        _predict(features, test, supports, train_scale, settings) for test in features.tests
    ]
    return list(map(list, zip(*of_tests, strict=True)))


def _predict(
    features: Features,
    every: Float[Tensor, "M D"],
    supports: Sequence[Int[Tensor, " _"]],
    train_scale: Float64[Tensor, " N"],
    settings: KNN,
) -> list[Predictions]:
    """Return the predictions of each support for one set of test chips."""
    votes: list[list[tuple[Tensor, Tensor]]] = [[] for _ in supports]
    for test in every.split(CHUNK):
        # All runs share the products; each uses its own columns.
        wide = test.double()
        products = torch.cat([wide @ p.double().T for p in features.train.split(CHUNK)], dim=1)
        similarity = (products * train_scale * _inverse_norm(test)[:, None]).round(
            decimals=DECIMALS
        )
        for support, parts in zip(supports, votes, strict=True):
            labels = features.train_labels[support]
            near = similarity[:, support]
            chosen = _vote(near, labels, features.classes, settings)
            parts.append((chosen, _scores(near, labels, features.classes, settings)))
    return [
        Predictions(
            torch.cat([chosen for chosen, _ in parts]).cpu().numpy(),
            torch.cat([scores for _, scores in parts]).float().cpu().numpy(),
        )
        for parts in votes
    ]


def _inverse_norm(features: Float[Tensor, "N D"]) -> Float64[Tensor, " N"]:
    """Return 1 / length, and 0 for a zero vector."""
    norm = torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)
    return torch.where(norm > 0, 1 / norm, 0)


def _vote(
    similarity: Float64[Tensor, "M S"], labels: Int[Tensor, " S"], classes: int, settings: KNN
) -> Int[Tensor, " M"]:
    """Return the winning class."""
    reach = similarity.topk(settings.neighbours, dim=1).values[:, -1:]
    voters = (similarity >= reach).double()
    ballots = one_hot(labels.long(), classes).double()  # S C
    count = voters @ ballots
    total = (voters * similarity) @ ballots
    leads = count == count.amax(1, keepdim=True)
    return total.masked_fill(~leads, -torch.inf).argmax(1)  # the first, if several


def _scores(
    similarity: Float64[Tensor, "M S"], labels: Int[Tensor, " S"], classes: int, settings: KNN
) -> Float64[Tensor, "M C"]:
    """Return the score of each class; -2, the lowest, for a class without labelled chips."""
    scores = similarity.new_full((len(similarity), classes), -2)
    for label in labels.unique().tolist():
        own = similarity[:, labels == label]
        nearest = own.topk(min(settings.neighbours, own.shape[1]), dim=1).values
        scores[:, label] = -(2 - 2 * nearest).clamp(0, 4).sqrt().mean(1)
    return scores
