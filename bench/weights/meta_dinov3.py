"""DINOv3 as Meta publishes it (trained on web images or SAT-493M), renamed for timm.

Paper: arXiv 2508.10104.

Meta's blocks multiply the bias of q, k and v by a mask that is 0 for k. timm has biases of q and v
(networks `..._qkvb`) or none.
"""

import re
from collections.abc import Iterable
from math import log

import torch
from torch import Tensor

from .account import Account
from .layout import Rules, has, reason_for

SAT = ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))  # the mean and deviation of SAT-493M
WIDEST_SAT = 1024  # a file of this width with `local_cls_norm` is SAT's; 7B has it in both sets
TEMPERATURE = 100.0  # of the rotary positions
MASK, PERIODS, LOCAL_NORM = "qkv.bias_mask", "rope_embed.periods", "local_cls_norm."
SKIPPED: Rules = (
    (r"mask_token$", "mask token"),
    (r"local_cls_norm\.", "norm of small crops in pretraining"),
    (r"(dino|ibot)_head\.", "projection heads"),
)
RENAMED = (
    (r"^storage_tokens$", "reg_token"),
    (r"\.ls([12])\.gamma$", r".gamma_\1"),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w1\.", ".mlp.fc1_g."),
    (r"\.mlp\.w2\.", ".mlp.fc1_x."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)


def is_meta(names: Iterable[str]) -> bool:
    """Return whether names, with or without containers, are those of Meta's DINOv3."""
    return has(names, "storage_tokens$")


def is_sat(tensors: dict[str, Tensor]) -> bool:
    """Return whether the weights are those of SAT-493M, as far as the file tells."""
    return any(name.startswith(LOCAL_NORM) for name in tensors) and (
        tensors["storage_tokens"].shape[-1] <= WIDEST_SAT
    )


def timm_names(
    tensors: dict[str, Tensor], biases: bool, account: Account
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights by timm's names, and notes; account for keys that timm does not have.

    A value that timm's network cannot represent stays under its own name, so that the account finds
    it: a bias of k, a bias for a network without biases, other rotary positions.

    Args:
        tensors: By Meta's names, without containers.
        biases: Whether the network has biases of q and v.
        account: Gets the skipped keys.
    """
    result, notes = {}, list[str]()
    for name, tensor in tensors.items():
        reason = reason_for(name, SKIPPED)
        if name.endswith(MASK) and _masks_k_only(tensor):
            reason = "mask of the biases, 0 for k"
        elif name == PERIODS and _are_usual(tensor):
            reason = "constants of the rotary positions"
        elif name.endswith("qkv.bias"):
            parts = _masked(tensor, tensors.get(f"{name}_mask")).chunk(3)
            if biases and not parts[1].any():
                prefix = name.removesuffix("qkv.bias")
                result |= {f"{prefix}q_bias": parts[0], f"{prefix}v_bias": parts[2]}
                continue
            if not biases and not any(one.any() for one in parts):
                reason = "biases of q, k and v, which are 0"
            elif not biases and not notes:
                notes.append("the biases of q and v are not 0: name timm's network ..._qkvb")
        if reason:
            account.skip(name, reason)
            continue
        for pattern, here in RENAMED:
            name = re.sub(pattern, here, name)
        result[name] = tensor
    return result, notes


def _masks_k_only(mask: Tensor) -> bool:
    if mask.ndim != 1 or len(mask) % 3:
        return False
    q, k, v = mask.chunk(3)
    return bool((q == 1).all() and (k == 0).all() and (v == 1).all())


def _masked(bias: Tensor, mask: Tensor | None) -> Tensor:
    """Return the bias that is added; where the mask is 0 a file may hold any value."""
    return bias if mask is None else torch.where(mask == 0, torch.zeros_like(bias), bias)


def _are_usual(periods: Tensor) -> bool:
    """Return whether periods are TEMPERATURE^(i / n), to the precision of bfloat16."""
    if periods.ndim != 1 or not len(periods):
        return False
    exponent = torch.arange(len(periods), dtype=torch.float64) / len(periods)
    usual = torch.exp(exponent * log(TEMPERATURE))
    return bool(((periods.double() / usual - 1).abs() < 0.01).all())
