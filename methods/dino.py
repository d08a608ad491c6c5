"""DINO: crops of a chip get the soft class that a moving average gives to its large crops.

Hidden: nothing; small crops show 5% to 40% of a chip.
Predicted: from each of 2 large and 8 small crops, the soft class of the other large crops. A class
is one of many outputs without a name. The target encoder and its head, an exponential moving
average, choose it, with a centre subtracted, so that no class wins everywhere, and a low
temperature, so that one wins for each crop.

Paper: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021, arXiv
2104.14294, section 3 and algorithm 1.
Source: facebookresearch/dino at 7c446df.
Differs from the source:
- one channel, so no colour jitter, no grey and no inverted amplitude ("solarization"); no Gaussian
  blur, which would remove speckle;
- contrast, flip and large crops are those of the recipe, or the fields of `Config`;
- small crops have 96 / 224 of the input's side, rounded to whole patches;
- fixed sin-cos positions, where the source learns them; those of small crops are resampled to the
  number of patches, in the source to 0.1 of a patch more, a guard against rounding;
- the ViT has the first weights of `mae`, the head those of the source;
- below a width of 192 the head is 8 tokens wide instead of 2048, and has 64 classes for each value
  of a token instead of 65,536;
- the temperature of the targets rises, and the last layer is fixed, for a share of the steps, in
  the source for 30 of 300 epochs, and 1 of 100; the temperature rises step by step;
- the target encoder averages at most an eighth of the steps, as in `i_jepa`;
- the loss is the cross-entropy less the entropy of the targets, which has no gradient, so that 0 is
  agreement; the source's loss is mostly that entropy at first;
- no drop path, and gradients are not clipped;
- only the scale of the last layer's rows that the source has by default, 1, which is not trained;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): rate 5e-4, in 10 of
  100 epochs, weight decay 0.04 to 0.4, betas 0.9 and 0.999, batch 512, large crops from 40% on.
Weakness: small crops are to show a part of the object, but of a centred vehicle of 36 px in 128 px
38% show less than half and 8% nothing (docs/views.md), and then learn the class of
clutter. Before a training the tokens of different chips hardly differ, so a short training may end
before its classes tell chips apart; and 16 chips a batch are few for a centre, the source has 512.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ._encoders import NARROW, AnyEncoder
from ._joint import SmallCrops, check_sides, full_precision
from ._method import Batch, Loss, Method, MethodConfigError, View, summary_token
from ._registry import register
from ._vit import initialise, initialise_truncated
from .i_jepa import limited_momentum

HEAD = (2048, 256, 65536)  # width, length of the compared vectors, classes
NARROW_HEAD = (8, 64)  # width and classes, in widths of an encoder below `NARROW`


@dataclass(frozen=True)
class Config(SmallCrops):
    """Defaults of the paper, section 3.2, and of main_dino.py."""

    small: int = 8
    head: tuple[int, int, int] | None = None  # None = that of `head_shape`
    temperature: float = 0.1  # of predictions
    target_temperature_start: float = 0.04  # of targets at the start
    target_temperature: float = 0.07  # of targets after the rise
    target_warmup: float = 0.1  # share of the steps in which it rises
    centre_momentum: float = 0.9  # of the mean of the targets, which is subtracted from them
    # Of the target encoder at the start; rises on a cosine to 1. It is lower in a training of less
    # than 2,000 steps, so that 1 / (1 - momentum) is at most an eighth of the steps.
    momentum: float = 0.996
    fixed_last_layer: float = 0.01  # share of the steps, from the first

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        super().__post_init__()
        for name in ("temperature", "target_temperature_start", "target_temperature"):
            if not getattr(self, name) > 0:
                raise MethodConfigError(
                    f"{name} is {getattr(self, name)}; it must be above 0, such as 0.1"
                )
        for name in ("target_warmup", "centre_momentum", "momentum", "fixed_last_layer"):
            if not 0 <= getattr(self, name) <= 1:
                raise MethodConfigError(
                    f"{name} is {getattr(self, name)}; it must be a number from 0 to 1"
                )
        if self.head is not None and not _is_shape(self.head):
            raise MethodConfigError(
                f"head is {self.head}; it must be [width, length of vectors, classes], "
                f"whole numbers from 1, such as {list(HEAD)}"
            )

    def target_temperature_at(self, progress: float) -> float:
        """Return the temperature of targets after a share of the steps."""
        share = min(1.0, progress / self.target_warmup) if self.target_warmup else 1.0
        start = self.target_temperature_start
        return start + share * (self.target_temperature - start)


def _is_shape(head: Any) -> bool:
    whole = isinstance(head, tuple) and all(type(one) is int and one >= 1 for one in head)
    return whole and len(head) == 3


def head_shape(width: int) -> tuple[int, int, int]:
    """Return the head's width, length of vectors and number of classes for an encoder's width.

    Vectors always have the same length, on which the spread of their cosines depends, and so the
    meaning of temperatures.
    """
    if width >= NARROW:
        return HEAD
    hidden, classes = (width * times for times in NARROW_HEAD)
    return hidden, HEAD[1], classes


class Head(nn.Module):
    """Layers from a token to a vector of length 1, and from it to the logits of classes."""

    def __init__(self, width: int, shape: tuple[int, int, int]) -> None:
        """Build the layers; `shape` is width, length of the vector and number of classes."""
        super().__init__()
        hidden, length, classes = shape
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, length),
        )  # fmt: skip
        self.last = nn.Linear(length, classes, bias=False)

    def forward(self, tokens: Float[Tensor, "B D"]) -> Float[Tensor, "B L"]:
        """Return vectors of length 1."""
        return functional.normalize(full_precision(self.layers(tokens)), dim=1)

    def logits(self, rows: Float[Tensor, "B L"], fixed: bool = False) -> Float[Tensor, "B K"]:
        """Return the cosines of vectors and classes; `fixed` = without gradient for classes."""
        weight = self.last.weight.detach() if fixed else self.last.weight
        return full_precision(functional.linear(rows, functional.normalize(weight, dim=1)))


def divergence(
    predicted: Float[Tensor, "V B K"], targets: Float[Tensor, "T B K"]
) -> Float[Tensor, ""]:
    """Return the mean divergence of all pairs of a target crop and another crop.

    Args:
        predicted: Logarithms of the probabilities that crops give; target crops are the first.
        targets: Logarithms of the probabilities that the target encoder gives to target crops.
    """
    count = len(targets)
    others = predicted.sum(dim=0) - predicted[:count]  # of each target, summed over other crops
    mean = others / (len(predicted) - 1)
    return (targets.exp() * (targets - mean)).sum(dim=-1).mean()


@register(label="DINO", paper="arXiv:2104.14294", family="joint embedding")
class DINO(Method):
    """Soft classes of a moving average, for large and small crops."""

    centre: Tensor
    source_recipe: ClassVar = {  # main_dino.py, with the 8 GPUs of README.md
        "epochs": 100, "batch": 512, "base_lr": 5e-4, "warmup_epochs": 10.0, "lr_end_share": 1e-3,
        "weight_decay": 0.04, "weight_decay_end": 0.4, "beta1": 0.9, "beta2": 0.999,
        "crop_scale_min": 0.4, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.4,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: AnyEncoder, rng: torch.Generator) -> None:
        """Build encoder and head, and copies of both that give the targets."""
        super().__init__(config, encoder, rng)
        check_sides(self.encoder, self.sized_views(), encoder.name)
        width = self.encoder.width
        self.head = Head(width, config.head or head_shape(width))
        initialise(self, rng)
        initialise_truncated(self.head, rng, ())
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.target_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(self.head.last.out_features))

    @classmethod
    def views(cls, config: Config) -> tuple[View, ...]:
        """Return the crops, large ones first."""
        return config.views()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the divergence, and the mean vector of each chip's large crops."""
        count = self.config.large
        large, small = batch.views[:count], batch.views[count:]
        tokens = [self._tokens(self.encoder, part) for part in (large, small) if part]
        fixed = batch.progress < self.config.fixed_last_layer
        logits = self.head.logits(self.head(torch.cat(tokens)), fixed)
        with torch.no_grad():
            rows = self.target_head(self._tokens(self.target_encoder, large))
            centred = self.target_head.logits(rows) - self.centre
            temperature = self.config.target_temperature_at(batch.progress)
            targets = (centred / temperature).log_softmax(dim=1)
        predicted = (logits / self.config.temperature).log_softmax(dim=1)
        loss = divergence(
            predicted.unflatten(0, (len(batch.views), -1)), targets.unflatten(0, (count, -1))
        )
        return loss, rows.unflatten(0, (count, -1)).mean(dim=0)

    def _tokens(
        self, encoder: nn.Module, views: tuple[Float[Tensor, "B 1 H W"], ...]
    ) -> Float[Tensor, "R D"]:
        """Return the token of each crop, view after view; views of one size are one batch."""
        return summary_token(encoder(torch.cat(views)), encoder)

    @torch.no_grad()
    def after_step(self, progress: float, index: Int[Tensor, " G"], kept: Tensor | None) -> None:
        """Move the centre towards the mean logits of the targets, then the target networks.

        The last layer is linear, so the mean logits are the logits of the mean vector. In step i of
        n the momentum is 1 - (1 - m) (1 + cos(pi i / n)) / 2, where m is `momentum`, or 1 - 8 / n
        if that is lower.
        """
        if kept is not None:
            mean = self.target_head.logits(kept.mean(dim=0, keepdim=True))[0]
            self.centre.lerp_(mean, 1 - self.config.centre_momentum)
        start = limited_momentum(self.config.momentum, self.steps)
        move = get_ema_multi_avg_fn(1 - (1 - start) * (1 + math.cos(math.pi * progress)) / 2)
        for target, source in (
            (self.target_encoder, self.encoder),
            (self.target_head, self.head),
        ):
            move(list(target.parameters()), list(source.parameters()), 0)
