"""Meta's own files of DINOv3: names, biases, rotary positions, and the normalisation of SAT."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers.norm import LayerNorm
from timm.models import eva
from torch import Tensor

from sarbench.bench.given_file import Stated
from sarbench.bench.seeding import torch_stream
from sarbench.bench.weights import timm_weights as module
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import GivenWeights
from sarbench.bench.weights.reading import WeightsFileError
from sarbench.methods import _given, _timm

WIDTH, HEADS, DEPTH, PX = 64, 1, 2, 32
NAME = "timm:vit_small_patch16_dinov3{}@32"


def small(config: Any, drop_path: float, channels: int, classes: int = 0) -> Any:
    """Return the network of timm in a small size; all other arguments are those of timm's name."""
    made = eva.Eva(
        img_size=PX, patch_size=16, in_chans=channels, num_classes=classes, global_pool="",
        embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, qkv_bias="qkvb" in config.model,
        init_values=1e-5, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True,
        use_rot_pos_emb=True, use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False,
        dynamic_img_size=True, norm_layer=partial(LayerNorm, eps=1e-5),
    )  # fmt: skip
    made.pretrained_cfg = {
        "input_size": (3, 256, 256), "first_conv": "patch_embed.proj", "classifier": "head",
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    return made


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    monkeypatch.setattr(module, "create", small)
    monkeypatch.setattr(_timm, "create", small)


def meta_weights(biases: bool) -> dict[str, Tensor]:
    """Return random weights under Meta's names."""
    rng = torch_stream(0, "meta")
    shapes = {"cls_token": (1, 1, WIDTH), "storage_tokens": (1, 4, WIDTH), "mask_token": (1, WIDTH),
              "patch_embed.proj.weight": (WIDTH, 3, 16, 16), "patch_embed.proj.bias": (WIDTH,),
              "norm.weight": (WIDTH,), "norm.bias": (WIDTH,), "local_cls_norm.weight": (WIDTH,),
              "local_cls_norm.bias": (WIDTH,)}  # fmt: skip
    for number in range(DEPTH):
        block = {"norm1.weight": (WIDTH,), "norm1.bias": (WIDTH,), "norm2.weight": (WIDTH,),
                 "norm2.bias": (WIDTH,), "ls1.gamma": (WIDTH,), "ls2.gamma": (WIDTH,),
                 "attn.qkv.weight": (3 * WIDTH, WIDTH), "attn.qkv.bias": (3 * WIDTH,),
                 "attn.proj.weight": (WIDTH, WIDTH), "attn.proj.bias": (WIDTH,),
                 "mlp.fc1.weight": (4 * WIDTH, WIDTH), "mlp.fc1.bias": (4 * WIDTH,),
                 "mlp.fc2.weight": (WIDTH, 4 * WIDTH), "mlp.fc2.bias": (WIDTH,)}  # fmt: skip
        shapes |= {f"blocks.{number}.{name}": shape for name, shape in block.items()}
    found = {name: 0.1 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    for number in range(DEPTH):
        mask = torch.ones(3 * WIDTH)
        mask[WIDTH : 2 * WIDTH] = 0
        found[f"blocks.{number}.attn.qkv.bias_mask"] = mask
        found[f"blocks.{number}.attn.qkv.bias"] *= float(biases)
    quarter = WIDTH // HEADS // 4
    periods = 100 ** (torch.arange(quarter) / quarter)
    return found | {"rope_embed.periods": periods.bfloat16()}


def read(
    weights: dict[str, Tensor], folder: Path, name: str = NAME.format("_qkvb")
) -> GivenWeights:
    torch.save(weights, folder / "a.pth")
    return find_encoder(folder / "a.pth", Stated(encoder=name))


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
@pytest.mark.parametrize("biases", [True, False])
def test_tokens_are_those_after_the_conversion_of_timm(biases: bool, tmp_path, capsys) -> None:
    weights = meta_weights(biases)
    found = read(weights, tmp_path, NAME.format("_qkvb" if biases else ""))
    assert found.account.complete, found.account
    theirs = small(_given.TimmConfig(NAME.format("_qkvb" if biases else ""), PX), 0.0, 3)
    converted = eva.checkpoint_filter_fn(dict(weights), theirs)
    theirs.load_state_dict(converted, strict=True)
    chips = torch.rand(2, 1, PX, PX, generator=torch_stream(0, "chips"))
    mean, std = ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))  # local_cls_norm: SAT-493M
    assert (found.config.mean, found.config.std) == (mean, std)
    inputs = (chips - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    tokens = theirs.eval().forward_features(inputs)
    expected = torch.cat([tokens[:, :1], tokens[:, 5:]], 1)
    torch.testing.assert_close(found.network()(chips), expected, rtol=1e-5, atol=1e-5)


def test_photographs_have_the_values_of_imagenet(tmp_path) -> None:
    weights = {n: w for n, w in meta_weights(True).items() if not n.startswith("local_cls_norm")}
    assert read(weights, tmp_path).config.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("change", "unexpected"),
    [
        ({"blocks.0.attn.qkv.bias_mask": torch.ones(3 * WIDTH)}, 2),  # mask, and a bias of k
        ({"rope_embed.periods": torch.arange(1.0, 17.0)}, 1),
        ({"extra": torch.ones(3)}, 1),
    ],
)
def test_values_that_timm_does_not_have_are_refused(change, unexpected, tmp_path) -> None:
    found = read(meta_weights(True) | change, tmp_path)
    assert len(found.account.unexpected) == unexpected


def test_biases_that_the_network_lacks_are_refused_with_its_other_name(tmp_path) -> None:
    found = read(meta_weights(True), tmp_path, NAME.format(""))
    assert len(found.account.unexpected) == DEPTH
    assert any("name timm's network ..._qkvb" in note for note in found.notes)


def test_a_file_without_a_named_network_is_answered_with_the_names(tmp_path) -> None:
    torch.save(meta_weights(True), tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match="name it, --encoder timm:vit_small_patch16_dinov3"):
        find_encoder(tmp_path / "a.pth")
