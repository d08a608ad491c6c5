"""The batches of a pretraining: chips in a new random order each epoch, cropped for each view."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...methods._masking import on_device
from ...methods._method import Batch, View
from ..augmentation.augment import augment
from ..augmentation.resample import resize
from ..augmentation.views import crops
from ..data.pools import Pool
from ..identity import Recipe
from ..seeding import stream
from .distributed import ALONE, Ranks
from .pixels import DevicePixels, HostPixels, pixels_of


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
        resident: bool = True,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Prepare to draw; `px` is the side of views without a size.

        `resident` and `warn` as in `pixels_of`.
        """
        self.pool, self.recipe, self.seed, self.px, self.device = pool, recipe, seed, px, device
        self.ranks, self.share = ranks, ranks.share(recipe.batch)
        self.per_epoch = len(pool) // recipe.batch
        if not self.per_epoch:
            raise PoolTooSmallError(
                f"the pool holds {len(pool)} chips, a batch takes {recipe.batch}; "
                "set a smaller `batch` under [pretrain], or a larger pool"
            )
        self._pixels = pixels_of(pool, device, resident, warn)
        self._epoch, self._order = -1, np.empty(0, np.int64)
        self._order_there = torch.empty(0, dtype=torch.long)
        self._crops = crops(views, recipe, px)
        self._labels = None
        if labelled and pool.labels is not None:
            self._labels = torch.from_numpy(pool.labels).to(device)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, or this process's share of it.

        The last, incomplete batch of an epoch is skipped.
        """
        epoch, place = divmod(step, self.per_epoch)
        if self._epoch != epoch:
            self._order = stream(self.seed, "order", epoch).permutation(len(self.pool))
            self._epoch = epoch
            self._order_there = on_device(torch.from_numpy(self._order), self.device)
        chosen = slice(place * self.recipe.batch, (place + 1) * self.recipe.batch)
        own, index = self._order[chosen][self.share], self._order_there[chosen][self.share]
        images, height, width = self._pixels.stack(own, index)
        views = []
        for number, (px, augmentation) in enumerate(self._crops):
            purpose = ("augment", step, *([number] if number else []))
            rng = self.ranks.stream(self.seed, *purpose, device=self.device)
            views.append(augment(images, height, width, px, augmentation, rng))
        return Batch(
            views=tuple(views),
            index=index,
            labels=None if self._labels is None else self._labels[index],
        )

    @property
    def resident(self) -> bool:
        """True if the pool is in the memory of a GPU."""
        return isinstance(self._pixels, DevicePixels)

    def plain(self, count: int) -> Tensor:
        """Return the first chips of the pool without augmentation."""
        host = HostPixels(self.pool, self.device)
        rows = [torch.tensor([i]) for i in range(min(count, len(self.pool)))]
        chips = [host.stack(row.numpy(), row) for row in rows]
        return torch.cat([resize(image[:, None], self.px) for image, _, _ in chips])
