"""SARMAE (Liu et al., arXiv 2512.16635): a MAE for SAR next to an optical encoder."""

from ..layout import HALF, Layout, has
from .mae import DECODER

SARMAE = Layout(
    name="sarmae",
    title="SARMAE",
    recognises=lambda tensors: has(tensors, r"sar_encoder\."),
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
