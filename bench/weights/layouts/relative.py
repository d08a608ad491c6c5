"""SAR-JEPA (Li et al., arXiv 2311.15153) and LoMaR (Chen et al., arXiv 2206.00790).

Both have relative positions; their absolute table stays in the file, but no forward pass of the
encoder uses it.
"""

from torch import Tensor

from ..layout import IMAGENET, Layout, Rules, Tensors, has

SKIPPED: Rules = (
    (r"pos_embed$", "absolute positions, which the encoder does not use"),
    (r"mask_token$", "mask token"),
    (r"encoder_pred\.", "prediction of the encoder"),
    (r"decoder_(embed|blocks|norm|pred|pos_embed)\b", "decoder"),
    (r"sarfeature\d*\.", "targets"),
    (r"head\.", "classifier"),
)


def _shared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the axis of heads, which share one table."""
    return {
        name: one[0] if name.endswith(".relative") and one.ndim == 3 and len(one) == 1 else one
        for name, one in tensors.items()
    }


def _is_relative(tensors: Tensors) -> bool:
    return has(tensors, r"blocks\.\d+\.attn\.rpe_k\.lookup_table_weight$")


RENAMED: Rules = ((r"\.rpe_k\.lookup_table_weight$", ".relative"),)
SAR_JEPA = Layout(
    name="sar_jepa",
    title="SAR-JEPA",
    recognises=lambda tensors: (
        _is_relative(tensors) and has(tensors, r"(decoder_blocks|decoder_pred|sarfeature\d)\.")
    ),
    skipped=SKIPPED,
    renamed=RENAMED,
    adapt=_shared,
    three=None,  # main_pretrain.py of waterdisappear/SAR-JEPA: pixels in [0, 1]
)
LOMAR = Layout(
    name="lomar",
    title="LoMaR",
    recognises=_is_relative,
    skipped=SKIPPED,
    renamed=RENAMED,
    adapt=_shared,
    three=IMAGENET,  # main_pretrain_lomar.py of junchen14/LoMaR
)
