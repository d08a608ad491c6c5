"""FG-MAE: hide 70% of the patches, predict their histograms of oriented gradients.

Hidden: a random 70% of the patches of each chip.
Predicted: from the visible patches, histograms of the Sobel gradient of each hidden patch (9
directions x 2 x 2 cells, standardised), by MAE's decoder.

Paper: Wang et al., Feature Guided Masked Autoencoder for Self-supervised Learning in Remote
Sensing, arXiv 2310.18653.
Source: zhu-xlab/FGMAE at 1144e55, the script for SAR and ViT-B.
Differs from the source:
- one channel (36 values per patch); the source has VV and VH (72);
- in patches other than 16 px, cell and Gaussian window scale with the patch;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): base rate 1.5e-4,
  100 epochs with 10 of warm-up, batch 256, bilinear crops, no change of contrast.
Unknown: the settings of the SAR-JEPA authors' run.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ._gradients import BINS, orientation_histograms, sobel_gradients, standardise
from ._masked import part_of_patch
from ._registry import register
from ._vit import patchify
from .mae import MAE
from .mae import Config as MAEConfig


@dataclass(frozen=True)
class Config(MAEConfig):
    """Defaults of the source's script for SAR; lengths in patches of 16 px."""

    mask_ratio: float = 0.7
    standardise: bool = True
    cell_px: int = 8  # side of the cell of a histogram
    gaussian_px: int = 16  # side of the window that weights the gradients; 0 = none


@register(label="FG-MAE", paper="arXiv:2310.18653", family="masked feature")
class FGMAE(MAE):
    """MAE with histograms of gradients as the target."""

    target_kind = "histograms"
    config: Config
    source_recipe: ClassVar = {  # srun_train_fgmae_vitb16_mfp_hog_B2.sh and pretrain_fgmae.py
        "epochs": 100, "batch": 256, "base_lr": 1.5e-4, "warmup_epochs": 10.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def target_values(self) -> int:
        """Return the number of bins times the cells of a patch."""
        return BINS * (self.encoder_config.patch_px // self._scaled("cell_px")) ** 2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the histograms of the cells of each patch, bin after bin."""
        cell_px = self._scaled("cell_px")
        gaussian_px = self._scaled("gaussian_px") if self.config.gaussian_px else 0
        cells = orientation_histograms(sobel_gradients(images), cell_px, gaussian_px)
        histograms = patchify(cells, self.encoder_config.patch_px // cell_px)
        return standardise(histograms) if self.config.standardise else histograms

    def _scaled(self, name: str) -> int:
        return part_of_patch(name, getattr(self.config, name), self.encoder_config)
