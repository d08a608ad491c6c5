"""LoMaR-SAR: LoMaR with a deep predictor, the network of SAR-JEPA with pixels as the target.

Hidden: a random 39 of the 49 patches of each of 4 windows (7 x 7 patches) per chip, replaced by a
learned token before the encoder.
Predicted: from the tokens of the window, the pixels of the hidden patches, by 8 blocks.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024) 326-338, Table 3 (known to us
from secondary sources).
Source: waterdisappear/SAR-JEPA at 1f17f90.
Differs from the source:
- as `lomar`, except for the recipe: `paper` is the recipe of this source;
- 200 epochs, as in the paper; the source's script trains 300 by default.
Unknown: whether the target patches were standardised: `standardise` is off.
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

    predictor: PredictorShape | None = None  # width, blocks, heads; None = the source's

    def __post_init__(self) -> None:
        """Refuse a predictor that cannot be built too."""
        super().__post_init__()
        check_predictor(self.predictor)


@register(label="LoMaR-SAR", paper="10.1016/j.isprsjprs.2024.09.013", family="masked pixel")
class LoMaRSAR(LoMaR):
    """LoMaR with blocks between encoder and target; subclasses predict another `target`."""

    source_recipe: ClassVar = {  # main_pretrain.py and README of the source; epochs: the paper
        "epochs": 200, "batch": 300, "base_lr": 1e-3, "warmup_epochs": 20.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.5,
    }  # fmt: skip

    def build_predictor(self, values: int) -> Predictor:
        """Return blocks with relative positions; the default is the source's, 8 of width 512."""
        shape = shape_of(self.config.predictor, self.encoder_config)
        return Predictor(self.encoder_config.width, values, shape, "relative")
