"""I-JEPA: hide 4 blocks, predict their features in a moving average of the encoder.

Hidden: 4 blocks of 15% to 20% of the patches of each chip. The encoder sees the context: one large
square block without the patches of these.
Predicted: from the tokens of the context, the tokens of each block, by a narrow ViT. The targets
are from the target encoder, an exponential moving average of the encoder that sees the whole chip.

Paper: Assran et al., Self-Supervised Learning from Images with a Joint-Embedding Predictive
Architecture, CVPR 2023, arXiv 2301.08243.
Source: facebookresearch/ijepa at 52c1ae9.
Differs from the source:
- one channel; the encoder standardises amplitude by `mean` and `deviation`, about those of MSTAR
  chips, where the source has those of ImageNet;
- the target encoder averages at most an eighth of the steps (`momentum`): the source's 1 / 0.004 =
  250 steps are 0.13% of its schedule, but half of one of 500 steps;
- all draws are from the generator of the step; the source seeds block sizes by a count of batches
  and does not seed places;
- the predictor has half the width of the encoder (the source's 384 is half of ViT-B) and 6 blocks
  (the source's default; its ViT-H has 12), but not more than the encoder;
- a context of 10 patches or fewer is drawn again, and after 20 draws the targets of its image too;
  the source then lets the context overlap with one target after another;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`,
  in1k_vith14_ep300.yaml): rate 2e-4 to 1e-3 in 40 of 300 epochs, then to 1e-6, weight decay 0.04 to
  0.4, betas 0.9 and 0.999, batch 2048, bilinear crops of 0.3 to 1 of the area, no flip, no change
  of contrast;
- rate and weight decay of a step are those at its start, in the source those at its end;
- rates scale with the batch; the source gives rates for batch 2048 only.
As in the source, block sizes are drawn once per batch, contexts are cut to the shortest of the
batch, and no block covers the last row or column of patches.
Unknown: the settings of the SAR-JEPA authors' run. I-JEPA is reported to collapse on SAR chips.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ._encoders import ViTConfig
from ._given import continues
from ._masked import MaskedPrediction, Prediction
from ._masking import context_and_targets
from ._method import Batch, Loss, MethodConfigError
from ._registry import register
from ._vit import Encoder, Trunk, initialise_truncated, sincos_positions

LONGEST_SPAN = 1 / 8  # of the steps, averaged by the target encoder


def limited_momentum(momentum: float, steps: int) -> float:
    """Return a momentum, lowered so that 1 / (1 - momentum) is at most an eighth of the steps.

    `steps` is the length of the training; 0 if it is unknown, which limits nothing.
    """
    return min(momentum, max(0.0, 1 - 1 / (LONGEST_SPAN * steps))) if steps else momentum


@dataclass(frozen=True)
class Config:
    """Defaults of the source's configurations."""

    targets: int = 4  # blocks per image
    target_scale: tuple[float, float] = (0.15, 0.2)  # share of all patches
    target_aspect: tuple[float, float] = (0.75, 1.5)  # rows / columns
    context_scale: tuple[float, float] = (0.85, 1.0)  # share before targets are left out
    context_least: int = 11  # patches; the source demands more than its min_keep of 10
    predictor_share: float = 0.5  # of the encoder's width
    predictor_depth: int = 6  # blocks
    # Of the target encoder at the start; rises linearly to 1. It is lower in a training of less
    # than 2,000 steps, so that 1 / (1 - momentum) is at most an eighth of the steps.
    momentum: float = 0.996
    mean: float = 0.15  # of amplitude, subtracted from the encoder's input
    deviation: float = 0.15  # of amplitude, divides the encoder's input

    def __post_init__(self) -> None:
        """Refuse blocks and momenta outside their ranges."""
        for name in ("target_scale", "context_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise MethodConfigError(f"{name} is {(low, high)}; need 0 < low <= high <= 1")
        if not 0 < self.target_aspect[0] <= self.target_aspect[1]:
            raise MethodConfigError(f"target_aspect is {self.target_aspect}; need 0 < low <= high")
        if min(self.targets, self.context_least, self.predictor_depth) < 1:
            raise MethodConfigError("targets, context_least and predictor_depth must be 1 or more")
        if self.deviation <= 0:
            raise MethodConfigError(f"deviation is {self.deviation}; it must be above 0")
        if not 0 <= self.momentum <= 1:
            raise MethodConfigError(f"momentum is {self.momentum}; it must be between 0 and 1")


def _check_context(config: Config, encoder: ViTConfig) -> None:
    """Refuse targets that leave too small a context in most draws.

    Raises:
        MethodConfigError: The mean number of patches left, if the places of blocks were independent
            of each other and of the border, is below `context_least`.
    """
    rows, columns = encoder.patch_grid
    left = rows * columns * sum(config.context_scale) / 2
    left *= (1 - sum(config.target_scale) / 2) ** config.targets
    if left < config.context_least:
        raise MethodConfigError(
            f"{config.targets} targets leave no context of {config.context_least} patches on the "
            f"{rows} x {columns} patches of {encoder.name}, but {left:.1f} on average; set an "
            "encoder with more patches, fewer or smaller targets, or a smaller context_least"
        )


class BlockPredictor(Trunk):
    """A predictor from the tokens of the context to those of each target block."""

    positions: Tensor

    def __init__(self, config: Config, encoder: ViTConfig) -> None:
        """Build a predictor with as many heads as the encoder."""
        width = int(encoder.width * config.predictor_share)
        if width % 4 or width % encoder.heads:
            raise MethodConfigError(
                f"predictor_share {config.predictor_share} of width {encoder.width} is {width}; it "
                f"must be a multiple of 4 and of {encoder.heads} heads"
            )
        shape = width, min(config.predictor_depth, encoder.depth), encoder.heads
        super().__init__(encoder.width, encoder.width, shape, "absolute")
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        positions = sincos_positions(encoder.patch_grid, width)
        self.register_buffer("positions", positions, persistent=False)

    def forward(
        self,
        tokens: Float[Tensor, "B V D"],
        context: Int[Tensor, "B V"],
        targets: Int[Tensor, "R M"],
    ) -> Float[Tensor, "R M D"]:
        """Return the predicted tokens at `targets`, whose rows are image after image."""
        known = self.embed(tokens) + self.positions[context]
        known = known.repeat_interleave(len(targets) // len(tokens), dim=0)
        hidden = self.mask_token + self.positions[targets]
        return self.decode(torch.cat([known, hidden], dim=1))[:, known.shape[1] :]


@register(label="I-JEPA", paper="arXiv:2301.08243", family="masked latent", version=3)
class IJEPA(MaskedPrediction):
    """Prediction of features of a moving average of the encoder."""

    target_kind = "features"
    encoder: Encoder
    source_recipe: ClassVar = {  # configs/in1k_vith14_ep300.yaml of the source: 1e-3 at batch 2048
        "epochs": 300, "batch": 2048, "base_lr": 1.25e-4, "warmup_epochs": 40.0,
        "lr_start_share": 0.2, "lr_end_share": 1e-3,
        "weight_decay": 0.04, "weight_decay_end": 0.4, "beta1": 0.9, "beta2": 0.999,
        "crop_scale_min": 0.3, "crop_scale_max": 1.0, "flip": 0.0, "contrast": 0.0,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder, predictor and the target encoder, which starts as a copy."""
        super().__init__(config, encoder, rng)
        _check_context(config, encoder)
        self.predictor = BlockPredictor(config, encoder)
        drawn = () if continues(encoder) else (self.encoder.blocks,)
        initialise_truncated(self, rng, (*drawn, self.predictor.blocks))
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)

    @classmethod
    def build_encoder(cls, config: Config, encoder: Any, drop_path: float = 0.0) -> Any:
        """Return a ViT with fixed sin-cos positions and without class token, or that of a file."""
        if continues(encoder):
            return super().build_encoder(config, encoder, drop_path)
        standardise = config.mean, config.deviation
        return Encoder(encoder, "absolute", False, drop_path, standardise)

    @torch.no_grad()
    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N D"]:
        """Return the target encoder's tokens of the whole chip, each normalised."""
        tokens = self._patches(self.target_encoder(images))
        return functional.layer_norm(tokens, tokens.shape[-1:])

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode the context of each image; predict the target encoder's tokens of its blocks."""
        config = self.config
        context, blocks = context_and_targets(
            self.encoder_config.patch_grid,
            len(images),
            config.targets,
            config.target_scale,
            config.target_aspect,
            config.context_scale,
            config.context_least,
            rng,
        )
        owners = torch.arange(len(images), device=images.device).repeat_interleave(config.targets)
        tokens = self.context_tokens(images, context)
        return Prediction(
            predicted=self.predictor(tokens, context, blocks),
            target=self.target(images)[owners[:, None], blocks],
            mask=torch.ones_like(blocks, dtype=torch.bool),
            patches=blocks,
            images=owners,
        )

    def context_tokens(
        self, images: Float[Tensor, "B 1 H W"], context: Int[Tensor, "B V"]
    ) -> Float[Tensor, "B V D"]:
        """Return the tokens of the context, from which the predictor predicts."""
        return self._patches(self.encoder.encode(self.encoder.embed(images, context)))

    def _patches(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B V D"]:
        """Return the tokens of patches; an encoder of given weights may have a class token too."""
        return tokens[:, int(self.encoder.has_class_token) :]

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the smooth L1 distance over all values of all blocks."""
        prediction = self.predict(batch.views[0], rng)
        return functional.smooth_l1_loss(prediction.predicted, prediction.target), None

    @torch.no_grad()
    def after_step(self, progress: float, index: Int[Tensor, " G"], kept: Tensor | None) -> None:
        """Move the target encoder towards the encoder, in step i of n by m + (1 - m) i / n.

        m is `momentum`, or 1 - 8 / n if that is lower. Steps count from 0 as in the source, so the
        first one has m itself and the last one still moves.
        """
        start = limited_momentum(self.config.momentum, self.steps)
        momentum = start + progress * (1 - start)
        move = get_ema_multi_avg_fn(momentum)
        for average, network in self.averages():
            move(list(average.parameters()), list(network.parameters()), 0)

    def averages(self) -> tuple[tuple[nn.Module, nn.Module], ...]:
        """Return each moving average, and the network that it averages."""
        return ((self.target_encoder, self.encoder),)
