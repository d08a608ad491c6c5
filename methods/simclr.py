"""SimCLR: two crops of a chip must be nearer to each other than to the crops of other chips.

Hidden: nothing.
Predicted: from each crop, by cosine similarity, the other crop of its chip among the 2 B - 1 other
crops of the batch (cross-entropy of similarities divided by a temperature, "NT-Xent").

Paper: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML
2020, arXiv 2002.05709, section 2 and equation 1.
Source: google-research/simclr at 036ea7b.
Differs from the source:
- one channel, so no colour jitter and no grey; contrast, flip and crops are those of the
  recipe, or the fields of `Config`; no Gaussian blur, which would remove speckle;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): LARS at base rate
  0.3, 100 epochs with 10 of warm-up, batch 4096, crops from 8% of the area on;
- LARS is timm's: the rate multiplies the momentum, in the source each gradient before it is added;
  and the norms of gradient and decay are added, in the source the vectors;
- no batch normalisation in the projection head, so only similarities connect the chips of a batch;
- a ViT gives its class token to the head, as in MoCo v3 (arXiv 2104.02057).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ._encoders import AnyEncoder
from ._joint import ViewChanges
from ._method import Batch, Loss, Method, MethodConfigError, View, summary_token
from ._registry import register
from ._vit import initialise


@dataclass(frozen=True)
class Config(ViewChanges):
    """Defaults of the paper; the temperature is the best one of its Table 5."""

    temperature: float = 0.1  # divides the similarities of crops
    projection: int = 128  # length of the vectors that are compared

    def __post_init__(self) -> None:
        """Refuse a temperature of 0 or less, and an empty projection."""
        super().__post_init__()
        if self.temperature <= 0 or self.projection < 1:
            raise MethodConfigError(
                f"temperature is {self.temperature} and projection is {self.projection}; they must "
                "be above 0 and 1 or more"
            )


@register(label="SimCLR", paper="arXiv:2002.05709", family="joint embedding")
class SimCLR(Method):
    """Contrast of two crops against the whole batch."""

    source_recipe: ClassVar = {  # paper, section 2.1 and appendix B.6
        "epochs": 100, "batch": 4096, "optimizer": "lars", "base_lr": 0.3, "momentum": 0.9,
        "warmup_epochs": 10.0, "weight_decay": 1e-6,
        "crop_scale_min": 0.08, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.8,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: AnyEncoder, rng: torch.Generator) -> None:
        """Build encoder and projection head: two layers, the first as wide as the encoder."""
        super().__init__(config, encoder, rng)
        width = self.encoder.width
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection)
        )
        initialise(self, rng)

    @classmethod
    def views(cls, config: Config) -> tuple[View, ...]:
        """Return two crops of one kind."""
        return (config.view(count=2),)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return NT-Xent of this process's crops against those of all processes."""
        found = [self._project(view) for view in batch.views]
        everyone = [batch.gather(one) for one in found]
        rows = batch.gather(batch.index)
        # A batch holds each row of the pool at most once, so equal rows give the own place.
        own = (batch.index[:, None] == rows).int().argmax(dim=1)
        losses = []
        for this, other in ((0, 1), (1, 0)):
            same = found[this] @ everyone[this].mT / self.config.temperature
            same = same.scatter(1, own[:, None], float("-inf"))  # never against itself
            across = found[this] @ everyone[other].mT / self.config.temperature
            losses.append(functional.cross_entropy(torch.cat([across, same], dim=1), own))
        return (losses[0] + losses[1]) / 2, None

    def _project(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
        tokens = summary_token(self.encoder(images), self.encoder)
        return functional.normalize(self.head(tokens).float(), dim=1)
