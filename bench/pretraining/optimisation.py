"""The optimiser of a recipe, and its learning rate and weight decay over time."""

import math

import torch
from timm.optim import Lars  # pyright: ignore[reportPrivateImportUsage]

from ...methods._method import Method
from ..identity import Recipe


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """Return the learning rate at a fractional epoch: linear warm-up, then a cosine, as in MAE.

    The `step` schedule divides the peak by 10 after each third of the epochs instead.
    """
    peak = recipe.base_lr * recipe.batch / 256
    if epoch < recipe.warmup_epochs:
        start = peak * (recipe.lr_start_share or 0.0)
        return start + (peak - start) * epoch / recipe.warmup_epochs
    if recipe.schedule == "step":
        return peak * 0.1 ** int(3 * epoch / recipe.epochs)
    share = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    end = peak * (recipe.lr_end_share or 0.0)
    return end + 0.5 * (peak - end) * (1 + math.cos(math.pi * min(share, 1.0)))


def weight_decay(recipe: Recipe, epoch: float) -> float:
    """Return the weight decay at a fractional epoch: constant, or on a cosine as in I-JEPA."""
    start, end = recipe.weight_decay, recipe.weight_decay_end
    if end is None:
        return start
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * epoch / recipe.epochs))


def make_optimizer(method: Method, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser of the trainable weights; one-dimensional ones do not decay."""
    trainable = [p for p in method.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in trainable if p.ndim > 1],
            "weight_decay": recipe.weight_decay,
            "always_adapt": True,  # read by LARS only, which else does not adapt without decay
        },
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    momentum = 0.9 if recipe.momentum is None else recipe.momentum
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum)
    if recipe.optimizer == "lars":  # adapts no one-dimensional weights, as in SimCLR
        return Lars(groups, lr=0.0, momentum=momentum)  # pyright: ignore[reportArgumentType]
    betas = recipe.beta1, recipe.beta2
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)  # one call for all weights
