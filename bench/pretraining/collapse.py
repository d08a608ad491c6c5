"""Indicators of collapse: the spread of features over chips, and their effective rank."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 64  # chips that pass the encoder at a time
# Share of the value before training, below which features have collapsed; of the rank, the share of
# what exceeds 1, the rank of a constant. Bundled methods keep 0.11 of the spread or more in the
# contract's short training, a loss that pulls all features together 0.03. Slow collapse is not
# found: SimSiam without stop-gradient keeps 0.5, more than most healthy methods, and effective rank
# or crops of one chip against other chips do not tell them apart either.
COLLAPSED = 0.05
RANK_EPSILON = 1e-7  # of Garrido et al. (2023), added to each share


@torch.no_grad()
def mean_tokens(encoder: nn.Module, images: Tensor) -> Tensor:
    """Return the mean token of each chip (B, D); the encoder is left in its mode."""
    was_training = encoder.training
    encoder.eval()
    features = torch.cat([encoder(chunk).float().mean(1) for chunk in images.split(CHUNK)])
    encoder.train(was_training)
    return features


def feature_spread(encoder: nn.Module, images: Tensor) -> float:
    """Return the spread of features over chips: 0 = collapsed, about 1 = unrelated."""
    return spread_of(mean_tokens(encoder, images))


def spread_of(features: Tensor) -> float:
    """Return the standard deviation over chips, relative to the root mean square of (B, D)."""
    scale = features.square().mean().sqrt()
    return float((features.var(0, correction=0).mean().sqrt() / scale.clamp_min(1e-12)).item())


def effective_rank(features: Tensor) -> float:
    """Return RankMe of features (B, D): 1 = all in one direction, at most min(B, D).

    It is exp(-sum p log p) with p the share of each singular value in their sum, plus 1e-7
    (Garrido et al. 2023, arXiv 2210.02885, equation 1). Features are not centred.
    """
    if not torch.isfinite(features).all():
        return float("nan")
    values = torch.linalg.svdvals(features.cpu().double())
    shares = values / values.sum().clamp_min(1e-300) + RANK_EPSILON
    return float(torch.exp(-(shares * shares.log()).sum()))


def collapsed_at(history: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the first step of a history with collapsed features; None if there is none.

    Lines of older versions have no rank.
    """
    first = history[0] if history else {}
    for line in history[1:]:
        if any(_fell(line.get(name), first.get(name), least) for name, least in _LEAST.items()):
            return line["step"]
    return None


_LEAST = {"spread": 0.0, "rank": 1.0}  # of constant features


def _fell(value: float | None, start: float | None, least: float) -> bool:
    if value is None or start is None:
        return False
    return value - least < COLLAPSED * (start - least)
