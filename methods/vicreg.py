"""VICReg: two crops of a chip get the same vector, whose values vary and do not correlate.

Hidden: nothing.
Predicted: from each crop, the vector of the other crop of its chip (mean squared distance). Over
the batch, the deviation of each value must be 1 or more (variance), and the covariance of each pair
of values 0. So the features do not collapse, without other chips as negatives and without a moving
average.

Paper: Bardes, Ponce and LeCun, VICReg: Variance-Invariance-Covariance Regularization for
Self-Supervised Learning, ICLR 2022, arXiv 2105.04906, section 4 and equations 1 to 6.
Source: facebookresearch/vicreg at 4e12602.
Differs from the source:
- one channel, so no colour jitter, no grey and no inverted amplitude ("solarization"); no Gaussian
  blur, which would remove speckle; so both crops are of one kind;
- contrast, flip and crops are those of the recipe, or the fields of `Config`;
- the vectors are 4 times as long as a token, as the source's 8,192 are of its ResNet-50's 2,048;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): LARS at base rate
  0.2, 1000 epochs with 10 of warm-up, batch 2048, crops from 8% of the area on;
- LARS is timm's, as for `simclr`;
- the loss is computed in full precision, in the source in half precision;
- a ViT gives its class token to the expander, the source trains ResNets only.
Weakness: in a batch of B chips the covariance of P values has rank B - 1 at most, so in the small
batches of the recipe `quick` (32) it is mostly sampling error. Two chips of one vehicle, a degree
of azimuth apart, count as different, as for every method that spreads a batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ._encoders import AnyEncoder
from ._joint import ViewChanges, full_precision, projector
from ._method import Batch, Loss, Method, MethodConfigError, View, summary_token
from ._registry import register
from ._vit import initialise

SMALLEST_VARIANCE = 1e-4  # added to a variance before its root


@dataclass(frozen=True)
class Config(ViewChanges):
    """Defaults of the paper, section 4.2."""

    invariance: float = 25.0  # factor of the distance of two crops
    variance: float = 25.0  # factor of the term that keeps values varying over a batch
    covariance: float = 1.0  # factor of the term that keeps values uncorrelated
    expansion: int = 4  # length of the compared vectors, in tokens

    def __post_init__(self) -> None:
        """Refuse negative factors and an empty vector."""
        super().__post_init__()
        if min(self.invariance, self.variance, self.covariance) < 0 or self.expansion < 1:
            raise MethodConfigError(
                f"invariance, variance and covariance are {self.invariance:g}, {self.variance:g} "
                f"and {self.covariance:g}, and expansion is {self.expansion}; the first three must "
                "be 0 or more and expansion 1 or more; see methods/vicreg.py for the defaults"
            )


def variance_loss(rows: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Return the mean amount by which the deviation of a value over the batch is below 1."""
    deviation = (rows.var(dim=0) + SMALLEST_VARIANCE).sqrt()
    return functional.relu(1 - deviation).mean()


def covariance_loss(rows: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Return the sum of squared covariances of two different values, divided by P."""
    count, length = rows.shape
    centred = rows - rows.mean(dim=0)
    covariance = centred.mT @ centred / (count - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / length


@register(label="VICReg", paper="arXiv:2105.04906", family="joint embedding")
class VICReg(Method):
    """Equal vectors of two crops, whose values vary over the batch and do not correlate."""

    source_recipe: ClassVar = {  # README.md (1000 epochs), main_vicreg.py and augmentations.py
        "epochs": 1000, "batch": 2048, "optimizer": "lars", "base_lr": 0.2, "momentum": 0.9,
        "warmup_epochs": 10.0, "lr_end_share": 1e-3, "weight_decay": 1e-6,
        "crop_scale_min": 0.08, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.4,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: AnyEncoder, rng: torch.Generator) -> None:
        """Build encoder and expander."""
        super().__init__(config, encoder, rng)
        width = self.encoder.width
        wide = config.expansion * width
        self.expander = projector(width, wide, wide, bias=False)
        initialise(self, rng)

    @classmethod
    def views(cls, config: Config) -> tuple[View, ...]:
        """Return two crops of one kind."""
        return (config.view(count=2),)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the three terms, the last two over the chips of all processes."""
        config = self.config
        first, second = (self._expand(view) for view in batch.views)
        with torch.autocast(first.device.type, enabled=False):
            everyone = [batch.gather(one) for one in (first, second)]
            loss = config.invariance * functional.mse_loss(first, second)
            loss = loss + config.variance * sum(map(variance_loss, everyone)) / 2
            return loss + config.covariance * sum(map(covariance_loss, everyone)), None

    def _expand(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        rows = self.expander(summary_token(self.encoder(images), self.encoder))
        return full_precision(rows)
