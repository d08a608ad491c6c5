"""The spread of features over chips, an indicator of collapse."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def feature_spread(encoder: nn.Module, images: Tensor) -> float:
    """Return the spread of features over chips: 0 = collapsed, about 1 = unrelated.

    It is the standard deviation of the mean token over chips, relative to the root mean square of
    the features.
    """
    was_training = encoder.training
    encoder.eval()
    features = encoder(images).float().mean(1)
    encoder.train(was_training)
    scale = features.square().mean().sqrt()
    return float((features.var(0, correction=0).mean().sqrt() / scale.clamp_min(1e-12)).item())
