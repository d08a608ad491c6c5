"""Inputs and outputs of protocols, and the readout of one feature per chip from tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ._settings import Readout, grid_cells

READOUTS: tuple[str, ...] = get_args(Readout)
CHUNK = 256  # chips in one pass of an encoder; fixed, so that no number depends on memory


class BadFeaturesError(ValueError):
    """Features or labels on which a classifier cannot be trained."""


class NotConvergedError(ValueError):
    """A classifier with weights or scores that are not finite."""


def count_not_finite(values: Float[Tensor, " N *rest"]) -> int:
    """Return the number of chips with a value that is NaN or infinite; no copy if there is none."""
    if torch.stack(values.aminmax()).isfinite().all():
        return 0
    return int((~torch.isfinite(values.flatten(1)).all(1)).sum())


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.numel() == 0 or int(labels.min()) < 0 or int(labels.max()) >= classes:
        found = f"{int(labels.min())}..{int(labels.max())}" if labels.numel() else "none"
        raise BadFeaturesError(
            f"training labels are {found}; they must be in 0..{classes - 1} (a pool has no labels)"
        )


def _check_features(part: str, values: Tensor) -> None:
    if len(values) == 0:
        raise BadFeaturesError(f"there are no {part} chips")
    if bad := count_not_finite(values):
        raise BadFeaturesError(
            f"{bad} of {len(values)} {part} chips have features that are not finite; "
            "check the encoder's weights and the pixels"
        )


class OnDemand(Sequence[Tensor]):
    """Features of test chips in each condition, read and checked when they are needed."""

    def __init__(self, count: int, read: Callable[[int], Tensor]) -> None:
        """Keep the number of conditions and the way to read one."""
        self._count, self._read = count, read

    def __len__(self) -> int:
        """Return the number of conditions."""
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return the features in one condition."""
        if index >= self._count:
            raise IndexError(index)
        values = self._read(index)
        _check_features("test", values)
        return values


@dataclass(frozen=True)
class Features:
    """The features of a data set under a frozen encoder, without test labels; on any device.

    Attributes:
        train: Feature of each training chip, in split order.
        train_labels: Class of each training chip.
        tests: Feature of each test chip, in split order, in each condition of the test chips.
        classes: C, the number of classes.
    """

    train: Float[Tensor, "N D"]
    train_labels: Int[Tensor, " N"]
    tests: Sequence[Float[Tensor, "M D"]]
    classes: int

    def __post_init__(self) -> None:
        """Refuse values that would give chance-level scores without an error."""
        _check_labels(self.train_labels, self.classes)
        _check_features("training", self.train)
        for test in () if isinstance(self.tests, OnDemand) else self.tests:
            _check_features("test", test)


@dataclass(frozen=True)
class LabelledImages:
    """The chips of a data set as inputs of an encoder, without test labels; on any device.

    Attributes:
        train: Training chips with values in [0, 1], in split order.
        train_labels: Class of each training chip.
        tests: Test chips, in split order, in each of their conditions.
        classes: C, the number of classes.
    """

    train: Float[Tensor, "N 1 H W"]
    train_labels: Int[Tensor, " N"]
    tests: Sequence[Float[Tensor, "M 1 H W"]]
    classes: int

    def __post_init__(self) -> None:
        """Refuse labels outside the classes."""
        _check_labels(self.train_labels, self.classes)


@dataclass(frozen=True)
class Predictions:
    """The predictions of one run for M test chips, in split order.

    Scores are 0 at best and negative, because they are stored in half precision, which is finest
    near 0.

    Attributes:
        classes: The predicted class.
        scores: Log-probability of each class. Of a protocol without probabilities (knn): a number
            that is higher for a more likely class.
    """

    classes: Int64[np.ndarray, " M"]
    scores: Float32[np.ndarray, "M C"]

    @classmethod
    def of_logits(cls, logits: Float[Tensor, "M C"]) -> "Predictions":
        """Take the class with the highest logit; of equal ones the lowest class.

        Raises:
            NotConvergedError: A logit is not finite.
        """
        if not torch.isfinite(logits).all():
            bad = int((~torch.isfinite(logits).all(1)).sum())
            raise NotConvergedError(
                f"{bad} of {len(logits)} test chips have scores that are not finite; the training "
                "of the classifier has diverged: set a lower learning rate"
            )
        scores = logits.float().log_softmax(1)
        return cls(logits.argmax(1).cpu().numpy(), scores.contiguous().cpu().numpy())


def read_out(
    tokens: Float[Tensor, "B N D"], readout: str, has_class_token: bool
) -> Float[Tensor, "B F"]:
    """Return one feature per chip.

    `class` is the class token. `patch_mean`, `patch_max` and `patch_mean_std` are the mean, the
    maximum, and the mean and standard deviation (without Bessel's correction) of each feature over
    the patches. `patch_grid_k` is the mean in each of k x k cells of the square patch grid, cell by
    cell in row-major order; cells are those of torch's adaptive average pooling, so they overlap
    where k does not divide the grid. `default` is the class token, as in the code of SAR-JEPA, and
    without one the patch mean, as in the evaluation of I-JEPA.

    Args:
        tokens: Tokens after the encoder's final norm.
        readout: A readout; the feature has D values, 2 D for `patch_mean_std`, k^2 D for a grid.
        has_class_token: True if token 0 is a class token.

    Raises:
        ValueError: The readout is unknown, or the tokens do not have what it reads.
    """
    if readout not in READOUTS:
        raise ValueError(f"unknown readout {readout!r}; allowed: {', '.join(READOUTS)}")
    if readout == "class" and not has_class_token:
        raise ValueError("this encoder has no class token; use readout = 'patch_mean'")
    if has_class_token and readout in ("class", "default"):
        return tokens[:, 0]
    patches = tokens[:, 1:] if has_class_token else tokens
    if readout == "patch_max":
        return patches.amax(dim=1)
    mean = patches.mean(dim=1)
    if readout == "patch_mean_std":
        return torch.cat([mean, patches.std(dim=1, correction=0)], dim=1)
    if cells := grid_cells(readout):
        side = isqrt(patches.shape[1])
        if side < cells or side**2 != patches.shape[1]:
            raise ValueError(
                f"{patches.shape[1]} patches are not a square grid of {cells} x {cells} or more; "
                "use readout = 'patch_mean'"
            )
        grid = patches.mT.unflatten(2, (side, side))  # B D side side
        return adaptive_avg_pool2d(grid, cells).flatten(2).mT.flatten(1)
    return mean
