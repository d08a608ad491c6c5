"""The contract of a pretraining method."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from ._encoders import SIZES, AnyEncoder, EncoderConfig, TimmConfig
from ._timm import TimmEncoder
from ._vit import Encoder


class MethodConfigError(ValueError):
    """A method's `Config` holds a value that it cannot work with."""


@dataclass(frozen=True)
class View:
    """Random crops of each chip that a method asks of the loop.

    Attributes:
        size: Side in pixels; None = the input of the encoder.
        crop_scale: Smallest and largest share of the chip's area; None = those of the recipe.
        count: How many such crops of each chip.
    """

    size: int | None = None
    crop_scale: tuple[float, float] | None = None
    count: int = 1


def _own_rows(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True)
class Batch:
    """One training step's chips, or one process's share of them.

    Attributes:
        views: Augmented chips with values in [0, 1], one tensor for each crop of `Method.views`.
        index: Row of each chip in the pool.
        labels: Class of each chip; None unless the method needs labels.
        progress: Share of all steps done before this one, in [0, 1).
        gather: Returns the rows of all processes, in the order of the whole batch, with their
            gradient; the rows themselves where there is one process.
    """

    views: tuple[Float[Tensor, "B 1 _ _"], ...]
    index: Int[Tensor, " B"]
    labels: Int[Tensor, " B"] | None = None
    progress: float = 0.0
    gather: Callable[[Tensor], Tensor] = field(default=_own_rows)


Loss = tuple[Float[Tensor, ""], Shaped[Tensor, "B *rest"] | None]


def _from_rng(init: Callable[..., None]) -> Callable[..., None]:
    """Let what torch's modules draw when they are built come from the generator handed in.

    The global random state is as before afterwards, and `rng` has not moved. An encoder that the
    method cannot train is refused first.
    """

    @wraps(init)
    def build(self: Any, config: Any, encoder: Any, rng: torch.Generator, **more: Any) -> None:
        if "_being_built" in self.__dict__:  # called by the constructor of a subclass
            init(self, config, encoder, rng, **more)
            return
        if isinstance(encoder, TimmConfig) and not self.any_encoder:
            raise MethodConfigError(
                f"{self.label} leaves patches out of the encoder, which {encoder.name} cannot; "
                f"encoders that can: {', '.join(SIZES)}"
            )
        self.__dict__["_being_built"] = True
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(rng.initial_seed())
            init(self, config, encoder, rng, **more)
        del self.__dict__["_being_built"]

    return build


class Method(nn.Module):
    """One pretraining method: an encoder, and a loss that trains it.

    Built as `Method(config, encoder_config, rng)`, with `classes=` (their number) where it needs
    labels. A method never parses arguments, touches disk, picks a device, seeds, logs or prints.

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
    # Whether it trains any encoder, or only those that can leave patches out (`_vit.Encoder`).
    any_encoder: ClassVar[bool] = True
    # Whether `loss` reads `Batch.labels`; the pool must then be one training split.
    needs_labels: ClassVar[bool] = False
    # What the encoder is given when it is evaluated: "encoder" = the chip resized to `input_px`,
    # "chip" = the prepared chip as it is, "size" = (height, width) of the chip's source image.
    evaluation_input: ClassVar[Literal["encoder", "chip", "size"]] = "encoder"
    protocols: ClassVar[tuple[str, ...]] = ("few_shot", "linear", "finetune", "knn")
    # How the source trains the method, by the field names of bench's `Recipe`; None = unknown.
    # Rates are for a batch of 256 and scale with the batch.
    source_recipe: ClassVar[dict[str, float | str] | None] = None
    Config: ClassVar[type]

    encoder: Any  # an nn.Module, most often `_vit.Encoder`
    encoder_config: EncoderConfig  # None where there is no network, a TimmConfig where allowed

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep constructors from moving the global random state."""
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _from_rng(cls.__init__)

    @_from_rng
    def __init__(self, config: Any, encoder: AnyEncoder | None, rng: torch.Generator) -> None:
        """Build the networks; every weight is drawn from `rng` (a CPU generator).

        `encoder` is None for a control without network.

        Raises:
            MethodConfigError: The method cannot train this encoder.
        """
        super().__init__()
        self.config = config
        self.encoder_config = cast(EncoderConfig, encoder)
        self.encoder = self.build_encoder(config, self.encoder_config)

    @classmethod
    def build_encoder(cls, config: Any, encoder: Any, drop_path: float = 0.0) -> nn.Module:
        """Return the encoder, its weights not drawn yet; evaluation loads them from a file.

        The default is a ViT with class token and fixed sin-cos positions, or the network of timm.
        """
        if isinstance(encoder, TimmConfig):
            return TimmEncoder(encoder, drop_path)
        return Encoder(encoder, "absolute", drop_path=drop_path)

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

    @classmethod
    def views(cls, config: Any) -> tuple[View, ...]:
        """Return the crops of each chip that `loss` is given: one, unless a method says more."""
        return (View(),)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the loss of a batch, and a row of each chip for `after_step` or None.

        `rng` is on the device of the batch. Nothing is remembered here: not in an attribute, not in
        a buffer.
        """
        raise AttributeError(f"{type(self).__name__} has no loss")

    def after_step(self, progress: float, index: Int[Tensor, " G"], kept: Tensor | None) -> None:
        """Update what the optimiser does not: averages, queues, centres, the state of each chip.

        Only here are buffers written, so that all processes agree and a resumed training is exact.

        Args:
            progress: Share of all steps done before this one: 0 after the first.
            index: Row in the pool of each chip of the whole batch.
            kept: What `loss` returned for these chips, of all processes; without gradient.
        """


def summary_token(tokens: Float[Tensor, "B N D"], encoder: Any) -> Float[Tensor, "B D"]:
    """Return the class token of each chip, or the mean of its tokens where there is none."""
    return tokens[:, 0] if encoder.has_class_token else tokens.mean(dim=1)
