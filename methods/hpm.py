"""HPM: hide 75% of the patches, and ever more of those whose loss will be high.

Hidden: 75% of the patches of each chip. A teacher ranks them by the loss that it expects: at the
end of the training, half of the hidden patches are those with the highest ranks ("easy to hard").
All others are random, as in MAE.
Predicted: from the visible patches, the pixels of the hidden ones by MAE's decoder, and, by a
second decoder, their order by the loss of the first ("relative" loss). The teacher is a moving
average of encoder and second decoder that sees the whole chip.

Paper: Wang et al., Hard Patches Mining for Masked Image Modeling, CVPR 2023, arXiv 2304.05919.
Source: Haochen-Wang409/HPM at c15ae90, with its default target: pixels that are not standardised.
The paper's targets from CLIP, DINO and the teacher are missing.
Differs from the source:
- one channel, amplitude in [0, 1], without subtracting a mean or dividing by a deviation;
- the share of hard patches and the teacher's momentum rise with each step, in the source with each
  epoch: its share is (epoch + 1) / epochs, and epochs are counted from 0;
- the momentum rises in the first half of the training, in the source in the first 100 epochs, of
  200 in its PRETRAIN.md; and the teacher averages at most an eighth of the steps (`momentum`);
- the teacher has no decoder of pixels, whose output the source does not use;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`, PRETRAIN.md): base
  rate 1.5e-4, 200 epochs with 40 of warm-up, batch 2048, no change of contrast.
As in the source, the second decoder ends in as many values as a patch has pixels; their mean is the
expected loss. The source keeps no state of a chip: the teacher ranks the crop of the step.
Unknown: the settings for SAR. Speckle is multiplicative, so the least squared error that any
prediction of amplitude can reach rises with brightness, and bright patches are hard by their
speckle. On MSTAR, after 400 steps of `vit_nano`, the five brightest patches of a chip, which are
those of the vehicle, are hidden in 98% of the masks of the end (77% of random ones).
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ._encoders import ViTConfig
from ._masked import Prediction, shape_of
from ._masking import hidden_except, random_order
from ._method import Batch, Loss, MethodConfigError
from ._registry import register
from ._vit import Trunk, initialise
from .i_jepa import limited_momentum
from .mae import MAE
from .mae import Config as MAEConfig

LEAST_PROBABILITY = 1e-6  # added inside the logarithm of the source


@dataclass(frozen=True)
class Config(MAEConfig):
    """Defaults of the source."""

    hard_share: float = 0.5  # of the hidden patches, at the end; rises linearly from 0
    # Of the teacher, at the start and after `momentum_rise` of the steps. It is lower in a training
    # of less than 80,000 steps, so that 1 / (1 - momentum) is at most an eighth of the steps.
    momentum: tuple[float, float] = (0.999, 0.9999)
    momentum_rise: float = 0.5  # share of the steps in which the momentum rises

    def __post_init__(self) -> None:
        """Refuse shares and momenta outside their ranges too."""
        super().__post_init__()
        if not 0 <= self.hard_share <= 1:
            raise MethodConfigError(f"hard_share is {self.hard_share}; it must be from 0 to 1")
        if not 0 <= self.momentum[0] <= self.momentum[1] <= 1:
            raise MethodConfigError(f"momentum is {self.momentum}; need 0 <= start <= end <= 1")
        if not 0 < self.momentum_rise <= 1:
            raise MethodConfigError(
                f"momentum_rise is {self.momentum_rise}; it must be above 0 and at most 1"
            )


def hardest_last(
    order: Int[Tensor, "B N"], expected: Float[Tensor, "B N"], number: int
) -> Int[Tensor, "B N"]:
    """Return an order of patches with the `number` of highest expected loss moved to its end."""
    rank = expected.argsort(dim=1).argsort(dim=1)
    hard = (rank >= rank.shape[1] - number).gather(1, order)
    return order.gather(1, hard.to(torch.uint8).argsort(dim=1, stable=True))


def ranking_loss(expected: Float[Tensor, "B M"], found: Float[Tensor, "B M"]) -> Float[Tensor, ""]:
    """Return the cross-entropy of the order of each pair of patches of a chip.

    The probability that one patch is harder than another is the sigmoid of the difference of their
    expected losses. Pairs with equal losses do not count.
    """
    harder = found[:, :, None] > found[:, None, :]
    probability = torch.sigmoid(expected[:, :, None] - expected[:, None, :])
    losses = torch.log(probability + LEAST_PROBABILITY) * harder
    return -losses.sum() / harder.sum().clamp(min=1)


@register(label="HPM", paper="arXiv:2304.05919", family="masked pixel")
class HPM(MAE):
    """MAE that hides what its teacher expects to be hard."""

    config: Config
    done: Tensor
    source_recipe: ClassVar = {  # the command of PRETRAIN.md: 32 chips x 8 GPUs x 8 batches
        "epochs": 200, "batch": 2048, "base_lr": 1.5e-4, "warmup_epochs": 40.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder, both decoders and the teacher, which starts as a copy."""
        super().__init__(config, encoder, rng)
        shape = shape_of(config.predictor, encoder)
        self.ranker = Trunk(shape[0], self.target_values(), shape, "absolute")
        del self.ranker.embed  # it decodes what the other decoder embeds
        initialise(self.ranker, rng)
        self.teacher = copy.deepcopy(self._ranking_parts()).requires_grad_(False)
        self.register_buffer("done", torch.zeros(()))  # share of the steps, for `predict`

    def _ranking_parts(self) -> nn.ModuleList:
        return nn.ModuleList([self.encoder, self.decoder.embed, self.ranker])

    @torch.no_grad()
    def expected(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N"]:
        """Return the loss that the teacher expects for each patch of whole chips."""
        encoder, embed, ranker = self.teacher
        positions = self.decoder.positions
        tokens = embed(encoder(images))
        class_token, patches = tokens.split([tokens.shape[1] - len(positions), len(positions)], 1)
        return self._ranks(ranker, torch.cat([class_token, patches + positions], dim=1))

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Hide and predict as in the step after the last one; before the first, as MAE does.

        Pixels of hidden patches reach the choice of the mask, and nothing else.
        """
        return self._predict(images, rng, self.done.item())[0]

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean squared error of hidden patches plus the loss of their order."""
        made, ranks, hidden = self._predict(batch.views[0], rng, batch.progress)
        errors = (made.predicted - made.target).square().mean(-1).gather(1, hidden)
        return errors.mean() + ranking_loss(ranks.gather(1, hidden), errors.detach()), None

    def _predict(
        self, images: Tensor, rng: torch.Generator, progress: float
    ) -> tuple[Prediction, Tensor, Tensor]:
        """Return a prediction, the expected loss of each patch, and the hidden patches."""
        count = len(self.decoder.positions)
        shown = int(count * (1 - self.config.mask_ratio))
        hard = int((count - shown) * self.config.hard_share * progress)
        order = hardest_last(random_order(len(images), count, rng), self.expected(images), hard)
        visible, hidden = order.split([shown, count - shown], dim=1)
        tokens = self.encoder.encode(self.encoder.embed(images, visible))
        arranged = self.decoder.arranged(tokens, visible)
        predicted, mask = self.decoder.decode(arranged)[:, -count:], hidden_except(visible, count)
        made = Prediction.of_images(predicted, self.target(images), mask)
        return made, self._ranks(self.ranker, arranged), hidden

    def _ranks(self, ranker: Any, arranged: Tensor) -> Float[Tensor, "B N"]:
        return ranker.decode(arranged).float().mean(-1)[:, -len(self.decoder.positions) :]

    @torch.no_grad()
    def after_step(self, progress: float, index: Int[Tensor, " G"], kept: Tensor | None) -> None:
        """Move the teacher towards the encoder and the decoder of ranks."""
        start, end = self.config.momentum
        momentum = start + min(1.0, progress / self.config.momentum_rise) * (end - start)
        move = get_ema_multi_avg_fn(limited_momentum(momentum, self.steps))
        move(list(self.teacher.parameters()), list(self._ranking_parts().parameters()), 0)
        self.done.fill_(progress)
