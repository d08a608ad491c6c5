"""Named encoders and their sizes; imports no torch, so that a grid is checked quickly."""

import re
from dataclasses import asdict, dataclass
from typing import Any

TIMM = re.compile(r"timm:(?P<model>[A-Za-z0-9_.]+)(@(?P<px>[1-9][0-9]{0,3}))?")
TIMM_PX = 224  # input side of a timm encoder without one in its name
PREDICTOR = (512, 8, 16)  # width, blocks, heads at every encoder size: SAR-JEPA's released code
NARROW = 192  # encoders below this width get a predictor of their own width


@dataclass(frozen=True)
class EncoderConfig:
    """A ViT that can encode some of the patches.

    Attributes:
        name: Name in grids.
        input_px: Side of the square input.
        patch_px: Side of a patch.
        width: Length D of a token.
        depth: Number of blocks.
        heads: Attention heads of a block.
    """

    name: str
    input_px: int
    patch_px: int
    width: int
    depth: int
    heads: int

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.input_px // self.patch_px
        return side, side

    def scaled_px(self, at_224: int | float) -> float:
        """Return a length in px, given for an input of 224 px, scaled to this input."""
        return at_224 * self.input_px / 224


@dataclass(frozen=True)
class TimmConfig:
    """A network of timm, untrained.

    Attributes:
        name: Name in grids: `timm:resnet18`, or `timm:resnet18@112` for an input of 112 px.
        input_px: Side of the square input.
    """

    name: str
    input_px: int

    @property
    def model(self) -> str:
        """The name that timm gives the network."""
        return self.name.removeprefix("timm:").partition("@")[0]


AnyEncoder = EncoderConfig | TimmConfig

SIZES = {
    size.name: size
    for size in (
        EncoderConfig("vit_nano", 112, 8, 64, 3, 4),
        EncoderConfig("vit_tiny", 224, 16, 192, 12, 3),
        EncoderConfig("vit_small", 224, 16, 384, 12, 6),
        EncoderConfig("vit_base", 224, 16, 768, 12, 12),
        EncoderConfig("vit_large", 224, 16, 1024, 24, 16),
    )
}


def encoder_named(name: str) -> AnyEncoder | None:
    """Return the encoder of a name in a grid, or None for a name that is neither ours nor timm's.

    A name of timm is not looked up here.
    """
    if match := TIMM.fullmatch(name):
        return TimmConfig(name, int(match["px"] or TIMM_PX))
    return SIZES.get(name)


def predictor_shape(encoder: EncoderConfig) -> tuple[int, int, int]:
    """Return the default (width, blocks, heads) of a predictor on an encoder."""
    if encoder.width >= NARROW:
        return PREDICTOR
    return encoder.width, max(1, encoder.depth - 1), encoder.heads


def encoder_json(encoder: AnyEncoder) -> dict[str, Any]:
    """Return an encoder as part of an identity.

    It includes the predictor's default sizes, which are part of the keys of all records.
    """
    if isinstance(encoder, TimmConfig):
        return asdict(encoder)
    names = ("predictor_width", "predictor_depth", "predictor_heads")
    return asdict(encoder) | dict(zip(names, predictor_shape(encoder), strict=True))


def encoder_from_json(values: dict[str, Any]) -> AnyEncoder:
    """Return the encoder of an identity."""
    if str(values["name"]).startswith("timm:"):
        return TimmConfig(**values)
    return EncoderConfig(**{k: v for k, v in values.items() if not k.startswith("predictor_")})
