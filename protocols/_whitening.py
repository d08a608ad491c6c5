"""PCA whitening: features with mean 0, variance 1 and no correlation over the training chips."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

CHUNK = 512  # chips projected at a time; bounds memory
SMALLEST = 1e-5  # deviation of a kept direction, as a share of the root mean square of a value


def whitened(
    train: Float[Tensor, "N D"], test: Float[Tensor, "M D"]
) -> tuple[Float64[Tensor, "N K"], Float64[Tensor, "M K"]]:
    """Return both parts in the principal directions of the training part, with variance 1 there.

    Directions with a deviation below 1e-5 of the root mean square of a feature value are left out,
    because they may be rounding: single precision rounds a value to 6e-8 of it, and an encoder adds
    to that. So K is at most D and at most N - 1; it is 0 for equal chips. As in scikit-learn's
    `PCA(whiten=True)` the variance is that of N - 1 degrees of freedom.

    Args:
        train: Features of N training chips; mean and directions are theirs.
        test: Features of M test chips.
    """
    chips, width = train.shape
    centred = train.to(torch.float64, copy=True)
    floor = SMALLEST**2 * centred.square().mean()
    mean = centred.mean(0)
    centred -= mean
    # The smaller of the two matrices of products: both have the same eigenvalues above 0.
    products = centred.T @ centred if width <= chips else centred @ centred.T
    sums, vectors = torch.linalg.eigh(products)
    kept = sums > (chips - 1) * floor
    axes = vectors[:, kept]
    if width > chips:  # directions as sums over chips -> unit directions of the features
        axes = centred.T @ (axes * sums[kept].rsqrt())
    axes = axes * ((chips - 1) / sums[kept]).sqrt()
    parts = [[(one.double() - mean) @ axes for one in part.split(CHUNK)] for part in (train, test)]
    return torch.cat(parts[0]), torch.cat(parts[1])
