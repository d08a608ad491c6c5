"""Multi-scale structure: hide 75% of the patches, predict contrasts at 6 scales in one map.

Hidden: a random 75% of the patches of each chip.
Predicted: from the visible patches, for every pixel of the hidden ones, a weighted sum of 6 maps:
the brightness of its 8 neighbours without itself, and the norm of the log ratio of opposite halves
of its window at 5 radii. A soft-max over 6 learned numbers gives the weights. MAE's decoder
predicts; each target patch is standardised.

Paper: Li et al., SARATR-X-v2: Scale-Aware Structural Pre-Training for SAR Foundation Models, arXiv
2607.23238.
Source: waterdisappear/SARATR-X-v2 at 0041e6c, its folder pre-training.
Differs from the source:
- network: ours is that of `mae`, a ViT with a class token; the source's encoder is iTPN, a
  hierarchical ViT of three scales, and starts from weights on ImageNet;
- amplitude is standardised for the target (`mean` and `deviation` of the source), not for the
  encoder;
- sums of windows are in double precision, and the 1e-6 in the source's logarithms are left out;
- at input sizes other than 224 px, the radii scale with the input; the 8 neighbours do not;
- gradients are not clipped (source: at a norm of 1);
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): base rate 1e-4, 1200
  epochs with 5 of warm-up, batch 1600.
Unknown: whether the neighbours are summed, as in the code (our default), or averaged, as in its
README: `neighbours`. The paper's text is not known to us.
For SAR: the learned numbers get the gradient of the loss through the target, so they prefer the
scales that are easiest to predict: in 559 steps on MSTAR chips the three largest radii went from
half of the weight to 62%. `learned = False` keeps the mean of all maps. The logistic function of
amplitude before the ratios makes them depend on brightness: a factor of the amplitude, which leaves
the ratios of `sar_jepa` as they are, changes these.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ._encoders import ViTConfig
from ._gradients import multi_scale_ratio_gradient, standardise
from ._masked import Prediction
from ._method import Batch, Loss, MethodConfigError
from ._registry import register
from ._vit import patchify
from .mae import MAE
from .mae import Config as MAEConfig
from .sar_jepa import check_radii, scaled_radii

Neighbours = Literal["sum", "mean"]


@dataclass(frozen=True)
class Config(MAEConfig):
    """Defaults of the source; radii at 224 px."""

    standardise: bool = True
    radii_px: tuple[int, ...] = (3, 5, 9, 13, 17)  # windows of 7, 11, 19, 27 and 35 px
    neighbours: Neighbours = "sum"  # of a pixel, in the map of their brightness
    learned: bool = True  # the weights of the maps; False = all equal
    mean: float = 0.2109  # of amplitude, subtracted before the target
    deviation: float = 0.2178  # of amplitude, divides it then

    def __post_init__(self) -> None:
        """Refuse radii below 1, another use of neighbours, and a deviation of 0 or less."""
        super().__post_init__()
        check_radii(self.radii_px, "disjoint")
        if self.neighbours not in get_args(Neighbours):
            raise MethodConfigError(
                f"neighbours is {self.neighbours!r}; it must be one of {get_args(Neighbours)}"
            )
        if self.deviation <= 0:
            raise MethodConfigError(f"deviation is {self.deviation}; it must be above 0")


@torch.no_grad()
def neighbour_map(
    brightness: Float[Tensor, "B 1 H W"], neighbours: Neighbours
) -> Float[Tensor, "B 1 H W"]:
    """Return s / (1 + s) - 0.5, s the sum or mean of the 8 neighbours, mirrored at the border.

    The first term is the logistic function of log(s).
    """
    padded = functional.pad(brightness, (1, 1, 1, 1), mode="reflect")
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] - brightness
    total = around / 8 if neighbours == "mean" else around
    return (total - 1) / (2 * (total + 1))


@torch.no_grad()
def structure_maps(
    amplitude: Float[Tensor, "B 1 H W"], radii_px: tuple[int, ...], neighbours: Neighbours
) -> Float[Tensor, "B C H W"]:
    """Return the map of neighbours, and one of directional contrast for each radius, less 0.5.

    A contrast is the logistic function of the norm of the ratio gradient with disjoint halves.
    Within a patch the maps differ by thousandths, which are more exact around 0 than around 0.5.

    Args:
        amplitude: Standardised; its logistic function, between 0 and 1, is the brightness.
        radii_px: Of the windows.
        neighbours: Whether the neighbours are summed or averaged.
    """
    brightness = torch.sigmoid(amplitude)
    norms = multi_scale_ratio_gradient(brightness, radii_px, "disjoint", offset=0.0)
    contrasts = norms.div_(2).tanh_().div_(2)  # 1 / (1 + exp(-x)) - 0.5 = tanh(x / 2) / 2
    return torch.cat([neighbour_map(brightness, neighbours), contrasts], dim=1)


@register(label="Multi-scale structure", paper="arXiv:2607.23238", family="masked feature")
class MultiScaleStructure(MAE):
    """MAE with a learned sum of structure maps as the target."""

    config: Config
    source_recipe: ClassVar = {  # run_pretrain.sh (8 GPUs) and main_pretrain.py of the source
        "epochs": 1200, "batch": 1600, "base_lr": 1e-4, "warmup_epochs": 5.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.5,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder and decoder; the numbers behind the weights of the maps are all 1."""
        super().__init__(config, encoder, rng)
        scales = torch.ones(1 + len(config.radii_px))
        self.scales = nn.Parameter(scales, requires_grad=config.learned)

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the sum of the maps in each patch, with the gradient of their weights."""
        config = self.config
        amplitude = (images - config.mean) / config.deviation
        radii_px = scaled_radii(config.radii_px, self.encoder_config)
        maps = structure_maps(amplitude, radii_px, config.neighbours)
        weights = self.scales.softmax(dim=0)[:, None, None]
        patches = patchify((maps * weights).sum(1, keepdim=True), self.encoder_config.patch_px)
        return standardise(patches) if config.standardise else patches + 0.5

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode the visible patches of each image; predict all patches."""
        found = super().predict(images, rng)
        return replace(found, target=found.target.detach())

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean squared error over hidden patches, which trains the weights too."""
        found = super().predict(batch.views[0], rng)
        error = (found.predicted - found.target).square().mean(-1)
        return (error * found.mask).sum() / found.mask.sum(), None
