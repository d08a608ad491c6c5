"""The contract of a pretraining method."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ._sizes import SIZES, EncoderConfig
from ._vit import Encoder


class MethodConfigError(ValueError):
    """A method's `Config` holds a value that it cannot work with."""


@dataclass(frozen=True)
class Prediction:
    """What a method predicted of a batch, row by row; a row is an image, a window or a block of it.

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


class Method(nn.Module):
    """One pretraining method: an encoder, and a loss that trains it without labels.

    Built as `Method(config, encoder_config, rng)`. A method never parses arguments, touches disk,
    picks a device, seeds, logs or prints.

    Attributes:
        encoder: What is kept: chips (B, 1, H, W) in [0, 1] -> tokens (B, N, D), the class token
            first where `encoder.has_class_token`.
    """

    # Filled in by @register:
    name: ClassVar[str]
    label: ClassVar[str]
    paper: ClassVar[str]
    version: ClassVar[int]
    control: ClassVar[bool]
    unconfirmed: ClassVar[bool]  # the paper leaves the definition open; marked in tables
    # What the encoder is given when it is evaluated: "encoder" = the chip resized to `input_px`,
    # "chip" = the prepared chip as it is, "size" = (height, width) of the chip's source image.
    evaluation_input: ClassVar[Literal["encoder", "chip", "size"]] = "encoder"
    protocols: ClassVar[tuple[str, ...]] = ("few_shot", "linear", "finetune", "knn")
    # How `methods show` draws a target: pixels of one or more maps, or values without a place.
    target_kind: ClassVar[Literal["pixels", "features"]] = "pixels"
    # How the source trains the method, by the field names of bench's `Recipe`; None = unknown.
    # Rates are for a batch of 256 and scale with the batch.
    source_recipe: ClassVar[dict[str, float] | None] = None
    Config: ClassVar[type]

    encoder: Any  # an nn.Module, most often `_vit.Encoder`
    encoder_config: EncoderConfig  # None where there is no network

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep constructors from moving the global random state.

        torch's modules draw weights from it; `initialise` draws them again, from `rng`.
        """
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = torch.random.fork_rng(devices=[])(cls.__init__)

    def __init__(self, config: Any, encoder: EncoderConfig | None, rng: torch.Generator) -> None:
        """Build the networks; every weight is drawn from `rng` (a CPU generator).

        `encoder` is None for a control without network.
        """
        super().__init__()
        self.config = config
        self.encoder_config = cast(EncoderConfig, encoder)
        self.encoder = self.build_encoder(config, self.encoder_config)

    @classmethod
    def build_encoder(
        cls, config: Any, encoder: EncoderConfig, drop_path: float = 0.0
    ) -> nn.Module:
        """Return the encoder, its weights not drawn yet; evaluation loads them from a file."""
        raise AttributeError(f"{cls.__name__} has no build_encoder")

    @classmethod
    def architecture(cls) -> str:
        """Return the kind of encoder, in words; methods of one kind share an untrained control.

        That of `_vit.Encoder` is read from the network as it is built. Another network is a kind of
        its own, named by the label of the method that builds it.
        """
        if cls.evaluation_input != "encoder":
            return ""
        owner = next(one for one in cls.__mro__ if "build_encoder" in vars(one))
        own = vars(owner).get("label", cls.label)
        try:
            with torch.random.fork_rng(devices=[]):
                encoder = cls.build_encoder(cls.Config(), SIZES["vit_nano"])
        except Exception:  # of a stranger, at a size that it may not be made for
            return own
        return encoder.kind if type(encoder) is Encoder else own

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Hide, encode, predict; `rng` (on the images' device) draws the mask."""
        raise AttributeError(f"{type(self).__name__} predicts nothing")

    def loss(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Float[Tensor, ""]:
        """Return the mean squared error over the values of hidden patches."""
        prediction = self.predict(images, rng)
        error = (prediction.predicted - prediction.target).square().mean(-1)
        # Not error[mask].mean(): the number of hidden patches would be waited for on a GPU.
        return (error * prediction.mask).sum() / prediction.mask.sum()

    def after_step(self, progress: float) -> None:
        """Update what the optimiser does not: an EMA.

        `progress` in [0, 1) is the share of all steps done before this one: 0 after the first.
        """
