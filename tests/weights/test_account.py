"""Each key of a file is used, skipped for a reason, missing or unexpected; the rest is refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.encoders.drawn import chips, published
from sarbench.bench.given_file import Stated
from sarbench.bench.weights.account import UnaccountedKeysError
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import GivenWeights, StatedValueError
from sarbench.bench.weights.reading import WeightsFileError
from sarbench.methods._encoders import encoder_from_json
from sarbench.methods.given import Config

HEADS = Stated(heads=3)
FILES = ["mae", "fg_mae_2", "sar_jepa", "lomar", "sarmae", "dinov2_chunked", "i_jepa_encoder"]


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "a.pth")
    return folder / "a.pth"


def weights_of(content: dict[str, Any]) -> dict[str, Tensor]:
    """Return the dict that holds the encoder of a checkpoint."""
    for name in ("model", "target_encoder", "teacher"):
        if name in content:
            return content[name]
    return content


def prefix_of(weights: dict[str, Tensor]) -> str:
    return next(name for name in weights if name.endswith("patch_embed.proj.weight"))[
        : -len("patch_embed.proj.weight")
    ]


@pytest.mark.parametrize("name", FILES)
def test_every_missing_weight_of_a_block_is_named_and_stops(name, tmp_path):
    for lost in ("norm.bias", "blocks.1.attn.qkv.weight", "blocks.0.norm2.weight"):
        content = published(name)
        weights = weights_of(content)
        chunked = lost.replace("blocks.", "blocks.0.")
        names = (prefix_of(weights) + name for name in (lost, chunked))
        del weights[next(name for name in names if name in weights)]
        found = find_encoder(saved(content, tmp_path), HEADS)
        assert found.account.missing == [lost]
        assert not found.account.unexpected
        with pytest.raises(UnaccountedKeysError, match=lost):
            found.network()


@pytest.mark.parametrize("name", FILES)
def test_a_key_too_many_is_named_and_stops(name, tmp_path):
    content = published(name)
    weights = weights_of(content)
    extra = f"{prefix_of(weights)}blocks.0.attn.q_norm.weight"
    weights[extra] = torch.ones(16)
    found = find_encoder(saved(content, tmp_path), HEADS)
    assert [key.endswith(extra) for key in found.account.unexpected] == [True]
    with pytest.raises(UnaccountedKeysError, match="q_norm"):
        found.network()


@pytest.mark.parametrize("name", FILES)
def test_a_renamed_key_is_both_missing_and_unexpected(name, tmp_path):
    content = published(name)
    weights = weights_of(content)
    weights[f"{prefix_of(weights)}norm.scale"] = weights.pop(f"{prefix_of(weights)}norm.weight")
    account = find_encoder(saved(content, tmp_path), HEADS).account
    assert account.missing == ["norm.weight"]
    assert [key.rpartition(".")[2] for key in account.unexpected] == ["scale"]


@pytest.mark.parametrize(
    ("change", "unexpected"),
    [
        (lambda w: w.update({"blocks.0.mlp.fc1.bias": torch.ones(5)}), "(5,), not (192,)"),
        (lambda w: w.update({"pos_embed": w["pos_embed"][:, :9]}), "(1, 9, 48), not"),
        (lambda w: w.update({"pos_embed": w["pos_embed"][:, 1:]}), "(1, 16, 48), not"),
        (lambda w: w.update({"cls_token": torch.ones(1, 1, 24)}), "cls_token (1, 1, 24), not"),
        (lambda w: w.update({"blocks.0.attn.qkv.weight": torch.ones(144)}), "(144,), not"),
    ],
)
def test_a_wrong_shape_is_unexpected(change: Callable, unexpected: str, tmp_path):
    content = published("mae")
    change(content["model"])
    account = find_encoder(saved(content, tmp_path), HEADS).account
    assert len(account.unexpected) == 1
    assert unexpected in account.unexpected[0]


def test_a_table_of_relative_positions_for_each_head_is_refused(tmp_path):
    content = published("sar_jepa")
    for name, one in content["model"].items():
        if "rpe_k" in name:
            content["model"][name] = one.repeat(3, 1, 1)
    found = find_encoder(saved(content, tmp_path), HEADS)
    assert not found.account.complete
    assert any("for each head" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda w: w.update({f"blocks.0.attn.rpe_{one}.lookup_table_weight": torch.ones(1, 50, 16)
                             for one in "qv"}), "(rpe_k) alone is computed"),
        (lambda w: w.update({"blocks.0.mlp.fc1.bias": torch.ones(5)}), "correct the stated sizes"),
        (lambda w: w.update({"blocks.0.attn.q_norm.weight": torch.ones(16)}), "does not compute"),
        (lambda w: w.update({"norm.scale": w.pop("norm.weight")}), "rename the keys"),
        (lambda w: w.pop("norm.weight"), "take the file of the whole encoder"),
    ],
)  # fmt: skip
def test_an_incomplete_account_says_what_to_do(change: Callable, hint: str, tmp_path):
    content = published("mae")
    change(content["model"])
    found = find_encoder(saved(content, tmp_path), HEADS)
    assert hint in found.account.hint
    with pytest.raises(UnaccountedKeysError, match=re.escape(hint)):
        found.check()


def test_a_normalisation_that_the_file_does_not_say_is_noted(tmp_path):
    def assumed(weights: dict, stated: Stated = HEADS) -> bool:
        notes = find_encoder(saved(weights, tmp_path), stated).notes
        return any("mean and deviation are assumed" in one for one in notes)

    whole = published("mae")["model"]
    alone = {name: one for name, one in whole.items() if "decoder" not in name}
    plain = {name: one for name, one in alone.items() if name != "mask_token"}
    assert (assumed(whole), assumed(plain)) == (False, True)
    assert not assumed(plain, replace(HEADS, mean=(0.5,), std=(0.5,)))
    assert not assumed({**plain, "patch_embed.proj.weight": torch.ones(48, 1, 8, 8)})
    hub = published("dinov2")
    del hub["args"]
    of_timm = {name: one for name, one in hub.items() if name != "mask_token"}
    assert (assumed(hub), assumed(of_timm)) == (False, True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_only_where_they_are_used(value, tmp_path):
    content = published("mae")
    content["model"]["decoder_norm.bias"][3] = value
    assert find_encoder(saved(content, tmp_path), HEADS).account.complete
    content["model"]["blocks.1.norm1.bias"][3] = value
    with pytest.raises(WeightsFileError, match=r"blocks\.1\.norm1\.bias holds NaN or infinite"):
        find_encoder(saved(content, tmp_path), HEADS)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_float32_and_said(kind, tmp_path):
    content = published("mae")
    rounded = {name: one.to(kind) for name, one in content["model"].items()}
    found = find_encoder(saved({"model": rounded}, tmp_path), HEADS)
    assert any(str(kind).removeprefix("torch.") in note for note in found.notes)
    as_single = {name: one.float() for name, one in rounded.items()}
    again = find_encoder(saved({"model": as_single}, tmp_path), HEADS)
    assert found.config.digest == again.config.digest
    with torch.no_grad():
        tokens = found.network()(chips(32))
        assert tokens.dtype == torch.float32
        assert torch.equal(tokens, again.network()(chips(32)))


def test_the_digest_is_that_of_the_weights_and_not_of_the_container(tmp_path):
    content = published("mae")
    weights = content["model"]
    whole = find_encoder(saved(content, tmp_path), HEADS)
    alone = {name: one for name, one in weights.items() if "decoder" not in name}
    for other in (weights, {"state_dict": {f"module.{n}": one for n, one in alone.items()}}):
        assert find_encoder(saved(other, tmp_path), HEADS).config.digest == whole.config.digest
    weights["decoder_norm.bias"] += 1
    assert find_encoder(saved(weights, tmp_path), HEADS).config.digest == whole.config.digest
    weights["norm.bias"][0] += 1e-6
    assert find_encoder(saved(weights, tmp_path), HEADS).config.digest != whole.config.digest


def test_the_two_encoders_of_i_jepa_differ_and_the_target_is_the_default(tmp_path):
    path = saved(published("i_jepa_encoder"), tmp_path)
    default, target, encoder = (
        find_encoder(path, Stated(heads=3, part=part)) for part in (None, "target_encoder",
                                                                    "encoder")
    )  # fmt: skip
    assert default.config == target.config
    assert (target.config.part, encoder.config.part) == ("target_encoder", "encoder")
    assert target.config.digest != encoder.config.digest
    assert "encoder: target_encoder" in default.notes
    with pytest.raises(StatedValueError, match="allowed: target_encoder, encoder"):
        find_encoder(path, Stated(heads=3, part="predictor"))
    content = published("i_jepa_encoder")
    del content["target_encoder"]
    with pytest.raises(StatedValueError, match="no target_encoder; it has encoder"):
        find_encoder(saved(content, tmp_path), HEADS)


def hugging_face(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a hub's DINOv2 with the names that Hugging Face documents for `Dinov2Model`."""
    names = {
        "cls_token": "embeddings.cls_token", "mask_token": "embeddings.mask_token",
        "pos_embed": "embeddings.position_embeddings",
        "register_tokens": "embeddings.register_tokens",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm",
    }  # fmt: skip
    inner = {"attn.proj": "attention.output.dense", "ls1.gamma": "layer_scale1.lambda1",
             "ls2.gamma": "layer_scale2.lambda1"}  # fmt: skip
    found = {}
    for name, one in weights.items():
        if name in names:
            found[names[name]] = one
        elif (stem := name.rpartition(".")[0]) in names:
            found[f"{names[stem]}.{name.rpartition('.')[2]}"] = one
        else:
            _, number, rest = name.split(".", 2)
            layer = f"encoder.layer.{number}."
            if rest.startswith("attn.qkv."):
                for part, three in zip(("query", "key", "value"), one.chunk(3), strict=True):
                    found[f"{layer}attention.attention.{part}.{rest[9:]}"] = three
                continue
            for ours, theirs in inner.items():
                rest = rest.replace(ours, theirs)
            found[layer + rest] = one
    return found


@pytest.mark.parametrize("name", ["dinov2", "dinov2_registers"])
def test_the_names_of_hugging_face_give_the_same_encoder_as_those_of_the_hub(name, tmp_path):
    weights = published(name)
    del weights["args"]
    hub = find_encoder(saved(weights, tmp_path), HEADS)
    other = hugging_face(weights)
    assert not other.keys() & weights.keys()
    found = find_encoder(saved(other, tmp_path), HEADS)
    assert (hub.layout, found.layout) == ("dinov2", "dinov2_hugging_face")
    assert found.account.complete
    assert (found.encoder, found.config.digest) == (hub.encoder, hub.config.digest)
    del other["encoder.layer.1.attention.attention.key.bias"]
    assert not find_encoder(saved(other, tmp_path), HEADS).account.complete


def test_the_number_of_heads_is_read_from_tables_of_relative_positions(tmp_path):
    path = saved(published("sar_jepa"), tmp_path)
    assert find_encoder(path).encoder.heads == 3  # its tables are for 3
    with pytest.raises(StatedValueError, match="relative positions are for 3"):
        find_encoder(path, Stated(heads=6))


@pytest.mark.parametrize(("width", "heads", "published_with"), [(128, 2, ""), (1280, 20, "16")])
def test_heads_are_64_wide_unless_stated(width, heads, published_with, tmp_path):
    found = find_encoder(saved(plain_vit(width), tmp_path))
    assert found.encoder.heads == heads
    (note,) = [one for one in found.notes if "heads" in one]
    assert "assumed" in note
    assert published_with in note


def plain_vit(width: int) -> dict[str, Tensor]:
    """Return the weights of a ViT of one block with a thin MLP, in timm's names."""
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, 5, width),
        "patch_embed.proj.weight": (width, 1, 4, 4), "patch_embed.proj.bias": (width,),
        "blocks.0.norm1.weight": (width,), "blocks.0.norm1.bias": (width,),
        "blocks.0.attn.qkv.weight": (3 * width, width), "blocks.0.attn.qkv.bias": (3 * width,),
        "blocks.0.attn.proj.weight": (width, width), "blocks.0.attn.proj.bias": (width,),
        "blocks.0.norm2.weight": (width,), "blocks.0.norm2.bias": (width,),
        "blocks.0.mlp.fc1.weight": (8, width), "blocks.0.mlp.fc1.bias": (8,),
        "blocks.0.mlp.fc2.weight": (width, 8), "blocks.0.mlp.fc2.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_a_plain_vit_has_its_classifier_skipped_and_nothing_else(tmp_path):
    weights = plain_vit(64) | {"head.weight": torch.ones(7, 64), "head.bias": torch.ones(7)}
    account = find_encoder(saved(weights, tmp_path)).account
    assert account.complete
    assert account.skipped == {"classifier": ["head.weight", "head.bias"]}
    weights["fc_norm.weight"] = torch.ones(64)  # another readout than the tokens after `norm`
    assert find_encoder(saved(weights, tmp_path)).account.unexpected == ["fc_norm.weight"]


@pytest.mark.parametrize(("name", "last"), [("hivit", 7), ("itpn", 9)])
def test_a_hivit_with_a_lost_weight_or_another_attention_is_refused(name, last, tmp_path):
    content = published(name)
    model = content["model"]
    whole = find_encoder(saved(content, tmp_path), HEADS)
    assert 2 * whole.encoder.stem_blocks + 2 + whole.encoder.depth == last + 1
    bias = f"blocks.{last}.attn.relative_position_bias_table"
    content["model"] = model | {bias: torch.ones(25, 3)}  # of the authors' fine-tuning, too small
    account = find_encoder(saved(content, tmp_path), HEADS).account
    assert account.unexpected == [f"model.{bias} (25, 3), not (49, 3)"]
    lost = f"blocks.{last}.attn.qkv.weight"
    content["model"] = {key: one for key, one in model.items() if key != lost}
    assert find_encoder(saved(content, tmp_path), HEADS).account.missing == [lost]
    content["model"] = {key: one for key, one in model.items() if "reduction" not in key}
    if name == "itpn":
        with pytest.raises(WeightsFileError, match="a HiViT has two"):
            find_encoder(saved(content, tmp_path), HEADS)


def test_a_block_number_beyond_reason_is_refused(tmp_path):
    content = published("mae")
    content["model"]["blocks.99999999.norm1.weight"] = torch.ones(48)
    with pytest.raises(WeightsFileError, match="200 are the most"):
        find_encoder(saved(content, tmp_path), HEADS)


SHAPES = ((), (3,), (2, 2), (1, 1, 1, 1, 1))


SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("sar_jepa", "dinov2_registers", "hivit")
]


@pytest.mark.parametrize("name", ["mae", *SLOW])
def test_no_shape_of_a_weight_breaks_the_reading(name, tmp_path):
    weights = weights_of(published(name))
    keys = [one for one in weights if "decoder" not in one and "sarfeature" not in one]
    special = [one for one in keys if "blocks" not in one and one != "args"]
    pairs = [(key, shape) for key in special for shape in SHAPES]
    pairs += [(key, SHAPES[n % 4]) for n, key in enumerate(keys) if "blocks" in key]
    for key, shape in pairs:
        content = dict(weights) | {key: torch.ones(shape)}
        try:
            found = find_encoder(saved(content, tmp_path), HEADS)
        except (WeightsFileError, StatedValueError):
            continue
        assert key not in found.account.used


def test_a_file_without_a_known_layout_says_how_to_name_a_network(tmp_path):
    with pytest.raises(WeightsFileError, match=r"no layout recognises .* --encoder timm:NAME"):
        find_encoder(saved({"layer1.weight": torch.ones(2)}, tmp_path))
    with pytest.raises(WeightsFileError, match="no square patch embedding"):
        find_encoder(saved({"decoder_embed.weight": torch.ones(2, 2)}, tmp_path))


def test_an_identity_holds_all_that_the_network_needs(tmp_path):
    found: GivenWeights = find_encoder(saved(published("fg_mae_2"), tmp_path), HEADS)
    identity = found.identity()
    assert (identity.method, identity.recipe, identity.pool) == ("given", None, [])
    assert identity.config == {
        "digest": found.config.digest, "layout": "fg_mae", "channels": 2,
    }  # fmt: skip
    assert encoder_from_json(identity.encoder or {}) == found.encoder
    assert Config(**identity.config) == found.config
    other = find_encoder(tmp_path / "a.pth", Stated(heads=3, channel=1))
    assert other.identity().key != identity.key
