"""DINOv2 (Oquab et al., arXiv 2304.07193; registers: arXiv 2309.16588).

Three sets of names: the hub's, the same in chunks (training files: `blocks.CHUNK.BLOCK`), and those
of Hugging Face.
"""

from ..layout import IMAGENET, Layout, has

DINOV2 = Layout(
    name="dinov2",
    title="DINOv2",
    recognises=lambda tensors: has(tensors, r"blocks\.(\d+\.)?\d+\.ls1\.gamma$"),
    containers=("teacher", "model", "state_dict", "module", "backbone"),
    skipped=((r"mask_token$", "mask token"), (r"head\.", "classifier")),
    outside=((r"(.*\.)?(dino|ibot)_head\.", "projection heads"),),
    renamed=(
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
        (r"^register_tokens$", "reg_token"),
        (r"\.mlp\.w12\.", ".mlp.fc1."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
    ),
    class_row=False,  # timm's files with registers have none
    three=IMAGENET,  # dinov2/data/transforms.py of facebookresearch/dinov2
    assumes=lambda tensors: not has(tensors, r"mask_token$"),  # timm's ViTs with layer scale
)
DINOV2_HUGGING_FACE = Layout(
    name="dinov2_hugging_face",
    title="DINOv2 with the names of Hugging Face",
    recognises=lambda tensors: has(tensors, r"layer\.\d+\.layer_scale1\.lambda1$"),
    containers=("model", "state_dict", "module", "dinov2", "dinov2_with_registers", "backbone"),
    skipped=((r"embeddings\.mask_token$", "mask token"),),
    outside=((r"classifier\.", "classifier"),),
    renamed=(
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.cls_token$", "cls_token"),
        (r"^encoder\.layer\.", "blocks."),
        (r"\.attention\.attention\.query\.(weight|bias)$", r".attn.qkv.\1#0"),
        (r"\.attention\.attention\.key\.(weight|bias)$", r".attn.qkv.\1#1"),
        (r"\.attention\.attention\.value\.(weight|bias)$", r".attn.qkv.\1#2"),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
        (r"\.mlp\.weights_in\.", ".mlp.fc1."),
        (r"\.mlp\.weights_out\.", ".mlp.fc2."),
        (r"^layernorm\.", "norm."),
    ),
    three=IMAGENET,
)
