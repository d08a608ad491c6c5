"""The contract of masked prediction: a mask, a target, a prediction."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ._encoders import ViTConfig, predictor_shape
from ._given import continues
from ._method import Batch, Loss, Method, MethodConfigError
from ._vit import Encoder, Positions

PredictorShape = tuple[int, int, int]  # width, blocks, heads


@dataclass(frozen=True)
class Prediction:
    """The prediction of a batch, row by row; a row is an image, or a window or block of one.

    Attributes:
        predicted: P values for each of M patches.
        target: The true values; without gradient.
        mask: True where the patch was hidden from the encoder.
        patches: Index of each patch on the patch grid, row-major.
        images: Index of each row's image in the batch.
    """

    predicted: Float[Tensor, "R M P"]
    target: Float[Tensor, "R M P"]
    mask: Bool[Tensor, "R M"]
    patches: Int[Tensor, "R M"]
    images: Int[Tensor, " R"]

    @classmethod
    def of_images(cls, predicted: Tensor, target: Tensor, mask: Tensor) -> "Prediction":
        """Return a prediction whose rows are the images of the batch, with all their patches."""
        images, patches = (torch.arange(size, device=mask.device) for size in mask.shape)
        return cls(predicted, target, mask, patches.expand(len(mask), -1), images)


class MaskedPrediction(Method):
    """A method that hides patches from the encoder and predicts something of them."""

    any_encoder = False
    # Of the patches in the encoder. Relative ones are for a whole square of patches.
    positions: ClassVar[Positions] = "absolute"
    # The target, for pictures: pixels of one or more maps, values without a place in the patch, or
    # histograms of 9 directions, bin after bin, of the cells of a patch.
    target_kind: ClassVar[Literal["pixels", "features", "histograms"]] = "pixels"

    @classmethod
    def build_encoder(cls, config: Any, encoder: Any, drop_path: float = 0.0) -> Any:
        """Return a ViT with class token and these positions.

        Raises:
            MethodConfigError: The given weights have the other kind of positions.
        """
        if not continues(encoder):
            return Encoder(encoder, cls.positions, drop_path=drop_path)
        if cls.positions == "relative" and encoder.positions != "relative":
            raise MethodConfigError(
                "the method needs relative positions, and the weights have a table of positions; "
                "use weights of SAR-JEPA or LoMaR, or a method such as mae"
            )
        if cls.positions != "relative" and encoder.positions == "relative":
            raise MethodConfigError(
                "the method needs a table of positions, and those of the weights are relative; "
                "use other weights, or a method such as sar_jepa"
            )
        return super().build_encoder(config, encoder, drop_path)

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Hide, encode, predict; `rng` (on the images' device) draws the mask."""
        raise AttributeError(f"{type(self).__name__} has no predict")

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean squared error over the values of hidden patches."""
        prediction = self.predict(batch.views[0], rng)
        error = (prediction.predicted - prediction.target).square().mean(-1)
        # error[mask].mean() would wait for the GPU to count the hidden patches.
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
            f"predictor is {shape}; it must be [width, blocks, heads], whole numbers >= 1, with a "
            "width that is a multiple of 4 and of the heads"
        )


def shape_of(configured: PredictorShape | None, encoder: ViTConfig) -> PredictorShape:
    """Return the predictor's (width, blocks, heads) as configured, or the default."""
    return configured or predictor_shape(encoder)


def part_of_patch(name: str, at_16: int, encoder: ViTConfig) -> int:
    """Return a length in px, given for patches of 16 px, in the patches of an encoder.

    Raises:
        MethodConfigError: It does not divide a patch.
    """
    px, rest = divmod(at_16 * encoder.patch_px, 16)
    if rest or px < 1 or encoder.patch_px % px:
        allowed = [n for n in (1, 2, 4, 8, 16) if n * encoder.patch_px % 16 == 0]
        raise MethodConfigError(
            f"{name} is {at_16} in a patch of 16 px, so {at_16 * encoder.patch_px / 16:g} in the "
            f"{encoder.patch_px} px of {encoder.name}; it must divide a patch: "
            f"{', '.join(map(str, allowed))}"
        )
    return px
