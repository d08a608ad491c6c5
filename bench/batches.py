"""The chips of a pool as augmented batches: a function of the step, whatever ran before."""

import numpy as np
import torch
from torch import Tensor

from .augment import Augmentation, augment, resize
from .data.pools import Pool
from .ranks import ALONE, Ranks
from .run import Recipe
from .seeding import stream


class PoolTooSmallError(ValueError):
    """A pool that does not fill one batch."""


class Batches:
    """The chips of a pool as augmented batches, in an order drawn for each epoch."""

    def __init__(
        self, pool: Pool, recipe: Recipe, seed: int, px: int, device: str, ranks: Ranks = ALONE
    ) -> None:
        self.pool, self.recipe, self.seed, self.px, self.device = pool, recipe, seed, px, device
        self.ranks, self.share = ranks, ranks.share(recipe.batch)
        self.per_epoch = len(pool) // recipe.batch
        if not self.per_epoch:
            raise PoolTooSmallError(
                f"the pool holds {len(pool)} chips, a batch takes {recipe.batch}; "
                "give a smaller `batch` under [pretrain], or a larger pool"
            )
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))
        self._augmentation = Augmentation(
            crop_scale=(recipe.crop_scale_min, recipe.crop_scale_max),
            flip=recipe.flip,
            contrast=recipe.contrast,
        )

    def batch(self, step: int) -> Tensor:
        """Return the batch of `step`, (B, 1, px, px) in [0, 1], or this process's share of it.

        Incomplete batches are dropped.
        """
        epoch, place = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            order = stream(self.seed, "order", epoch).permutation(len(self.pool))
            self._order = (epoch, order)
        chosen = self._order[1][place * self.recipe.batch : (place + 1) * self.recipe.batch]
        images, height, width = self._stack(chosen[self.share])
        rng = self.ranks.stream(self.seed, "augment", step, device=self.device)
        return augment(images, height, width, self.px, self._augmentation, rng)

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
