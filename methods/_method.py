"""The contract of a pretraining method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from ._encoders import SIZES, AnyEncoder, GivenConfig, TimmConfig, ViTConfig
from ._given import continued_encoder, continues, is_given, load_first_weights
from ._timm import TimmEncoder
from ._vit import Encoder


class MethodConfigError(ValueError):
    """A value of a method's `Config`, or an encoder, that the method cannot use."""


@dataclass(frozen=True)
class View:
    """Random crops of each chip that a method needs.

    Attributes:
        size: Side in pixels; None = the input of the encoder.
        share: Side relative to the input of the encoder, if `size` is None; rounded to patches.
        crop_scale: Smallest and largest share of the chip's area; None = those of the recipe.
        count: Number of such crops of each chip.
        flip: Probability of a left-right flip; None = that of the recipe.
        contrast: Largest relative change of contrast; None = that of the recipe.
        looks: Number of looks of added speckle (`_speckle.py`); None = no speckle.
    """

    size: int | None = None
    crop_scale: tuple[float, float] | None = None
    count: int = 1
    flip: float | None = None
    contrast: float | None = None
    looks: int | None = None
    share: float | None = None

    def sized(self, encoder: AnyEncoder) -> "View":
        """Return the view with its side in pixels, if that is given as a share."""
        if self.size is not None or self.share is None:
            return self
        patch_px = getattr(encoder, "patch_px", 1)
        patches = max(1, round(self.share * encoder.input_px / patch_px))
        return replace(self, size=patches * patch_px)


def _own_rows(rows: Tensor) -> Tensor:
    return rows


@dataclass(frozen=True)
class Batch:
    """The chips of one training step, or one process's share of them.

    Attributes:
        views: Augmented chips with values in [0, 1], one tensor for each crop of `Method.views`.
        index: Row of each chip in the pool.
        labels: Class of each chip; None unless the method needs labels.
        progress: Share of all steps done before this one, in [0, 1).
        gather: Returns the rows of all processes in the order of the whole batch, with their
            gradient. With one process it returns the rows unchanged.
    """

    views: tuple[Float[Tensor, "B 1 _ _"], ...]
    index: Int[Tensor, " B"]
    labels: Int[Tensor, " B"] | None = None
    progress: float = 0.0
    gather: Callable[[Tensor], Tensor] = field(default=_own_rows)


Loss = tuple[Float[Tensor, ""], Shaped[Tensor, " B *rest"] | None]


def _from_rng(init: Callable[..., None]) -> Callable[..., None]:
    """Let torch's modules draw their first weights from the given generator.

    The global random state is restored, and `rng` does not move. An encoder that the method cannot
    train is refused first. `weights` are kept for `Method.__init__`.
    """

    @wraps(init)
    def build(
        self: Any,
        config: Any,
        encoder: Any,
        rng: torch.Generator,
        weights: Mapping[str, Tensor] | None = None,
        **more: Any,
    ) -> None:
        if "_being_built" in self.__dict__:  # called by the constructor of a subclass
            init(self, config, encoder, rng, **more)
            return
        if not (self.any_encoder or _encodes_parts(encoder)):
            what = "a HiViT" if isinstance(encoder, GivenConfig) else encoder.name
            raise MethodConfigError(
                f"the method encodes only some of the patches, which {what} cannot; "
                f"use one of {', '.join(SIZES)}, or the weights of a ViT"
            )
        # `nn.Module` refuses attributes before its own constructor has run.
        self.__dict__["_being_built"], self.__dict__["_weights"] = True, weights
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(rng.initial_seed())
            init(self, config, encoder, rng, **more)
        del self.__dict__["_being_built"], self.__dict__["_weights"]

    return build


def _encodes_parts(encoder: AnyEncoder | None) -> bool:
    """Return whether an encoder can encode some of the patches."""
    if isinstance(encoder, GivenConfig):
        return encoder.family == "vit"
    return not isinstance(encoder, TimmConfig)


class Method(nn.Module):
    """One pretraining method: an encoder, and a loss that trains it.

    It is built as `Method(config, encoder_config, rng)`; with `classes=`, their number, if it needs
    labels; with `chips=`, the size of the pool, if it keeps a state of each chip; and with
    `weights=`, by their names in the encoder, if it continues from those of a file. A method never
    parses arguments, uses the disk, picks a device, seeds, logs or prints.

    Attributes:
        encoder: The network that evaluation uses: chips (B, 1, H, W) in [0, 1] -> tokens (B, N, D),
            with the class token first if `encoder.has_class_token`.
        steps: Length of the whole training, set before its first step; 0 if it is unknown.
    """

    steps: int = 0
    # Set by @register:
    name: ClassVar[str]
    label: ClassVar[str]
    paper: ClassVar[str]
    version: ClassVar[int]
    control: ClassVar[bool]
    unconfirmed: ClassVar[bool]  # the paper leaves the definition open; marked in tables
    family: ClassVar[str]  # one of `_registry.FAMILIES`
    # False for a control, and for the weights of a file: it has no loss.
    trains: ClassVar[bool] = True
    # True: trains any encoder. False: needs one that can encode some of the patches (`Encoder`).
    any_encoder: ClassVar[bool] = True
    # True: `loss` reads `Batch.labels`, and the pool must be one training split.
    needs_labels: ClassVar[bool] = False
    # True: keeps a state of each chip, in buffers with a row for each `Batch.index`.
    has_chip_state: ClassVar[bool] = False
    # The encoder's input in evaluation: "encoder" = the chip resized to `input_px`, "chip" = the
    # prepared chip unchanged, "size" = (height, width) of the chip's source image.
    evaluation_input: ClassVar[Literal["encoder", "chip", "size"]] = "encoder"
    # True: evaluation permutes the labels of the labelled chips; for protocols on features.
    shuffles_labels: ClassVar[bool] = False
    protocols: ClassVar[tuple[str, ...]] = (
        "few_shot", "linear", "logistic", "finetune", "lora", "knn"
    )  # fmt: skip
    # The recipe of the source, by the field names of `Recipe` in bench/identity.py; None = unknown.
    # Rates are for a batch of 256 and scale with the batch.
    source_recipe: ClassVar[dict[str, float | str] | None] = None
    Config: ClassVar[type]

    encoder: Any  # an nn.Module, most often `_vit.Encoder`
    encoder_config: ViTConfig  # or None without a network, or a TimmConfig with any_encoder

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep constructors from moving the global random state."""
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _from_rng(cls.__init__)

    @_from_rng
    def __init__(self, config: Any, encoder: AnyEncoder | None, rng: torch.Generator) -> None:
        """Build the networks and draw every weight from `rng`, a CPU generator.

        `encoder` is None for a control without a network.

        Raises:
            MethodConfigError: The method cannot train this encoder.
        """
        super().__init__()
        self.config = config
        self.encoder_config = cast(ViTConfig, encoder)
        self.encoder = self.build_encoder(config, self.encoder_config)
        if continues(encoder) and not is_given(self.encoder):
            raise MethodConfigError(
                f"{self.label} builds a network of its own, which does not take the weights of a "
                "file; leave `init` out for it"
            )
        if (weights := self.__dict__["_weights"]) is not None:
            load_first_weights(self.encoder, weights)

    @classmethod
    def build_encoder(cls, config: Any, encoder: Any, drop_path: float = 0.0) -> nn.Module:
        """Return the encoder before its weights are drawn, or loaded by evaluation.

        The default is a ViT with class token and fixed sin-cos positions, or the network of timm.
        If the pretraining continues from weights, it is their network.
        """
        if continues(encoder):
            return continued_encoder(encoder, drop_path)
        if isinstance(encoder, TimmConfig):
            return TimmEncoder(encoder, drop_path)
        return Encoder(encoder, "absolute", drop_path=drop_path)

    @classmethod
    def architecture(cls) -> str:
        """Return the kind of encoder, in words; methods of one kind share an untrained control.

        The kind of an `Encoder` is read from the network. Another network is a kind of its own,
        named by the label of the method that builds it.
        """
        if cls.evaluation_input != "encoder":
            return ""
        owner = next(one for one in cls.__mro__ if "build_encoder" in vars(one))
        own = vars(owner).get("label", cls.label)
        try:
            with torch.random.fork_rng(devices=[]):
                encoder = cls.build_encoder(cls.Config(), SIZES["vit_nano"])
        except Exception:  # code of a plug-in that may not take this size
            return own
        return encoder.kind if type(encoder) is Encoder else own

    @classmethod
    def views(cls, config: Any) -> tuple[View, ...]:
        """Return the crops of each chip that `loss` needs; the default is one."""
        return (View(),)

    def sized_views(self) -> tuple[View, ...]:
        """Return `views` with sides in pixels for this encoder."""
        return tuple(one.sized(self.encoder_config) for one in type(self).views(self.config))

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the loss of a batch, and one row for each chip for `after_step`, or None.

        `rng` is on the device of the batch. The loss changes no attribute and no buffer.
        """
        raise AttributeError(f"{type(self).__name__} has no loss")

    def after_step(self, progress: float, index: Int[Tensor, " G"], kept: Tensor | None) -> None:
        """Update moving averages, queues, centres and the state of each chip.

        No other function writes buffers, so all processes agree and a resumed training is exact.

        Args:
            progress: Share of all steps done before this one: 0 after the first.
            index: Row in the pool of each chip of the whole batch.
            kept: The rows that `loss` returned for these chips, without gradient.
        """


def summary_token(tokens: Float[Tensor, "B N D"], encoder: Any) -> Float[Tensor, "B D"]:
    """Return the class token of each chip, or without one the mean of its tokens."""
    return tokens[:, 0] if encoder.has_class_token else tokens.mean(dim=1)
