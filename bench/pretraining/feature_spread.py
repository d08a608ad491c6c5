"""An indicator of collapse: how much features differ between chips."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def feature_spread(encoder: nn.Module, images: Tensor) -> float:
    """Return how much features differ between chips: 0 = collapsed, about 1 = unrelated.

    The standard deviation over chips of the patch-mean feature, relative to the root mean square
    of the features.
    """
    was_training = encoder.training
    encoder.eval()
    features = encoder(images).float().mean(1)
    encoder.train(was_training)
    scale = features.square().mean().sqrt()
    return float((features.var(0, correction=0).mean().sqrt() / scale.clamp_min(1e-12)).item())
