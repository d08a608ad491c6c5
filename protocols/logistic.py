"""Multinomial logistic regression on frozen features, solved to its minimum.

A run minimises the sum of the cross-entropy over its labelled chips plus `penalty` / 2 times the
squared norm of the weight. The bias has no penalty. Features are standardised by the mean and the
standard deviation of the labelled chips. The minimum is unique but for a constant added to all
biases, so a run draws nothing and does not depend on a rate or a length of training.

Runs with equally many chips are solved together by L-BFGS (Nocedal and Wright, Numerical
Optimization, algorithm 7.4) in double precision. Its first guess of the Hessian is that of a least
squares problem, the same for all classes. Compared with a multiple of the identity, that needs 5 to
10 times fewer iterations if there are more chips than features, else 1.2 times fewer. The logits
are linear in the weights, so the line search needs no pass over the features and can be exact.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import one_hot, pad

from ._settings import Logistic
from ._support_sets import of_equal_size
from ._types import Features, NotConvergedError, Predictions

CHUNK_VALUES = 32_000_000  # feature values solved together: 256 MB
CHUNK = 512  # test chips at a time
CURVATURE = 0.01  # of the loss in a logit, for the first guess; any value has the same minimum
LEAST_DECAY = 1e-9  # there, so that the guess can be inverted
HISTORY = 10  # pairs of steps and gradients that L-BFGS keeps
ITERATIONS = 5_000
TOLERANCE = 1e-8  # of each entry of the gradient of the mean loss
SEARCHES = 50  # steps of a line search; Newton's method needs about 5
SEARCH_TOLERANCE = 1e-6  # of the slope at the end of a search, relative to its start


def run(
    features: Features,
    episodes: Sequence[Int[np.ndarray, " _"]],
    rngs: Sequence[torch.Generator],
    settings: Logistic,
) -> list[list[Predictions]]:
    """Solve one regression per episode; return its predictions for each set of test chips.

    Args:
        features: The data set under a frozen encoder.
        episodes: Indices of the labelled training chips of each run.
        rngs: Unused; all protocols on features have it.
        settings: The protocol.

    Raises:
        NotConvergedError: The gradient is not small enough after 5,000 iterations.
    """
    del rngs
    device, width = features.train.device, features.train.shape[1]
    predictions: dict[int, list[Predictions]] = {}
    for runs in of_equal_size(episodes, lambda size: CHUNK_VALUES // (size * width)):
        rows = torch.from_numpy(np.stack([episodes[i] for i in runs])).to(device)
        chips = features.train[rows].double()
        mean = chips.mean(1, keepdim=True)
        scale = chips.std(1, correction=0, keepdim=True)
        scale = torch.where(scale > 0, scale, 1)  # a constant feature becomes 0
        chips = (chips - mean) / scale
        labels = one_hot(features.train_labels[rows].long(), features.classes).double()
        basis = torch.linalg.qr(chips.mT).Q if width > rows.shape[1] else None
        weights = minimise(chips if basis is None else chips @ basis, labels, settings.penalty)
        if basis is not None:  # the minimum is in the span of the chips
            weights = torch.cat([basis @ weights[:, :-1], weights[:, -1:]], dim=1)
        for test in features.tests:  # read once for all runs
            for index, one, m, s in zip(runs, weights, mean, scale, strict=True):
                parts = [_ones((part.double() - m) / s) @ one for part in test.split(CHUNK)]
                found = Predictions.of_logits(torch.cat(parts))
                predictions.setdefault(index, []).append(found)
    return [predictions[index] for index in range(len(episodes))]


def minimise(
    chips: Float64[Tensor, "R S D"], labels: Float64[Tensor, "R S C"], penalty: float
) -> Float64[Tensor, "R W C"]:
    """Return the weights of R regressions, W = D + 1 rows; the last row is the bias.

    Args:
        chips: Standardised features of S chips.
        labels: 1 for the class of a chip, else 0.
        penalty: Weight of half the squared norm, in units of the loss of one chip.

    Raises:
        NotConvergedError: The gradient is not small enough after 5,000 iterations.
    """
    inputs = _ones(chips)
    size = inputs.shape[1]
    decay = torch.full((inputs.shape[2], 1), penalty / size, dtype=chips.dtype, device=chips.device)
    decay[-1] = 0
    guess = CURVATURE / size * inputs.mT @ inputs
    guess.diagonal(dim1=1, dim2=2).add_(decay[:, 0].clamp(min=LEAST_DECAY))
    factor = torch.linalg.cholesky(guess)
    weights = chips.new_zeros(len(chips), inputs.shape[2], labels.shape[2])
    logits = torch.zeros_like(labels)
    past: list[tuple[Tensor, Tensor, Tensor]] = []
    gradient = _gradient(inputs, logits, labels, weights, decay)
    for _ in range(ITERATIONS):
        unsolved = gradient.abs().amax((1, 2), keepdim=True) > TOLERANCE
        if not unsolved.any():
            return weights
        direction = -_inverse_hessian(past, gradient, factor)
        steps = inputs @ direction
        length = _line_search(logits, steps, labels, weights, direction, decay)
        length = torch.where(unsolved, length, 0)  # a solved run no longer moves
        weights, logits = weights + length * direction, logits + length * steps
        before, gradient = gradient, _gradient(inputs, logits, labels, weights, decay)
        moved, changed = length * direction, gradient - before
        curvature = (moved * changed).sum((1, 2), keepdim=True)
        past = [
            *past[1 - HISTORY :],
            (moved, changed, torch.where(curvature > 0, 1 / curvature, 0)),
        ]
    worst = float(gradient.abs().max())
    raise NotConvergedError(
        f"the gradient of a regression is {worst:.1e} after {ITERATIONS} iterations, above "
        f"{TOLERANCE:.0e}; set a larger `penalty` or another readout"
    )


def _ones(chips: Float[Tensor, "*B S D"]) -> Float[Tensor, "*B S W"]:
    """Append a feature of ones, whose weight is the bias."""
    return pad(chips, (0, 1), value=1.0)


def _gradient(
    inputs: Tensor, logits: Tensor, labels: Tensor, weights: Tensor, decay: Tensor
) -> Float64[Tensor, "R W C"]:
    """Return the gradient of the mean loss."""
    return inputs.mT @ (logits.softmax(2) - labels) / inputs.shape[1] + decay * weights


def _inverse_hessian(
    past: Sequence[tuple[Tensor, Tensor, Tensor]], gradient: Tensor, factor: Tensor
) -> Float64[Tensor, "R W C"]:
    """Return the inverse Hessian of L-BFGS times the gradient (the two-loop recursion).

    `factor` is the Cholesky factor of the first guess, which is scaled by the newest pair.
    """
    result, shares = gradient, []
    for moved, changed, inverse in reversed(past):
        shares.append(inverse * (moved * result).sum((1, 2), keepdim=True))
        result = result - shares[-1] * changed
    result = torch.cholesky_solve(result, factor)
    if past:
        moved, changed, _ = past[-1]
        square = (changed * torch.cholesky_solve(changed, factor)).sum((1, 2), keepdim=True)
        scale = (moved * changed).sum((1, 2), keepdim=True) / square
        result = torch.where(square > 0, scale, 1) * result
    for (moved, changed, inverse), share in zip(past, reversed(shares), strict=True):
        back = inverse * (changed * result).sum((1, 2), keepdim=True)
        result = result + (share - back) * moved
    return result


def _line_search(
    logits: Tensor, steps: Tensor, labels: Tensor, weights: Tensor, direction: Tensor, decay: Tensor
) -> Float64[Tensor, "R 1 1"]:
    """Return the length of the step of each run that minimises its loss along the direction.

    The loss along a line is convex, so Newton's method is kept between a point where it falls and
    one where it rises.
    """
    size = logits.shape[1]
    linear = (decay * weights * direction).sum((1, 2), keepdim=True)
    linear = linear - (labels * steps).sum((1, 2), keepdim=True) / size
    square = (decay * direction * direction).sum((1, 2), keepdim=True)
    low, high = torch.zeros_like(linear), torch.full_like(linear, torch.inf)
    length, first = torch.ones_like(linear), None
    for _ in range(SEARCHES):
        share = (logits + length * steps).softmax(2)
        mean = (share * steps).sum(2, keepdim=True)
        slope = linear + length * square + mean.sum(1, keepdim=True) / size
        bend = square + (share * (steps - mean).square()).sum((1, 2), keepdim=True) / size
        first = slope.abs() if first is None else torch.maximum(first, slope.abs())
        if bool((slope.abs() <= SEARCH_TOLERANCE * first).all()):
            break
        low, high = torch.where(slope < 0, length, low), torch.where(slope < 0, high, length)
        middle = torch.where(high.isinf(), 2 * length, (low + high) / 2)
        newton = length - slope / bend
        length = torch.where((newton > low) & (newton < high), newton, middle)
    return length
