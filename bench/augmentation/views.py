"""Side and augmentation of the views of a method."""

from collections.abc import Sequence
from itertools import chain

from ...methods._method import View
from ..identity import Recipe
from .augment import Augmentation


def crops(views: Sequence[View], recipe: Recipe, px: int) -> list[tuple[int, Augmentation]]:
    """Return the side and the augmentation of each tensor in `Batch.views`; `px` is the default."""
    return [
        (
            view.size or px,
            Augmentation(
                crop_scale=view.crop_scale or (recipe.crop_scale_min, recipe.crop_scale_max),
                flip=recipe.flip if view.flip is None else view.flip,
                contrast=recipe.contrast if view.contrast is None else view.contrast,
                looks=view.looks,
            ),
        )
        for view in chain.from_iterable([view] * view.count for view in views)
    ]
