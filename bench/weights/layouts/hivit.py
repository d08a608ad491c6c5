"""HiViT of SARATR-X (arXiv 2405.09365), and iTPN of its second version, which has the same trunk.

The authors evaluate the last tokens of both; iTPN's pyramid of features is for pretraining and
dense prediction.
"""

from ..layout import Layout, Rules, has
from .mae import DECODER

SAR_STATISTICS = ((0.2109,) * 3, (0.2178,) * 3)
RENAMED: Rules = ((r"^absolute_pos_embed$", "pos_embed"),)
CLASSIFIER: Rules = ((r"fc_norm\.", "classifier"), *DECODER)


HIVIT = Layout(
    name="hivit",
    title="HiViT (SARATR-X)",
    recognises=lambda tensors: has(tensors, r"blocks\.\d+\.reduction\.weight$"),
    skipped=(
        (r"norm\.", "norm of all stages together, before the decoder"),
        (
            r"blocks\.\d+\.attn\.relative_position_index$",
            "index of relative position biases",
        ),
        (r"sarfeature\d*\.", "targets"),
        *CLASSIFIER,
    ),
    renamed=RENAMED,
    class_row=False,
    family="hivit",
    three=None,  # pre-training/main_pretrain.py of waterdisappear/SARATR-X: pixels in [0, 1]
)
ITPN = Layout(
    name="itpn",
    title="iTPN (SARATR-X v2)",
    recognises=lambda tensors: has(tensors, r"fpn_modules\.\d+\."),
    skipped=(
        (r"(fpn_modules|align_dim_\w+|split_\w+|block_\d+to\d+)\.", "pyramid of features"),
        *CLASSIFIER,
    ),
    renamed=RENAMED,
    class_row=False,
    family="hivit",
    three=SAR_STATISTICS,  # pre-training/main_pretrain.py of waterdisappear/SARATR-X-v2
)
