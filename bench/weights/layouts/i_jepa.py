"""I-JEPA (Assran et al., arXiv 2301.08243): a file with two encoders and a predictor.

The paper evaluates `target_encoder`, the moving average; timm takes `encoder`.
"""

from ..layout import IMAGENET, Layout, has

I_JEPA = Layout(
    name="i_jepa",
    title="I-JEPA",
    recognises=lambda tensors: (
        has(tensors, r"target_encoder\.") or has(tensors, r"predictor\.(module\.)?predictor_")
    ),
    containers=("module",),
    parts=("target_encoder", "encoder"),
    outside=(
        (r"predictor\.", "predictor"),
        (r"(target_encoder|encoder)\.", "the other encoder; `part` chooses"),
    ),
    three=IMAGENET,  # src/transforms.py of facebookresearch/ijepa
)
