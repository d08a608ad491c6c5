"""A plain ViT with timm's names, such as the encoders `*_enc.pth` of FG-MAE and SSL4EO-S12."""

from ..layout import IMAGENET, Layout, has

TIMM_VIT = Layout(
    name="vit",
    title="plain ViT with timm's names",
    recognises=lambda tensors: (
        has(tensors, r"patch_embed\.proj\.weight$")
        and has(tensors, r"blocks\.\d+\.attn\.qkv\.weight$")
    ),
    containers=("model", "state_dict", "model_state_dict", "module", "backbone", "encoder"),
    skipped=((r"head\.", "classifier"), (r"mask_token$", "mask token")),
    three=IMAGENET,  # of FG-MAE, SSL4EO-S12 and MAE; timm's augreg ViTs have 0.5
    assumes=lambda tensors: True,
    class_row=False,
)
