"""SimSiam: the vector of one crop of a chip predicts that of the other, which has no gradient.

Hidden: nothing.
Predicted: from each crop, by a small predictor, the projected vector of the other crop of its chip
(negative cosine similarity). The predicted vector is constant in the gradient, so that equal
vectors for all chips are not learned, without negatives and without a moving average.

Paper: Chen and He, Exploring Simple Siamese Representation Learning, CVPR 2021, arXiv 2011.10566,
section 3 and equations 1 to 4.
Source: facebookresearch/simsiam at 39ac33e.
Differs from the source:
- one channel, so no colour jitter and no grey; no Gaussian blur, which would remove speckle;
- contrast, flip and crops are those of the recipe;
- vectors are as long as a token and the predictor's hidden layer a quarter of that, as the source's
  2,048 and 512 are for a ResNet-50;
- no layer has a bias before batch normalisation; in the source one has, which is not trained;
- weights of linear layers are drawn as for the other methods, not by torch's rule;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`), and the rate of the
  predictor falls with the others (`--fix-pred-lr` keeps it).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sarbench.methods import (
    AnyEncoder,
    Batch,
    Loss,
    Method,
    MethodConfigError,
    View,
    initialise,
    register,
    summary_token,
)


@dataclass(frozen=True)
class Config:
    """Settings of a grid."""

    bottleneck: int = 4  # length of a vector over the width of the predictor's hidden layer

    def __post_init__(self) -> None:
        """Refuse a hidden layer that is wider than a vector."""
        if self.bottleneck < 1:
            raise MethodConfigError(
                f"bottleneck is {self.bottleneck}; it must be 1 or more; leave it out for 4"
            )


def distance(predicted: Float[Tensor, "B P"], target: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Return the mean negative cosine similarity; the target has no gradient (equations 1, 3)."""
    return -functional.cosine_similarity(predicted, target.detach(), dim=1).mean()


@register(label="SimSiam", paper="arXiv:2011.10566", family="joint embedding")
class SimSiam(Method):
    """Prediction of one crop's vector from the other."""

    source_recipe: ClassVar = {  # main_simsiam.py
        "epochs": 100, "batch": 512, "optimizer": "sgd", "base_lr": 0.05, "momentum": 0.9,
        "warmup_epochs": 0.0, "weight_decay": 1e-4,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.4,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: AnyEncoder, rng: torch.Generator) -> None:
        """Build encoder, projector and predictor."""
        super().__init__(config, encoder, rng)
        width = self.encoder.width
        hidden = max(1, width // config.bottleneck)
        self.projector = nn.Sequential(
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width, affine=False),
        )  # fmt: skip
        self.predictor = nn.Sequential(
            nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, width),
        )  # fmt: skip
        initialise(self, rng)

    @classmethod
    def views(cls, config: Config) -> tuple[View, ...]:
        """Return two crops of one kind."""
        return (View(count=2),)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean of both distances."""
        first, second = (
            self.projector(summary_token(self.encoder(view), self.encoder)) for view in batch.views
        )
        there = distance(self.predictor(first).float(), second.float())
        back = distance(self.predictor(second).float(), first.float())
        return (there + back) / 2, None
