"""The published training loop of DMT-JEPA, run with our inputs."""

import builtins
import importlib
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from parity.our_methods import ENCODER, Draw, Outcome
from parity.reference_i_jepa import i_jepa_outcome

PATCHES = {
    "local_agg_head": True, "patch_k_num": 4, "patch_k_size": 3, "context_attn": "cross-attn",
    "target_attn": "cross-attn",
}  # fmt: skip


def head_of_own_images() -> nn.Module:
    """Return the head of the reference, which takes one image after another.

    So each patch gets the mean token of its own image. The file of the head does not import the MLP
    that it names.
    """
    vit = importlib.import_module("src.models.vision_transformer")
    with mock.patch.object(builtins, "Mlp", vit.MLP, create=True):
        module = importlib.import_module("src.models.local_agg_head")

        class OneByOne(module.LocalAggHead):
            def forward(self, x: Tensor, **named: Any) -> Tensor:
                return torch.cat([super(OneByOne, self).forward(one[None], **named) for one in x])

        return OneByOne(ENCODER.width, ENCODER.heads, k_num=4)


def dmt_jepa_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of an epoch of ten steps of DMT-JEPA's own training loop."""
    return i_jepa_outcome("dmt_jepa", head_of_own_images, patch=PATCHES)
