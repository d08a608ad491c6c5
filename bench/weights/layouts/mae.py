"""MAE (He et al., arXiv 2111.06377), and FG-MAE (Wang et al., arXiv 2310.18653) with equal keys.

FG-MAE predicts features instead of pixels, so its decoder gives another number of values per patch.
"""

import re
from math import prod

from ..layout import IMAGENET, Layout, Rules, Tensors, has

DECODER: Rules = (
    (r"decoder_(embed|blocks|norm|pred|pos_embed)\b", "decoder"),
    (r"mask_token$", "mask token"),
    (r"norm_pix|hog\w*\.", "targets"),
    (r"head\.", "classifier"),
)


def _has_decoder(tensors: Tensors) -> bool:
    return has(tensors, r"decoder_(embed|blocks|norm|pred)\.")


def _predicts_features(tensors: Tensors) -> bool:
    """Return whether the decoder gives another number of values than a patch has pixels."""
    if not _has_decoder(tensors):
        return False
    if has(tensors, r"hog\w*\."):
        return True
    found = {}
    for name, tensor in tensors.items():
        if match := re.search(r"(?:^|\.)(patch_embed\.proj|decoder_pred)\.weight$", name):
            found[match[1]] = tensor
    if len(found) < 2:
        return False
    values, pixels = found["decoder_pred"].shape[:1], prod(found["patch_embed.proj"].shape[1:])
    return values != (pixels,)


MAE = Layout(
    name="mae",
    title="MAE",
    recognises=_has_decoder,
    skipped=DECODER,
    three=IMAGENET,  # main_pretrain.py of facebookresearch/mae
)
FG_MAE = Layout(
    name="fg_mae",
    title="FG-MAE",
    recognises=_predicts_features,
    skipped=DECODER,
    three=None,  # pretrain_fgmae.py of zhu-xlab/FGMAE: bytes divided by 255
)
