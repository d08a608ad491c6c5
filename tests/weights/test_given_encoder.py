"""Networks of given weights: channels, normalisation, positions of another size, fingerprint."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm import create_model
from timm.layers.drop import DropPath
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from parity.encoders.drawn import published, weight
from sarbench.bench.given_file import Stated
from sarbench.bench.seeding import torch_stream
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.untrained import looks_untrained
from sarbench.methods import SIZES, get
from sarbench.methods._channels import InputChannels
from sarbench.methods._encoders import EncoderError, GivenConfig, TimmConfig
from sarbench.methods._given import GivenEncoder, GivenTimmEncoder, position_tables
from sarbench.methods._hivit import HiViTEncoder
from sarbench.methods.given import Config

SIZE = GivenConfig(32, 8, 48, 2, 3, hidden=192)
MEAN, STD = (0.1, 0.5, 0.9), (0.2, 0.5, 2.0)


def filled(network: nn.Module) -> nn.Module:
    """Set every weight to the one of its name."""
    with torch.no_grad():
        for name, one in network.state_dict().items():
            one.copy_(weight(name, tuple(one.shape)))
    return network.eval()


def timm_vit(**options: object) -> nn.Module:
    return filled(VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=0,
        global_pool="", **options,
    ))  # fmt: skip


def chips(count: int = 2, px: int = 32) -> Tensor:
    return torch.rand(count, 1, px, px, generator=torch_stream(0, "chips"))


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 2, 3, 13])
@pytest.mark.parametrize("channel", [None, 0, -1])
def test_channels_give_the_tokens_of_timm_on_the_normalised_channels(channels, channel):
    mean = tuple(0.1 * n for n in range(channels))
    std = tuple(1 + 0.2 * n for n in range(channels))
    channel = channel if channel != -1 else channels - 1
    ours = filled(GivenEncoder(SIZE, InputChannels(channels, channel, mean, std)))
    given = torch.tensor(mean)[:, None, None].expand(2, -1, 32, 32).clone()
    if channel is None:
        given[:] = chips()
    else:
        given[:, channel] = chips()[:, 0]
    normalised = (given - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    expected = timm_vit(in_chans=channels)(normalised)
    torch.testing.assert_close(ours(chips()), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_registers_are_computed_and_left_out():
    ours = filled(GivenEncoder(replace(SIZE, registers=4)))
    tokens = timm_vit(in_chans=1, reg_tokens=4, no_embed_class=True)(chips())
    assert tokens.shape[1] == 21
    expected = torch.cat([tokens[:, :1], tokens[:, 5:]], 1)
    torch.testing.assert_close(ours(chips()), expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("channel", [None, 2])
def test_a_convolutional_network_pads_after_the_normalisation(channel):
    ours = GivenTimmEncoder(
        TimmConfig("timm:test_resnet", 32), InputChannels(3, channel, MEAN, STD)
    ).eval()
    for name, one in ours.named_parameters():
        one += 0.1 * weight(name, tuple(one.shape))
    theirs = create_model("test_resnet", num_classes=0, global_pool="")
    theirs.load_state_dict(ours.model.state_dict())
    given = chips().expand(-1, 3, -1, -1).clone()
    if channel is not None:
        given[:, :2] = torch.tensor(MEAN[:2])[:, None, None]
    normalised = (given - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    expected = theirs.eval()(normalised).flatten(2).mT
    torch.testing.assert_close(ours(chips()), expected, rtol=1e-5, atol=1e-5)


def test_building_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    GivenEncoder(SIZE)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_vits_with_stored_positions_have_one_table_and_other_networks_none():
    relative = GivenEncoder(replace(SIZE, positions="relative", name=""))
    of_timm = [GivenTimmEncoder(TimmConfig(f"timm:test_{name}", 32)) for name in ("vit", "resnet")]
    networks = (GivenEncoder(SIZE), relative, *of_timm)
    assert [len(position_tables(one)) for one in networks] == [1, 0, 1, 0]


def test_layers_are_numbered_from_the_input_and_a_head_is_on_top():
    numbers, head = GivenEncoder(replace(SIZE, registers=2, layer_scale=True)).layer_numbers()
    assert numbers["cls_token"] == numbers["reg_token"] == numbers["pos_embed"] == 0
    assert (numbers["blocks.0.ls1.gamma"], numbers["blocks.1.mlp.fc1.bias"]) == (1, 2)
    assert (numbers["norm.weight"], head) == (3, 3)


def test_a_hivit_numbers_its_layers_and_takes_a_drop_path_rate():
    size = replace(SIZE, class_token=False, stem_blocks=1, stem_hidden=36, family="hivit", name="")
    plain, dropping = HiViTEncoder(size), HiViTEncoder(size, drop_path=0.3)
    numbers, head = plain.layer_numbers()
    assert numbers.keys() == {name for name, _ in plain.named_parameters()}
    assert (numbers["pos_embed"], numbers["patch_embed.proj.weight"]) == (0, 0)
    assert (numbers["blocks.0.mlp.fc1.weight"], numbers["blocks.5.attn.qkv.bias"], head) == (
        1,
        6,
        7,
    )
    assert dropping.state_dict().keys() == plain.state_dict().keys()
    rates = [one.drop_prob for one in dropping.modules() if isinstance(one, DropPath)]
    assert rates == pytest.approx([0.1, 0.2, 0.2, 0.3, 0.3])  # blocks 2 to 4; attention has two
    before = torch.random.get_rng_state()
    HiViTEncoder(size)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sizes_that_do_not_fit_are_refused_with_those_that_do():
    with pytest.raises(EncoderError, match="5 heads do not divide its width, 48"):
        replace(SIZE, heads=5, name="")
    with pytest.raises(EncoderError, match="use 24 px or 32 px"):
        replace(SIZE, input_px=30, name="")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"channels": 0}, "1 or more"),
        ({"channels": 2, "channel": 2}, "channels 0 to 1"),
        ({"channels": 2, "mean": (0.5,)}, "give 2, one for each channel"),
        ({"std": (0.0,)}, "above 0"),
        ({"mean": (float("nan"),)}, "must be finite"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        Config(**values)


def saved(name: str, folder: Path) -> Path:
    torch.save(published(name), folder / "a.pth")
    return folder / "a.pth"


@pytest.mark.parametrize("name", ["mae", "i_jepa_target_encoder", "dinov2_registers"])
@pytest.mark.parametrize("px", [16, 56])
def test_positions_are_resized_by_antialiased_bicubic_interpolation(name, px, tmp_path):
    path = saved(name, tmp_path)
    stored = find_encoder(path, Stated(heads=3))
    found = find_encoder(path, Stated(heads=3, input_px=px))
    assert found.encoder.patch_grid == (px // 8, px // 8)
    assert any("resized from 4 x 4" in note for note in found.notes)
    table, now = stored.tensors["pos_embed"], found.tensors["pos_embed"]
    of_class = table.shape[1] - 16
    square = table[:, of_class:].mT.unflatten(2, (4, 4))
    expected = interpolate(square, (px // 8, px // 8), mode="bicubic", antialias=True)
    torch.testing.assert_close(now[:, of_class:], expected.flatten(2).mT)
    assert torch.equal(now[:, :of_class], table[:, :of_class])
    assert found.config.digest == stored.config.digest  # the file is the same
    with torch.no_grad():
        tokens = found.network()(chips(px=px))
    assert tokens.shape[1] == (px // 8) ** 2 + int(found.encoder.class_token)


@torch.no_grad()
def test_relative_tables_fit_every_input_unchanged(tmp_path):
    path = saved("sar_jepa", tmp_path)
    stored, found = (find_encoder(path, Stated(input_px=px)) for px in (None, 56))
    assert found.encoder.input_px == 56
    for name, one in stored.tensors.items():
        assert torch.equal(one, found.tensors[name])
    assert found.network()(chips(px=56)).shape == (2, 50, 48)


def test_what_a_person_states_replaces_the_normalisation_of_the_layout(tmp_path):
    path = saved("mae", tmp_path)
    usual = find_encoder(path, Stated(heads=3)).config
    assert usual.mean == (0.485, 0.456, 0.406)
    one = find_encoder(path, Stated(heads=3, mean=(0.5,), std=MEAN)).config
    assert (one.mean, one.std) == ((0.5, 0.5, 0.5), MEAN)
    none = find_encoder(path, Stated(heads=3, mean=(), std=())).config
    assert (none.mean, none.std) == (None, None)


@pytest.mark.parametrize("name", ["mae", "sar_jepa", "i_jepa", "simclr"])
def test_an_untrained_encoder_is_known_by_its_norms_and_a_step_ends_that(name):
    method = get(name)
    built = method(method.Config(), SIZES["vit_nano"], torch_stream(0, "fingerprint"))
    assert looks_untrained(built.encoder)
    train(built.encoder, SIZES["vit_nano"].input_px)
    assert not looks_untrained(built.encoder)


@pytest.mark.parametrize("network", ["test_resnet", "test_vit", "test_convnext"])
def test_untrained_networks_of_timm_are_known_too(network):
    encoder = GivenTimmEncoder(TimmConfig(f"timm:{network}", 160))
    assert looks_untrained(encoder)
    train(encoder, 160)
    assert not looks_untrained(encoder)


def train(encoder: nn.Module, px: int) -> None:
    """Do one step of an optimiser."""
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-4)
    encoder.train()(chips(4, px)).square().mean().backward()
    optimizer.step()


def test_published_files_do_not_look_untrained(tmp_path):
    assert not looks_untrained(find_encoder(saved("mae", tmp_path), Stated(heads=3)).network())
    assert not looks_untrained(nn.Linear(2, 2))
