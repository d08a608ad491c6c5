"""PCA whitening: features with mean 0, variance 1 and no correlation over the training chips."""

from dataclasses import replace

import torch
from torch import Tensor

from ._types import Features

CHUNK = 512  # chips projected at a time; bounds memory
SMALLEST = 1e-5  # deviation of a kept direction, as a share of the root mean square of a value


def whitened(features: Features) -> Features:
    """Return K principal directions of the training chips as features, with variance 1 there.

    Mean and directions are those of all training chips of the data set, without their labels and
    without a test chip. Directions with a deviation below 1e-5 of the root mean square of a feature
    value are left out, because they may be rounding: single precision rounds a value to 6e-8 of it,
    and an encoder adds to that. So K is at most D and at most N - 1. Equal chips have no direction
    and become a single feature of 0. The result is in double precision. As in scikit-learn's
    `PCA(whiten=True)`, the variance has N - 1 degrees of freedom.
    """
    chips, width = features.train.shape
    centred = features.train.to(torch.float64, copy=True)
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
    if axes.shape[1] == 0:
        axes = centred.new_zeros(width, 1)

    def projected(part: Tensor) -> Tensor:
        return torch.cat([(one.double() - mean) @ axes for one in part.split(CHUNK)])

    return replace(
        features,
        train=projected(features.train),
        tests=[projected(test) for test in features.tests],
    )
