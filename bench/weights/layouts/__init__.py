"""The layouts that are recognised, the most specific first."""

from ..layout import Layout, Tensors
from .dinov2 import DINOV2, DINOV2_HUGGING_FACE
from .hivit import HIVIT, ITPN
from .i_jepa import I_JEPA
from .mae import FG_MAE, MAE
from .relative import LOMAR, SAR_JEPA
from .sarmae import SARMAE
from .timm_vit import TIMM_VIT

LAYOUTS: tuple[Layout, ...] = (
    SARMAE, I_JEPA, ITPN, HIVIT, SAR_JEPA, LOMAR, FG_MAE, MAE, DINOV2_HUGGING_FACE, DINOV2,
    TIMM_VIT,
)  # fmt: skip


def recognise(tensors: Tensors) -> Layout | None:
    """Return the layout of a file, or None if no layout recognises it."""
    return next((layout for layout in LAYOUTS if layout.recognises(tensors)), None)
