"""LoMaR-SAR: LoMaR with a deep predictor; the network of SAR-JEPA with the pixel target.

Hidden: in each of 4 windows of 7 x 7 patches per chip, a random 39 of the 49, replaced by a learned
token before the encoder.
Predicted: the pixels of the hidden patches, by MAE's decoder over the tokens of the window.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024), Table 3 (secondary sources).
Source: waterdisappear/SAR-JEPA at 1f17f90.
Differs from the source: as `lomar`, but for the recipe: `paper` is its own. Its script trains for
300 epochs by default; the paper's 200 are taken.
Unknown:
- whether the target patches were standardised (paper_facts 2.5): `standardise`, off.
"""

from dataclasses import dataclass
from typing import ClassVar

from ._masked import PredictorShape, check_predictor, shape_of
from ._registry import register
from ._vit import Predictor
from .lomar import Config as LoMaRConfig
from .lomar import LoMaR


@dataclass(frozen=True)
class Config(LoMaRConfig):
    """Defaults of the released code."""

    predictor: PredictorShape | None = None

    def __post_init__(self) -> None:
        """Refuse an impossible predictor too."""
        super().__post_init__()
        check_predictor(self.predictor)


@register(label="LoMaR-SAR", paper="10.1016/j.isprsjprs.2024.09.013")
class LoMaRSAR(LoMaR):
    """LoMaR with blocks between encoder and target; subclasses predict another `target`."""

    source_recipe: ClassVar = {  # main_pretrain.py and README of the source; epochs: the paper
        "epochs": 200, "batch": 300, "base_lr": 1e-3, "warmup_epochs": 20.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.5,
    }  # fmt: skip

    def build_predictor(self, values: int) -> Predictor:
        """Return blocks with relative positions; the source has 8 of width 512."""
        shape = shape_of(self.config.predictor, self.encoder_config)
        return Predictor(self.encoder_config.width, values, shape, "relative")
