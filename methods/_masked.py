"""Masked prediction in the contract of a method: a mask, a target, a prediction."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ._encoders import EncoderConfig, predictor_shape
from ._method import Batch, Loss, Method, MethodConfigError

PredictorShape = tuple[int, int, int]  # width, blocks, heads


@dataclass(frozen=True)
class Prediction:
    """The prediction of a batch, row by row; a row is an image, a window or a block of it.

    Attributes:
        predicted: P values for each of M patches.
        target: What they should have been; carries no gradient.
        mask: True where the patch was hidden from the encoder.
        patches: Index of each patch on the patch grid, row-major.
        images: Index of the image that each row belongs to.
    """

    predicted: Float[Tensor, "R M P"]
    target: Float[Tensor, "R M P"]
    mask: Bool[Tensor, "R M"]
    patches: Int[Tensor, "R M"]
    images: Int[Tensor, " R"]


class MaskedPrediction(Method):
    """A method that hides patches from the encoder and predicts something of them."""

    any_encoder = False
    # How `methods show` draws a target: pixels of one or more maps, or values without a place.
    target_kind: ClassVar[Literal["pixels", "features"]] = "pixels"

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Hide, encode, predict; `rng` (on the images' device) draws the mask."""
        raise AttributeError(f"{type(self).__name__} has no predict")

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean squared error over the values of hidden patches."""
        prediction = self.predict(batch.views[0], rng)
        error = (prediction.predicted - prediction.target).square().mean(-1)
        # Not error[mask].mean(): the number of hidden patches would be waited for on a GPU.
        return (error * prediction.mask).sum() / prediction.mask.sum(), None


def check_predictor(shape: PredictorShape | None) -> None:
    """Refuse a predictor that cannot be built.

    Raises:
        MethodConfigError: Not three whole numbers >= 1, or a width that its heads do not divide.
    """
    if shape is None:
        return
    whole = isinstance(shape, tuple) and all(type(one) is int for one in shape)
    if not whole or len(shape) != 3 or min(shape) < 1 or shape[0] % shape[2] or shape[0] % 4:
        raise MethodConfigError(
            "predictor must be [width, blocks, heads], whole numbers >= 1, the width a multiple of "
            f"4 and of the heads; got {shape}"
        )


def shape_of(asked: PredictorShape | None, encoder: EncoderConfig) -> PredictorShape:
    """Return the predictor's (width, blocks, heads): those asked for, or the source's."""
    return asked or predictor_shape(encoder)
