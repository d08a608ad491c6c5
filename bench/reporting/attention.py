"""Attention distances of encoders, and t-SNE of their features."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...methods._relative_positions import RelativeAttention, relative_buckets

SHOWN_CHIPS = 400  # test chips in a t-SNE
ATTENTION_CHIPS = 64
CHUNK = 4  # chips whose attention is in memory at once; 45 MB each for DINOv2-S at 518 px


def patch_distances(patch_grid: tuple[int, int], patch_px: int) -> Float[np.ndarray, "N N"]:
    """Return the Euclidean distances between the centres of all patches, in pixels."""
    rows, columns = np.divmod(np.arange(patch_grid[0] * patch_grid[1]), patch_grid[1])
    return patch_px * np.hypot(rows[:, None] - rows, columns[:, None] - columns)


def uniform_distance(patch_grid: tuple[int, int], patch_px: int, *, class_token: bool) -> float:
    """Return the attention distance of uniform attention, in pixels."""
    distances = patch_distances(patch_grid, patch_px)
    return float(distances.sum(axis=1).mean() / (len(distances) + class_token))


@torch.no_grad()
def attention_distances(
    encoder: Any, images: Float[Tensor, "B 1 H W"], patch_grid: tuple[int, int], patch_px: int
) -> Float[np.ndarray, "L h"]:
    """Return the mean attention distance of each head of each block, in pixels.

    For a query patch the distances to all patches are weighted with its attention; the mean is over
    queries and images. The rows and columns of class token and registers, which come first, are
    dropped without renormalisation, as in the code of SAR-JEPA (Li et al. 2024, figure 6).
    Attention is computed from queries and keys, because fused attention does not return it.
    """
    far = torch.from_numpy(patch_distances(patch_grid, patch_px)).float().to(images.device)
    found: list[Float[np.ndarray, " h"]] = []
    with _inputs_of_attention(encoder) as seen:
        encoder(images)
        for attention, tokens in seen:
            skip = tokens.shape[1] - len(far)
            parts = [
                (attention_weights(attention, part)[:, :, skip:, skip:] * far).sum(-1).mean(2)
                for part in tokens.split(CHUNK)
            ]
            found.append(torch.cat(parts).mean(0).double().cpu().numpy())
    return np.stack(found)


def attention_weights(attention: Any, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B h N N"]:
    """Return the softmax weights of an attention of timm or of `RelativeAttention`."""
    batch, count, _ = tokens.shape
    qkv = attention.qkv(tokens).reshape(batch, count, 3, attention.num_heads, -1)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    if isinstance(attention, RelativeAttention):
        logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        buckets = relative_buckets(count, tokens.device)
        bias = (q @ attention.relative).gather(-1, buckets.expand(*logits.shape[:2], -1, -1))
        return (logits + bias).softmax(-1)
    q, k = attention.q_norm(q), attention.k_norm(k)
    return (q @ k.transpose(-2, -1) * attention.scale).softmax(-1)


@contextmanager
def _inputs_of_attention(encoder: Any) -> Iterator[list[tuple[Any, Tensor]]]:
    """Collect the inputs of the attention modules of an encoder."""
    seen: list[tuple[Any, Tensor]] = []

    def collect(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append((module, given[0]))

    found = [block.attn for block in encoder.blocks if hasattr(block, "attn")]
    handles = [attention.register_forward_pre_hook(collect) for attention in found]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def places_by_tsne(features: Float[np.ndarray, "M D"]) -> Float[np.ndarray, "M 2"]:
    """Return the t-SNE coordinates of the standardised features of each chip."""
    from sklearn.manifold import TSNE

    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    perplexity = min(30.0, (len(features) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled)
    return places.astype(np.float64)
