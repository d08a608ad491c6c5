"""What a protocol is given and gives back, and how tokens become one feature per chip."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor, nn

from ._settings import Readout

READOUTS: tuple[str, ...] = get_args(Readout)


class Encoder(Protocol):
    """Chips (B, 1, H, W) in [0, 1] -> tokens (B, N, D), class token first if there is one."""

    has_class_token: bool
    width: int  # D

    def __call__(self, images: Tensor) -> Tensor:
        """Return the tokens of `images`."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return the weights by name."""
        ...


class BadFeaturesError(ValueError):
    """Features or labels that no classifier can be trained on."""


class NotConvergedError(ValueError):
    """A classifier whose weights or scores are no longer finite."""


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.numel() == 0 or int(labels.min()) < 0 or int(labels.max()) >= classes:
        found = f"{int(labels.min())}..{int(labels.max())}" if labels.numel() else "none"
        raise BadFeaturesError(
            f"training labels must lie in 0..{classes - 1}, found {found}; a pool has no labels"
        )


@dataclass(frozen=True)
class Features:
    """One data set seen by a frozen encoder, on any device; M test chips, no test labels.

    Attributes:
        train: Feature of each of N training chips, in split order.
        train_labels: Their classes.
        test: Feature of each test chip, in split order.
        classes: C, the number of classes.
    """

    train: Float[Tensor, "N D"]
    train_labels: Int[Tensor, " N"]
    test: Float[Tensor, "M D"]
    classes: int

    def __post_init__(self) -> None:
        """Refuse what would silently give chance-level scores."""
        _check_labels(self.train_labels, self.classes)
        for part, values in (("training", self.train), ("test", self.test)):
            if len(values) == 0:
                raise BadFeaturesError(f"there are no {part} chips")
            if not torch.stack(values.aminmax()).isfinite().all():  # copies nothing
                bad = int((~torch.isfinite(values).all(1)).sum())
                raise BadFeaturesError(
                    f"{bad} of {len(values)} {part} chips have features that are not finite; "
                    "the encoder has diverged or was given bad pixels"
                )


@dataclass(frozen=True)
class LabelledImages:
    """One data set as an encoder's input, on any device; M test chips, no test labels.

    Attributes:
        train: N training chips with values in [0, 1], in split order.
        train_labels: Their classes.
        test: M test chips, in split order.
        classes: C, the number of classes.
    """

    train: Float[Tensor, "N 1 H W"]
    train_labels: Int[Tensor, " N"]
    test: Float[Tensor, "M 1 H W"]
    classes: int

    def __post_init__(self) -> None:
        """Refuse labels outside the classes."""
        _check_labels(self.train_labels, self.classes)


@dataclass(frozen=True)
class Predictions:
    """What one run said of each of M test chips, in split order.

    Attributes:
        classes: The predicted class.
        scores: How sure it was: softmax probability, or similarity, of that class.
    """

    classes: Int64[np.ndarray, " M"]
    scores: Float32[np.ndarray, " M"]

    @classmethod
    def of_logits(cls, logits: Float[Tensor, "M C"]) -> "Predictions":
        """Take the likeliest class; the lowest of several alike.

        Raises:
            NotConvergedError: A logit is not finite.
        """
        if not torch.isfinite(logits).all():
            bad = int((~torch.isfinite(logits).all(1)).sum())
            raise NotConvergedError(
                f"{bad} of {len(logits)} test chips have scores that are not finite; the training "
                "of the classifier has diverged"
            )
        chosen = logits.argmax(1)
        scores = logits.float().softmax(1).gather(1, chosen[:, None])[:, 0]
        return cls(chosen.cpu().numpy(), scores.cpu().numpy())


def read_out(
    tokens: Float[Tensor, "B N D"], readout: str, has_class_token: bool
) -> Float[Tensor, "B D"]:
    """Return one feature per chip.

    Args:
        tokens: Tokens after the encoder's final norm.
        readout: `class`, `patch_mean`, or `default`: the class token where there is one, else the
            patch mean (paper_facts 4.1, 6.3).
        has_class_token: Whether token 0 is a class token.

    Raises:
        ValueError: `class` is asked of an encoder without a class token, or an unknown readout.
    """
    if readout not in READOUTS:
        raise ValueError(f"unknown readout {readout!r}; allowed: {', '.join(READOUTS)}")
    if readout == "class" and not has_class_token:
        raise ValueError("this encoder has no class token; use readout = 'patch_mean'")
    if has_class_token and readout != "patch_mean":
        return tokens[:, 0]
    patches = tokens[:, 1:] if has_class_token else tokens
    return patches.mean(dim=1)
