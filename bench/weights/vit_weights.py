"""The ViT or HiViT of a file, and the account of its keys."""

from dataclasses import replace

import torch
from torch import Tensor

from ...methods._channels import InputChannels
from ...methods._encoders import GivenConfig
from ...methods._given import given_encoder
from ...methods._relative_positions import BUCKETS
from ..given_file import Stated
from .account import Account
from .digest import weights_digest
from .given_weights import (
    GivenWeights,
    StatedValueError,
    as_weights,
    input_config,
)
from .layout import NEXT_TO_IT, Layout, has, reason_for, unwrap
from .positions import is_square, resize_table
from .reading import WeightsFile
from .vit_sizes import sizes


def vit_weights(file: WeightsFile, layout: Layout, stated: Stated) -> GivenWeights:
    """Return the encoder of a file in a layout.

    Raises:
        StatedValueError: The layout is not read, or a stated value does not fit the file.
        WeightsFileError: The file has no ViT, or a weight is not finite.
    """
    part = _part(file, layout, stated)
    account = Account()
    found, sources = _renamed(file, layout, part, account)
    tensors, notes = as_weights(layout.adapt(found))
    if part:
        notes.append(f"encoder: {part}")
    encoder, more = sizes(tensors, file, layout.family, stated)
    notes += more
    tensors = _own_positions(tensors, encoder, layout.class_row)
    channels = tensors["patch_embed.proj.weight"].shape[1]
    notes += close_account(account, tensors, sources, encoder, channels)
    digest = weights_digest(tensors)
    config = input_config(layout.name, layout.three, channels, digest, replace(stated, part=part))
    stated_input = (stated.mean, stated.std) != (None, None)
    if channels == 3 and not stated_input and layout.assumes(file.tensors):
        notes.append(
            "ImageNet's mean and deviation are assumed; the file does not say them, and timm's "
            "augreg ViTs have 0.5: state mean and std, or the network: encoder timm:NAME"
        )
    if account.complete and "pos_embed" in tensors:
        notes += resize_positions(tensors, encoder)
    return GivenWeights(layout.name, encoder, config, tensors, account, tuple(notes))


def _part(file: WeightsFile, layout: Layout, stated: Stated) -> str | None:
    """Return the part of the file that is read, if the layout has parts."""
    if stated.part is not None and stated.part not in layout.parts:
        allowed = f"allowed: {', '.join(layout.parts)}" if layout.parts else "leave `part` out"
        raise StatedValueError(f"{layout.title} has no part {stated.part!r}; {allowed}")
    part = stated.part or (layout.parts[0] if layout.parts else None)
    if part and not any(key.startswith(f"{part}.") for key in file.tensors):
        there = [one for one in layout.parts if has(file.tensors, rf"{one}\.")]
        raise StatedValueError(
            f"the file has no {part}; it has {', '.join(there) or 'none'}: state it with `part`"
        )
    return part


def _renamed(
    file: WeightsFile, layout: Layout, part: str | None, account: Account
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Return the weights and their keys in the file by their names here; skip other keys."""
    containers = (part, *layout.containers) if part else layout.containers
    inside, outside = unwrap(file.tensors, containers)
    for key in outside:
        account.skip_or_refuse(key, reason_for(key, (*layout.outside, *NEXT_TO_IT)))
    pieces: dict[str, dict[int, str]] = {}
    for name, key in inside.items():
        if reason := reason_for(name, layout.skipped):
            account.skip(key, reason)
            continue
        if "#" in name:  # it numbers the pieces of a weight below
            account.unexpected.append(key)
            continue
        here, _, number = layout.rename(name).partition("#")
        if int(number or 0) in pieces.setdefault(here, {}):
            account.unexpected.append(key)  # two keys for one weight
        pieces[here].setdefault(int(number or 0), key)
    tensors, sources = {}, {}
    for here, numbered in pieces.items():
        keys = [numbered[number] for number in sorted(numbered)]
        parts = [file.tensors[key] for key in keys]
        same = len({one.shape[1:] for one in parts}) == 1
        tensors[here] = parts[0] if len(parts) == 1 or not same else torch.cat(parts)
        sources[here] = keys
    return tensors, sources


def _own_positions(
    tensors: dict[str, Tensor], encoder: GivenConfig, class_row: bool
) -> dict[str, Tensor]:
    """Return the weights with a table of positions as the network has it.

    With registers the table has no row for prefix tokens: their rows are added to the tokens, as
    timm does it. Without registers it has one for the class token, which may be 0.
    """
    table = tensors.get("pos_embed")
    if table is None or table.ndim != 3 or encoder.positions == "relative":
        return tensors
    prefix = int(encoder.class_token) + encoder.registers
    extra = next((n for n in (0, 1, prefix) if is_square(table.shape[1] - n)), None)
    if len(table) != 1 or extra is None or extra > prefix:
        return tensors  # a shape that does not fit is found by the account
    own = dict(tensors)
    if encoder.registers:
        own["pos_embed"] = table[:, extra:]
        rows = {"cls_token": table[:, : min(extra, 1)], "reg_token": table[:, 1:extra]}
        for name, of_token in rows.items():
            if name in own and own[name].shape == of_token.shape:
                own[name] = own[name] + of_token
    elif encoder.class_token and not extra and not class_row:
        own["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], 1)
    return own


def close_account(
    account: Account,
    tensors: dict[str, Tensor],
    sources: dict[str, list[str]],
    encoder: GivenConfig,
    channels: int,
) -> list[str]:
    """Compare names and shapes with those of the network; return notes."""
    with torch.device("meta"):
        network = given_encoder(encoder, InputChannels(channels))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for name, keys in sources.items():
        shape, found = expected.get(name), tensors[name].shape
        resizable = name == "pos_embed" and shape is not None and _can_resize(found, encoder)
        if shape is None:
            account.unexpected += keys
        elif shape == found or resizable:
            account.used += keys
        else:
            account.unexpected += [f"{key} {tuple(found)}, not {tuple(shape)}" for key in keys]
    account.missing += [name for name in expected if name not in sources]
    if encoder.bias_tables and account.unexpected:
        return ["tables of relative position biases fit one input only; leave `input_px` out"]
    tables = [one for name, one in tensors.items() if name.endswith(".relative")]
    if any(one.ndim == 3 for one in tables):
        return ["tables of relative positions for each head are not read; one for all heads is"]
    if any(one.shape[-1:] != (BUCKETS,) for one in tables):
        return [f"tables of relative positions must have {BUCKETS} buckets"]
    return []


def _can_resize(shape: torch.Size, encoder: GivenConfig) -> bool:
    if len(shape) != 3 or shape[2] != encoder.width:
        return False
    return is_square(shape[1] - _prefix_rows(encoder))


def resize_positions(tensors: dict[str, Tensor], encoder: GivenConfig) -> list[str]:
    """Resize the table of positions to the input, as timm does: bicubic, antialiased."""
    table = tensors["pos_embed"]
    tensors["pos_embed"], notes = resize_table(table, encoder.patch_grid[0], _prefix_rows(encoder))
    return notes


def _prefix_rows(encoder: GivenConfig) -> int:
    """Return the number of rows of a table of positions that belong to no patch."""
    return int(encoder.class_token and not encoder.registers)
