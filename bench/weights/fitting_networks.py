"""Networks of timm that a file without a named one may be."""

from ..given_file import Stated
from .layout import unwrap
from .reading import WeightsFile
from .timm_weights import CONTAINERS, timm_weights

# A weight of a family -> its usual networks, small ones first.
FAMILIES = (
    ("layer1.0.conv1.weight", (
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
        "wide_resnet50_2",
    )),
    ("conv_stem.weight", (
        "mobilenetv2_100", "mobilenetv3_large_100", "efficientnet_b0", "efficientnet_b1",
        "efficientnet_b2", "efficientnet_b3",
    )),
    ("features.0.0.weight", ("mobilenetv2_100", "efficientnet_b0", "efficientnet_b1")),
    ("features.denseblock1.denselayer1.conv1.weight", ("densenet121", "densenet161")),
    ("features.0.weight", ("vgg11", "vgg16", "vgg19")),
    ("stages.0.blocks.0.conv_dw.weight", ("convnext_tiny", "convnext_small", "convnext_base")),
    ("layers.0.blocks.0.attn.relative_position_bias_table", (
        "swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224",
        "swin_base_patch4_window7_224",
    )),
)  # fmt: skip


def fitting_networks(file: WeightsFile) -> list[str]:
    """Return the networks of a short list whose account of a file is complete."""
    inside, _ = unwrap(file.tensors, CONTAINERS)
    family = next((listed for weight, listed in FAMILIES if weight in inside), ())
    return [f"timm:{name}" for name in family if _fits(name, file)]


def _fits(name: str, file: WeightsFile) -> bool:
    try:
        return timm_weights(file, Stated(encoder=f"timm:{name}")).account.complete
    except Exception:  # names and shapes of a made-up file fail anywhere
        return False
