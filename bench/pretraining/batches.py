"""The batches of a pretraining: chips in a new random order each epoch, cropped for each view."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...methods._method import Batch, View
from ..augmentation.augment import augment
from ..augmentation.resample import resize
from ..augmentation.views import crops
from ..data.pools import Pool
from ..identity import Recipe
from ..seeding import stream
from .distributed import ALONE, Ranks


class PoolTooSmallError(ValueError):
    """A pool with fewer chips than a batch."""


class Batches:
    """The chips of a pool as augmented batches, in a new random order each epoch."""

    def __init__(
        self,
        pool: Pool,
        recipe: Recipe,
        seed: int,
        views: Sequence[View],
        px: int,
        device: str,
        ranks: Ranks = ALONE,
        *,
        labelled: bool = False,
    ) -> None:
        """Prepare to draw; `px` is the side of views without a size."""
        self.pool, self.recipe, self.seed, self.px, self.device = pool, recipe, seed, px, device
        self.ranks, self.share = ranks, ranks.share(recipe.batch)
        self.per_epoch = len(pool) // recipe.batch
        if not self.per_epoch:
            raise PoolTooSmallError(
                f"the pool holds {len(pool)} chips, a batch takes {recipe.batch}; "
                "set a smaller `batch` under [pretrain], or a larger pool"
            )
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))
        self._crops = crops(views, recipe, px)
        self._labels = pool.labels if labelled else None

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, or this process's share of it.

        The last, incomplete batch of an epoch is skipped.
        """
        epoch, place = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            order = stream(self.seed, "order", epoch).permutation(len(self.pool))
            self._order = (epoch, order)
        chosen = self._order[1][place * self.recipe.batch : (place + 1) * self.recipe.batch]
        own = chosen[self.share]
        images, height, width = self._stack(own)
        views = []
        for number, (px, augmentation) in enumerate(self._crops):
            purpose = ("augment", step, *([number] if number else []))
            rng = self.ranks.stream(self.seed, *purpose, device=self.device)
            views.append(augment(images, height, width, px, augmentation, rng))
        labels = None if self._labels is None else torch.from_numpy(self._labels[own])
        return Batch(
            views=tuple(views),
            index=torch.from_numpy(own).to(self.device),
            labels=None if labels is None else labels.to(self.device),
        )

    def plain(self, count: int) -> Tensor:
        """Return the first chips of the pool without augmentation."""
        chips = [self._stack(np.array([i])) for i in range(min(count, len(self.pool)))]
        return torch.cat([resize(image[:, None], self.px) for image, _, _ in chips])

    def _stack(self, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        rows = chosen.tolist()
        chips = [self.pool.chip(i) / np.float32(self.pool.full_scale(i)) for i in rows]
        height = torch.tensor([chip.shape[0] for chip in chips])
        width = torch.tensor([chip.shape[1] for chip in chips])
        padded = np.zeros((len(chips), int(height.max()), int(width.max())), np.float32)
        for row, chip in zip(padded, chips, strict=True):
            row[: chip.shape[0], : chip.shape[1]] = chip
        to = self.device
        return torch.from_numpy(padded).to(to), height.to(to), width.to(to)
