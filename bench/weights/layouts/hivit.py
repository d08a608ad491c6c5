"""HiViT of SARATR-X (arXiv 2405.09365) and iTPN of its second version: recognised, not yet read."""

from ..layout import Layout, Tensors, has


def _is_itpn(tensors: Tensors) -> bool:
    return has(tensors, r"fpn_modules\.\d+\.") and has(tensors, r"absolute_pos_embed$")


def _is_hivit(tensors: Tensors) -> bool:
    return has(tensors, r"blocks\.\d+\.reduction\.weight$") and has(tensors, "absolute_pos_embed$")


HIVIT = Layout(
    name="hivit",
    title="HiViT (SARATR-X)",
    recognises=_is_hivit,
    unsupported="timm has no HiViT, and ours is not written yet",
)
ITPN = Layout(
    name="itpn",
    title="iTPN (SARATR-X v2)",
    recognises=_is_itpn,
    unsupported="timm has no iTPN, and ours is not written yet",
)
