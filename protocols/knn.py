"""Nearest neighbours by cosine similarity; nothing is trained, and chance has no part in it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ._encoder import Features, Predictions
from ._settings import KNN

TEST_CHUNK = 256  # test chips compared at a time; bounds memory


class TooManyNeighboursError(ValueError):
    """More neighbours asked for than there are labelled chips."""


def run(
    features: Features,
    episodes: Sequence[Int[np.ndarray, " _"]],
    rngs: Sequence[torch.Generator],
    settings: KNN,
) -> list[Predictions]:
    """Let the nearest labelled chips vote, once per episode; in the order of the episodes.

    The majority decides, among equals the higher sum of similarities, then the lower class.
    Chips equally near count in split order. A zero feature is similar to nothing (0).

    Args:
        features: The data set under a frozen encoder.
        episodes: Indices of the labelled training chips of each run; their order is ignored.
        rngs: Not drawn from; here so that the protocols on features are called alike.
        settings: The protocol.

    Raises:
        TooManyNeighboursError: An episode has fewer chips than `neighbours`.
    """
    del rngs
    for episode in episodes:
        if not 1 <= settings.neighbours <= len(episode):
            raise TooManyNeighboursError(
                f"{settings.neighbours} neighbours asked of {len(episode)} labelled chips; "
                "ask for 1 up to that many"
            )
    device = features.train.device
    supports = [torch.from_numpy(np.sort(episode)).to(device) for episode in episodes]
    train_scale = _inverse_norm(features.train)
    votes: list[list[tuple[Tensor, Tensor]]] = [[] for _ in episodes]
    for test in features.test.split(TEST_CHUNK):
        # All runs share the comparison; each looks at its own columns.
        similarity = (test @ features.train.T) * train_scale * _inverse_norm(test)[:, None]
        for support, parts in zip(supports, votes, strict=True):
            labels = features.train_labels[support]
            parts.append(_vote(similarity[:, support], labels, features.classes, settings))
    return [
        Predictions(
            torch.cat([chosen for chosen, _ in parts]).cpu().numpy(),
            torch.cat([score for _, score in parts]).float().cpu().numpy(),
        )
        for parts in votes
    ]


def _inverse_norm(features: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
    """Return 1 / length, and 0 for a zero vector."""
    norm = torch.linalg.vector_norm(features, dim=1)
    return torch.where(norm > 0, 1 / norm, 0)


def _vote(
    similarity: Float[Tensor, "M S"], labels: Int[Tensor, " S"], classes: int, settings: KNN
) -> tuple[Int[Tensor, " M"], Float[Tensor, " M"]]:
    """Return the class voted for and the mean similarity of the chips that voted for it."""
    if settings.neighbours == 1:
        nearest = similarity.argmax(1, keepdim=True)  # the first of several alike
    else:
        order = similarity.sort(dim=1, descending=True, stable=True).indices
        nearest = order[:, : settings.neighbours]
    ballots = one_hot(labels[nearest].long(), classes).to(similarity.dtype)  # M neighbours C
    count = ballots.sum(1)
    total = (ballots * similarity.gather(1, nearest)[..., None]).sum(1)
    leads = count == count.max(1, keepdim=True).values
    chosen = total.masked_fill(~leads, -torch.inf).argmax(1, keepdim=True)
    return chosen[:, 0], (total / count).gather(1, chosen)[:, 0]
