"""Checks of masks and predictions, for methods with masked prediction."""

import torch
from torch import Tensor

from ...methods._masked import Prediction
from ...methods._method import Method
from ..method_facts.sample_batches import (
    TINY,
    ContractError,
    build,
    fresh_rng,
    made_up_chips,
    sample_batch,
)
from ..pretraining.distributed import Ranks


def prediction_fits_together(method: type[Method]) -> None:
    """A `Prediction` has fitting shapes and indices, and its target carries no gradient."""
    images = made_up_chips(3)
    built = build(method)
    prediction = built.predict(images, fresh_rng())
    rows, patches = prediction.mask.shape
    count = TINY.patch_grid[0] * TINY.patch_grid[1]
    shapes = {
        "predicted": (prediction.predicted.shape[:2], (rows, patches)),
        "target": (prediction.target.shape, prediction.predicted.shape),
        "patches": (prediction.patches.shape, (rows, patches)),
        "images": (prediction.images.shape, (rows,)),
    }
    for name, (found, wanted) in shapes.items():
        if tuple(found) != tuple(wanted):
            raise ContractError(f"{name} has shape {tuple(found)}, expected {tuple(wanted)}")
    if prediction.mask.dtype != torch.bool:
        raise ContractError(f"mask must be bool, True = hidden, got {prediction.mask.dtype}")
    for name, index, limit in (
        ("patches", prediction.patches, count),
        ("images", prediction.images, len(images)),
    ):
        if index.min() < 0 or index.max() >= limit:
            raise ContractError(f"{name} must be from 0 to {limit - 1}")
    if prediction.images.unique().numel() != len(images):
        raise ContractError(
            "an image of the batch has no row in the prediction; `images` must name all of them"
        )
    if prediction.target.requires_grad:
        raise ContractError(
            "the target carries gradient, so the encoder would learn to make the target easy; "
            "compute it under torch.no_grad()"
        )


def masked_loss_is_positive(method: type[Method]) -> None:
    """The loss is a number above 0, also for a single chip."""
    for number in (1, 3):
        built = build(method)
        loss, _ = built.loss(sample_batch(built, number), fresh_rng())
        if loss.ndim != 0 or not loss > 0:
            raise ContractError(
                f"the loss of {number} chips must be a number above 0, got {loss.detach()}"
            )


def mask_follows_the_rng(method: type[Method]) -> None:
    """Equal generators hide the same patches; other generators and other images, other patches."""
    built, images = build(method), made_up_chips(1).expand(3, -1, -1, -1)
    drawn = [_hidden(built.predict(images, fresh_rng(seed)), 3) for seed in (0, 1, 0)]
    if not drawn[0].any():
        return  # a method that hides nothing
    if not torch.equal(drawn[0], drawn[2]):
        raise ContractError("equal generators hide other patches; draw the mask from rng alone")
    if torch.equal(drawn[0], drawn[1]):
        raise ContractError("two generators hide the same patches; draw the mask from rng")
    if torch.equal(drawn[0][0], drawn[0][1]) and torch.equal(drawn[0][0], drawn[0][2]):
        raise ContractError(
            "the same patches are hidden in all images of a batch; draw a mask for each image"
        )


def processes_share_the_masks_of_one(method: type[Method]) -> None:
    """Two processes with half a batch each hide the patches that one process would hide."""
    built, images = build(method), made_up_chips(4)
    whole = _hidden(built.predict(images, fresh_rng()), 4)
    for rank, half in enumerate(images.split(2)):
        rng = Ranks(rank, 2).stream(0, "method checks", device="cpu")
        if not torch.equal(_hidden(built.predict(half, rng), 2), whole[2 * rank : 2 * rank + 2]):
            raise ContractError(
                "half a batch has other masks than in the whole batch, so several processes would "
                "not train like one; draw with `draw` or `random_order` of sarbench.methods, "
                "which know their part of the batch"
            )


def hidden_patches_do_not_reach_the_prediction(method: type[Method]) -> None:
    """Pixels of hidden patches do not change the prediction; pixels of visible patches do."""
    built, images = build(method).eval(), made_up_chips(3)
    before = built.predict(images, fresh_rng())
    for row in (0, len(before.images) - 1):
        hidden = torch.zeros(TINY.patch_grid[0] * TINY.patch_grid[1], dtype=torch.bool)
        hidden[before.patches[row][before.mask[row]]] = True
        for change, hides in ((hidden, True), (~hidden, False)):
            changed = images.clone()
            pixels = change.reshape(TINY.patch_grid).repeat_interleave(TINY.patch_px, 0)
            pixels = pixels.repeat_interleave(TINY.patch_px, 1)
            image = before.images[row]
            changed[image, 0] = torch.where(pixels, 1 - images[image, 0], images[image, 0])
            after = built.predict(changed, fresh_rng())
            moved = not torch.allclose(before.predicted[row], after.predicted[row], atol=1e-6)
            if hides and moved:
                raise ContractError(
                    f"row {row} of the prediction changes with pixels of patches that `mask` "
                    "calls hidden: either `mask` is wrong, or the target leaks into the input"
                )
            if not hides and not moved:
                raise ContractError(
                    f"row {row} of the prediction does not depend on any visible pixel of image "
                    f"{int(image)}; check `images` and the input of the predictor"
                )


def _hidden(prediction: Prediction, images: int) -> Tensor:
    """Return how often each patch of each image is hidden, (B, N)."""
    times = torch.zeros(images, TINY.patch_grid[0] * TINY.patch_grid[1])
    index = prediction.images[:, None].expand_as(prediction.patches), prediction.patches
    return times.index_put(index, prediction.mask.float(), accumulate=True)
