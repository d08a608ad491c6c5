"""Named encoders and their sizes; imports no torch, so that a grid is checked quickly."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NoReturn

TIMM = re.compile(r"timm:(?P<model>[A-Za-z0-9_.]+)(@(?P<px>[1-9][0-9]{0,3}))?")
OURS = re.compile(
    r"(?P<base>vit_[a-z]+)(@(?P<px>[1-9]\d{0,3}))?"
    r"|vit:(?P<width>\d{1,4})x(?P<depth>\d{1,2})x(?P<heads>\d{1,2})"
    r"@(?P<px_>[1-9]\d{0,3})/(?P<patch>[1-9]\d{0,2})"
)
TIMM_PX = 224  # input side of a timm encoder without one in its name
PREDICTOR = (512, 8, 16)  # width, blocks, heads at every encoder size: SAR-JEPA's released code
NARROW = 192  # encoders below this width get a predictor of their own width


class EncoderError(ValueError):
    """The name of an encoder that cannot be built, or that has another name."""


class Patches:
    """Lengths of an encoder with a square input in square patches."""

    input_px: int
    patch_px: int

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.input_px // self.patch_px
        return side, side

    def scaled_px(self, at_224: int | float) -> float:
        """Return a length in px, given for an input of 224 px, scaled to this input."""
        return at_224 * self.input_px / 224


@dataclass(frozen=True)
class InputConfig:
    """The input that given weights expect.

    Attributes:
        channels: Input channels of the first layer.
        channel: Index of the channel that a chip is given to, while the others hold their mean;
            None = a chip is every channel.
        mean: Subtracted from each channel; None = 0.
        std: Divides each channel then; None = 1.
    """

    channels: int = 1
    channel: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @classmethod
    def pick(cls, values: Mapping[str, Any]) -> "InputConfig":
        """Return the input among the values of an identity; lists become tuples."""
        given: dict[str, Any] = {name: values[name] for name in INPUT if name in values}
        given |= {name: tuple(one) for name, one in given.items() if isinstance(one, list)}
        return cls(**given)

    def input_json(self) -> dict[str, Any]:
        """Return the input as part of an identity; a field that is None is left out."""
        given = {name: getattr(self, name) for name in INPUT}
        plain = {n: list(v) if isinstance(v, tuple) else v for n, v in given.items()}
        return {name: value for name, value in plain.items() if value is not None}

    def in_words(self) -> str:
        """Return the input in words."""
        if self.channels == 1:
            rule = "1 channel"
        elif self.channel is None:
            rule = f"{self.channels} channels, each the chip"
        else:
            rule = (
                f"{self.channels} channels: {self.channel} is the chip, the others hold their mean"
            )
        if self.mean is None and self.std is None:
            return f"{rule}, amplitude in [0, 1], not normalised"
        mean, std = _listed(self.mean or (0.0,)), _listed(self.std or (1.0,))
        return f"{rule}, amplitude in [0, 1], mean {mean}, deviation {std}"


def _listed(values: tuple[float, ...]) -> str:
    if len(set(values)) == 1:
        return f"{values[0]:g}"
    return f"({', '.join(f'{one:g}' for one in values)})"


INPUT = tuple(field.name for field in fields(InputConfig))


@dataclass(frozen=True)
class EncoderConfig(Patches):
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


@dataclass(frozen=True)
class TimmConfig:
    """A network of timm.

    Attributes:
        name: Name in grids: `timm:resnet18`, or `timm:resnet18@112` for an input of 112 px.
        input_px: Side of the square input.
        input: That of the weights from which a pretraining continues; None = one channel.
    """

    name: str
    input_px: int
    input: InputConfig | None = None

    @property
    def model(self) -> str:
        """The name that timm gives the network."""
        return self.name.removeprefix("timm:").partition("@")[0]


@dataclass(frozen=True)
class GivenConfig(Patches):
    """The ViT or HiViT of a file; each number is a shape in the file, or stated by a person.

    Attributes:
        input_px: Side of the square input.
        patch_px: Side of a patch.
        width: Length D of a token.
        depth: Number of blocks.
        heads: Attention heads of a block.
        hidden: Rows of the first matrix of an MLP.
        gated: Whether its MLPs are gated (SwiGLU); half of the rows are then gates.
        qkv_bias: Whether queries, keys and values have a bias.
        layer_scale: Whether the branches of a block are scaled by learned factors.
        class_token: Whether token 0 is a class token.
        registers: Number of register tokens, which are no part of the result.
        positions: A stored table with a row for each token, or LoMaR's relative attention.
        stem_blocks: Of a HiViT, the blocks in each of the two stages before `depth`.
        stem_hidden: Of a HiViT, rows of the first matrix of an MLP in the first stage; the second
            stage has twice as many.
        family: Kind of network.
        bias_tables: Of a HiViT, whether each block adds relative position biases to its attention.
        name: Name in tables, width x depth x heads @ input / patch; empty = made from them.
        input: That of the weights from which a pretraining continues; None = as `methods/given.py`
            says.
    """

    input_px: int
    patch_px: int
    width: int
    depth: int
    heads: int
    hidden: int
    gated: bool = False
    qkv_bias: bool = True
    layer_scale: bool = False
    class_token: bool = True
    registers: int = 0
    positions: Literal["table", "relative"] = "table"
    stem_blocks: int = 0
    stem_hidden: int = 0
    family: Literal["vit", "hivit"] = "vit"
    bias_tables: bool = False
    name: str = ""
    input: InputConfig | None = None

    def __post_init__(self) -> None:
        """Set the name, and refuse sizes that do not fit together.

        Raises:
            EncoderError: The heads do not divide the width, or the patches not the input.
        """
        sizes = f"{self.width}x{self.depth}x{self.heads}@{self.input_px}/{self.patch_px}"
        object.__setattr__(self, "name", self.name or f"given:{sizes}")
        if self.heads < 1 or self.width % self.heads:
            _refuse(self.name, f"{self.heads} heads do not divide its width, {self.width}")
        if self.input_px < self.patch_px or self.input_px % self.patch_px:
            _refuse(self.name, _near_sizes(self.input_px, self.patch_px))


ViTConfig = EncoderConfig | GivenConfig
AnyEncoder = ViTConfig | TimmConfig

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

    `vit_nano@80` is `vit_nano` for chips of 80 px, and `vit:128x4x4@112/8` a ViT of 4 blocks, 128
    wide, with 4 heads, for chips of 112 px in patches of 8 px. Each encoder has one name. A name of
    timm is not looked up here.

    Raises:
        EncoderError: The name is that of a ViT that cannot be built.
    """
    if match := TIMM.fullmatch(name):
        return TimmConfig(name, int(match["px"] or TIMM_PX))
    match = OURS.fullmatch(name)
    if match is None or (match["base"] and match["base"] not in SIZES):
        return None
    if match["base"]:
        base = SIZES[match["base"]]
        found = replace(base, name=name, input_px=int(match["px"] or base.input_px))
    else:
        sizes = (int(match[n]) for n in ("px_", "patch", "width", "depth", "heads"))
        found = EncoderConfig(name, *sizes)
    for base in SIZES.values():  # one name for each encoder, because it is part of keys
        px = found.input_px
        usual = base.name if px == base.input_px else f"{base.name}@{px}"
        if name != usual and replace(base, name=name, input_px=px) == found:
            _refuse(name, f"use its other name, {usual!r}")
    if found.input_px % found.patch_px:
        _refuse(name, _near_sizes(found.input_px, found.patch_px))
    if min(found.depth, found.heads) < 1 or found.width % found.heads or found.width % 4:
        _refuse(name, "its width must be a multiple of 4 and of its heads, and all 1 or more")
    return found


def _near_sizes(input_px: int, patch_px: int) -> str:
    below = input_px // patch_px * patch_px
    near = " or ".join(f"{px} px" for px in (below, below + patch_px) if px)
    return f"patches of {patch_px} px do not divide its input; use {near}"


def _refuse(name: str, reason: str) -> NoReturn:
    raise EncoderError(f"encoder {name!r}: {reason}")


def predictor_shape(encoder: ViTConfig) -> tuple[int, int, int]:
    """Return the default (width, blocks, heads) of a predictor on an encoder."""
    if encoder.width >= NARROW:
        return PREDICTOR
    return encoder.width, max(1, encoder.depth - 1), encoder.heads


def encoder_json(encoder: AnyEncoder) -> dict[str, Any]:
    """Return an encoder as part of an identity.

    It includes the predictor's default sizes, which are part of the keys of all records. Other
    fields that have their default are left out, so that a new field changes no key.
    """
    if isinstance(encoder, EncoderConfig):
        names = ("predictor_width", "predictor_depth", "predictor_heads")
        return asdict(encoder) | dict(zip(names, predictor_shape(encoder), strict=True))
    usual = {one.name: one.default for one in fields(encoder)}
    values = {name: value for name, value in asdict(encoder).items() if value != usual[name]}
    if encoder.input is not None:
        values["input"] = encoder.input.input_json()
    return values


def encoder_from_json(values: dict[str, Any]) -> AnyEncoder:
    """Return the encoder of an identity."""
    if isinstance(given := values.get("input"), dict):
        values = values | {"input": InputConfig.pick(given)}
    if "hidden" in values:
        return GivenConfig(**values)
    if str(values["name"]).startswith("timm:"):
        return TimmConfig(**values)
    return EncoderConfig(**{k: v for k, v in values.items() if not k.startswith("predictor_")})
