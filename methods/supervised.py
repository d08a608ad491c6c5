"""Supervised: train the encoder on the labels of a training split.

Hidden: nothing.
Predicted: from the class token, or the mean token without one, the class of each chip, by one
linear layer with cross-entropy.

Paper: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385.
Source: the ImageNet example of pytorch/examples.
Differs from the source:
- any encoder, one channel, and the crops, flips and contrast of the recipe;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): stochastic gradient
  descent with momentum 0.9, rate 0.1 at batch 256, divided by 10 after each third of 90 epochs.
It shows the score of labels on the same chips, as a reference for methods without labels. Its pool
is one training split, for example `pool = ["mstar_soc:train"]`; evaluated on that data set, it has
seen all its training labels.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._encoders import AnyEncoder
from ._method import Batch, Loss, Method, MethodConfigError, summary_token
from ._registry import register
from ._vit import initialise


@dataclass(frozen=True)
class Config:
    """Defaults of the source: labels without smoothing."""

    label_smoothing: float = 0.0  # share of the target that all classes divide

    def __post_init__(self) -> None:
        """Refuse a share outside [0, 1)."""
        if not 0 <= self.label_smoothing < 1:
            raise MethodConfigError(
                f"label_smoothing is {self.label_smoothing}; it must be in [0, 1)"
            )


@register(label="Supervised", paper="arXiv:1512.03385", family="supervised")
class Supervised(Method):
    """Classification by one linear layer."""

    needs_labels = True
    source_recipe: ClassVar = {  # the source's defaults
        "epochs": 90, "batch": 256, "optimizer": "sgd", "base_lr": 0.1, "momentum": 0.9,
        "schedule": "step", "warmup_epochs": 0.0, "weight_decay": 1e-4,
        "crop_scale_min": 0.08, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def __init__(
        self, config: Config, encoder: AnyEncoder, rng: torch.Generator, *, classes: int
    ) -> None:
        """Build encoder and classifier."""
        super().__init__(config, encoder, rng)
        self.head = nn.Linear(self.encoder.width, classes)
        initialise(self, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the cross-entropy of the classes."""
        logits = self.head(summary_token(self.encoder(batch.views[0]), self.encoder))
        smoothing = self.config.label_smoothing
        labels = cast(Tensor, batch.labels)  # `needs_labels`
        return functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing), None
