"""Values that show the state of an encoder while it is trained; none of them changes a weight."""

from hashlib import sha256

import numpy as np
import torch
from torch import Tensor, nn

from ...methods._method import Method
from ...protocols import knn
from ...protocols._settings import KNN
from ...protocols._types import Features
from ..augmentation.resample import resize
from ..data.chips import Chips
from .batches import Batches
from .collapse import CHUNK, effective_rank, mean_tokens, spread_of

# First chips of the pool; no rank can be higher. With 256 of them, the passes took 3 to 5% of an
# epoch of MAE in the grid real_small; with 64 they take 1%.
POOL_CHIPS = 64
LABELLED_CHIPS = 512  # drawn training chips of the watched data set; half of them are classified
KNN_TIMES = 10  # in a training, and once before it


class Watch:
    """Spread and effective rank on chips of the pool, and `knn` on training chips of a data set."""

    def __init__(self, method: Method, batches: Batches, labelled: Chips | None) -> None:
        """Take the first chips of a pool without augmentation, and of a data set if one is given.

        Args:
            method: The method in training.
            batches: Those of its pool.
            labelled: A data set, of which only training chips are read; None = no `knn`.
        """
        self._encoder, self.pool_chips = method.encoder, batches.plain(POOL_CHIPS)
        self._labelled = LabelledChips(labelled, batches.px, batches.device) if labelled else None

    def values(self, *, classify: bool) -> dict[str, float]:
        """Return `spread` and `rank`, and `knn` if wanted and a data set is watched."""
        features = mean_tokens(self._encoder, self.pool_chips)
        found = {
            "spread": spread_of(features),
            "rank": round(effective_rank(features), 4),
        }
        if classify and self._labelled:
            found["knn"] = round(self._labelled.accuracy(self._encoder), 4)
        return found


class LabelledChips:
    """Training chips of a data set in the order of their hashed ids: support, queries in turn."""

    def __init__(self, chips: Chips, px: int, device: str) -> None:
        """Draw the chips; `px` is the side of the encoder's input."""
        self._chips, self._px, self._device = chips, px, device
        train = np.flatnonzero(~chips.is_test).tolist()
        train.sort(key=lambda index: sha256(str(chips.ids[index]).encode()).digest())
        self.support, self.queries = (train[first:LABELLED_CHIPS:2] for first in (0, 1))

    def accuracy(self, encoder: nn.Module) -> float:
        """Return the share of queries to which `knn` gives their class."""
        train, test = (self._features(encoder, part) for part in (self.support, self.queries))
        if not (torch.isfinite(train).all() and torch.isfinite(test).all()):
            return float("nan")
        labels, truth = (self._chips.labels[part] for part in (self.support, self.queries))
        known = torch.from_numpy(labels.astype(np.int64)).to(self._device)
        features = Features(train, known, [test], len(self._chips.classes))
        ((predicted,),) = knn.run(features, [np.arange(len(train))], [], KNN())
        return float((predicted.classes == truth).mean())

    def _features(self, encoder: nn.Module, indices: list[int]) -> Tensor:
        found = []
        for first in range(0, len(indices), CHUNK):
            images = torch.from_numpy(self._chips.stack(np.array(indices[first : first + CHUNK])))
            found.append(mean_tokens(encoder, resize(images.to(self._device), self._px)))
        return torch.cat(found)


def classifies(epoch: int, epochs: float) -> bool:
    """Return whether `knn` is measured after an epoch: at most `KNN_TIMES` times in a training."""
    return epoch == 0 or KNN_TIMES * epoch // epochs > KNN_TIMES * (epoch - 1) // epochs
