"""MaskFeat: hide 40% of the patches in blocks, predict their histograms of oriented gradients.

Hidden: 40% of the patches of each chip or fewer, in rectangles. A learned token replaces them
before the encoder, which sees all others.
Predicted: from its token, the histograms of the Sobel gradient of each hidden patch (9 directions
x 2 x 2 cells of unit length), by one linear layer.

Paper: Wei et al., Masked Feature Prediction for Self-Supervised Visual Pre-Training, CVPR 2022,
arXiv 2112.09133.
Source: facebookresearch/SlowFast at 287ec00, the authors' code, configuration
in1k_VIT_B_MaskFeat_PT.
Differs from the source:
- one channel (36 values per patch); the source has three (108);
- amplitude in [0, 1], without subtracting a mean or dividing by a deviation, which would not change
  the histograms;
- in patches other than 16 px, cells scale with the patch;
- the positions of the encoder are fixed, in the source learned; its last norm belongs to the
  encoder, in the source to the layer that predicts;
- the first weights are drawn as those of `mae`, so both have the same untrained control; in the
  source they are truncated normal;
- the loss is the mean over the hidden patches of the whole batch, in the source of those of each
  GPU; gradients are not clipped (source: at a norm of 0.02);
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): base rate 2e-4, 300
  epochs with 30 of warm-up, batch 256, beta 0.999, crops of 0.5 to 1 of the area, no change of
  contrast.
For SAR: under speckle, which multiplies, a difference of amplitudes is larger where the scene is
brighter; the ratio of `sar_jepa` and `sar_hog` is not (Touzi et al., A statistical and geometrical
edge detector for SAR images, IEEE TGRS 1988). SAR-JEPA's paper reports histograms of differences as
its weakest target (Table 4, known to us from secondary sources). On MSTAR chips the histograms of
neighbouring patches hardly correlate: 0.02, or 0.05 with `cell_px = 16`, where pixels have 0.39
(tests/benchmarks/target_signal.py). So the other patches tell little about them.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._encoders import ViTConfig
from ._gradients import BINS, orientation_histograms, sobel_gradients
from ._masked import part_of_patch
from ._masking import host_of, on_device, part
from ._method import Batch, Loss, MethodConfigError
from ._registry import register
from ._vit import patchify
from .simmim import SimMIM

# Of a block of hidden patches, in the source's code (that of BEiT, arXiv 2106.08254):
LEAST_SHARE = 5  # it has at least a fifth of the patches to hide, or all that are left
ASPECT = math.log(0.3)  # its rows / columns are between 0.3 and 1 / 0.3, uniform in the logarithm
TRIES = 10  # blocks drawn before a mask stays smaller


@dataclass(frozen=True)
class Config:
    """Defaults of the source; lengths in patches of 16 px."""

    mask_ratio: float = 0.4  # share of the patches that is hidden, in blocks
    cell_px: int = 8  # side of the cell of a histogram

    def __post_init__(self) -> None:
        """Refuse a mask ratio outside (0, 1)."""
        if not 0 < self.mask_ratio < 1:
            raise MethodConfigError(f"mask_ratio is {self.mask_ratio}; it must be between 0 and 1")


def hidden_count(config: Config, encoder: ViTConfig) -> int:
    """Return the largest number of hidden patches.

    Raises:
        MethodConfigError: It is 0, or no block fits, because a block is smaller than the grid.
    """
    rows, columns = encoder.patch_grid
    wanted = round(rows * columns * config.mask_ratio)
    if wanted < 1 or min(rows, columns) < 4:
        raise MethodConfigError(
            f"mask_ratio {config.mask_ratio} hides {wanted} of the {rows} x {columns} patches of "
            f"{encoder.name}; it must hide 1 or more, of at least 4 x 4: set an encoder with more "
            "patches, or a higher mask_ratio"
        )
    return wanted


def block_masks(
    patch_grid: tuple[int, int], wanted: int, images: int, rng: torch.Generator
) -> Bool[Tensor, "B N"]:
    """Return a mask of rectangles for each image, with at most `wanted` hidden patches.

    Each block must hide at least one more patch, and not more than are left to hide. After ten
    blocks in a row that do not, the mask stays as it is. All images are drawn together, on the
    host, so no step waits for a GPU.
    """
    rows, columns = patch_grid
    index, of = part(rng)
    host = host_of(rng)
    row, column = torch.arange(rows, device=host.device), torch.arange(columns, device=host.device)
    mask = torch.zeros(images * of, rows, columns, dtype=torch.bool, device=host.device)
    failed = torch.zeros(images * of, dtype=torch.long, device=host.device)
    least = wanted // LEAST_SHARE
    hidden = mask.sum((1, 2))
    while bool(((hidden < wanted) & (failed < TRIES)).any()):
        drawn = torch.rand(4, images * of, generator=host, device=host.device)
        left = wanted - hidden
        area = least + (left - least) * drawn[0]
        aspect = torch.exp(ASPECT * (2 * drawn[1] - 1))
        high, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        top = ((rows - high + 1) * drawn[2]).floor()[:, None]
        first = ((columns - wide + 1) * drawn[3]).floor()[:, None]
        in_rows = (row >= top) & (row < top + high[:, None])
        in_columns = (column >= first) & (column < first + wide[:, None])
        grown = mask | (in_rows[:, :, None] & in_columns[:, None, :])
        more = grown.sum((1, 2)) - hidden
        fits = (high < rows) & (wide < columns) & (more > 0) & (more <= left) & (failed < TRIES)
        mask = torch.where(fits[:, None, None], grown, mask)
        failed = torch.where(fits, 0, failed + 1)
        hidden = mask.sum((1, 2))
    own = slice(index * images, (index + 1) * images)
    return on_device(mask[own].flatten(1), rng.device)


@register(label="MaskFeat", paper="arXiv:2112.09133", family="masked feature")
class MaskFeat(SimMIM):
    """SimMIM with blocks as the mask and histograms of gradients as the target."""

    target_kind = "histograms"
    config: Config
    source_recipe: ClassVar = {  # in1k_VIT_B_MaskFeat_PT.yaml and defaults.py of the source
        "epochs": 300, "batch": 256, "base_lr": 2e-4, "warmup_epochs": 30.0,
        "lr_start_share": 5e-3, "lr_end_share": 5e-3, "weight_decay": 0.05,
        "beta1": 0.9, "beta2": 0.999,
        "crop_scale_min": 0.5, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def check_mask(self) -> None:
        """Refuse a mask that does not fit the patches of the encoder."""
        hidden_count(self.config, self.encoder_config)

    def mask(self, images: int, rng: torch.Generator) -> Bool[Tensor, "B N"]:
        """Draw the mask of each image."""
        wanted = hidden_count(self.config, self.encoder_config)
        return block_masks(self.encoder_config.patch_grid, wanted, images, rng)

    def target_values(self) -> int:
        """Return the number of bins times the cells of a patch."""
        return BINS * (self.encoder_config.patch_px // self._cell_px()) ** 2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the histograms of the cells of each patch, bin after bin."""
        cells = orientation_histograms(sobel_gradients(images), self._cell_px())
        return patchify(cells, self.encoder_config.patch_px // self._cell_px())

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean squared error over the hidden patches of all processes.

        The loss is averaged over processes, which hide different numbers of patches.
        """
        prediction = self.predict(batch.views[0], rng)
        error = (prediction.predicted - prediction.target).square().mean(-1)
        hidden = batch.gather(prediction.mask.sum(1))
        processes = len(hidden) / len(prediction.mask)
        return processes * (error * prediction.mask).sum() / hidden.sum(), None

    def _cell_px(self) -> int:
        return part_of_patch("cell_px", self.config.cell_px, self.encoder_config)
