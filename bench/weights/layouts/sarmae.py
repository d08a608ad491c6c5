"""SARMAE (Liu et al., arXiv 2512.16635): a MAE for SAR next to an optical encoder."""

from ..layout import HALF, Layout, Tensors, has
from .mae import DECODER


def _recognises(tensors: Tensors) -> bool:
    return has(tensors, r"sar_encoder\.")


SARMAE = Layout(
    name="sarmae",
    title="SARMAE",
    recognises=_recognises,
    containers=("model", "state_dict", "module", "sar_encoder"),
    skipped=DECODER,
    outside=(
        (r"(.*\.)?optical_encoder\.", "optical encoder"),
        (r"(.*\.)?sar_alignment_ffn\.", "alignment with the optical encoder"),
    ),
    # dataset/mixed_dataset.py of MiliLab/SARMAE normalises noisy chips so, which the paper trains
    # on; without noise it takes ImageNet's values.
    three=HALF,
)
