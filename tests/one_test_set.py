"""Protocols on a single set of test chips."""

from types import ModuleType
from typing import Any

from torch import Tensor

from sarbench.protocols._types import Features, LabelledImages, Predictions


def features_of(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Features:
    return Features(train, labels, [test], classes)


def images_of(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> LabelledImages:
    return LabelledImages(train, labels, [test], classes)


def run_all(protocol: ModuleType, *given: Any) -> list[Predictions]:
    """Return the predictions of each episode of a protocol on features."""
    return [one for (one,) in protocol.run(*given)]


def run_one(protocol: ModuleType, *given: Any) -> Predictions:
    """Return the predictions of a protocol that trains the encoder."""
    (one,) = protocol.run(*given)
    return one
