"""The ViT of a file: sizes from shapes, and the account of its keys."""

import re
from dataclasses import replace
from math import isqrt

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from ...methods._encoders import EncoderError, GivenConfig
from ...methods._given import GivenEncoder
from ...methods._relative import BUCKETS
from .account import Account
from .digest import weights_digest
from .given_weights import (
    GivenWeights,
    Stated,
    StatedValueError,
    as_weights,
    input_config,
    unsupported,
)
from .layout import NEXT_TO_IT, Layout, has, reason_for, unwrap
from .reading import WeightsFile, WeightsFileError

HEAD_WIDTH = 64  # of every published ViT; a file does not tell it
WIDE_HEADS = {1280: 16, 1408: 16, 1664: 16}  # heads of ViT-H, ViT-g and ViT-G by their width
USUAL_PX = 224  # input of a ViT without a table of positions
BLOCK = re.compile(r"blocks\.(\d+)\.")


def vit_weights(file: WeightsFile, layout: Layout, stated: Stated) -> GivenWeights:
    """Return the encoder of a file in a layout.

    Raises:
        StatedValueError: The layout is not read, or a stated value does not fit the file.
        WeightsFileError: The file has no ViT, or a weight is not finite.
    """
    if layout.unsupported:
        raise unsupported(layout)
    part = _part(file, layout, stated)
    account = Account()
    found, sources = _renamed(file, layout, part, account)
    tensors, notes = as_weights(layout.adapt(found))
    if part:
        notes.append(f"encoder: {part}")
    encoder, more = _sizes(tensors, _side(tensors, file), stated)
    notes += more
    tensors = _own_positions(tensors, encoder, layout.class_row)
    channels = tensors["patch_embed.proj.weight"].shape[1]
    notes += close_account(account, tensors, sources, encoder, channels)
    digest = weights_digest(tensors)
    config, more = input_config(
        layout.name, layout.three, channels, digest, replace(stated, part=part)
    )
    notes += more
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
        _skip_or_refuse(key, key, (*layout.outside, *NEXT_TO_IT), account)
    pieces: dict[str, dict[int, str]] = {}
    for name, key in inside.items():
        if reason := reason_for(name, layout.skipped):
            account.skip(key, reason)
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


def _skip_or_refuse(
    name: str, key: str, rules: tuple[tuple[str, str], ...], account: Account
) -> None:
    reason = reason_for(name, rules)
    if reason is None:
        account.unexpected.append(key)
    else:
        account.skip(key, reason)


def _side(tensors: dict[str, Tensor], file: WeightsFile) -> int | None:
    """Return the side of the patch grid, from a table of positions, also from a skipped one."""
    skipped = [one for key, one in file.tensors.items() if key.rpartition(".")[2] == "pos_embed"]
    tables = [one for one in (tensors.get("pos_embed"), *skipped) if one is not None]
    return isqrt(tables[0].shape[1]) if tables and tables[0].ndim == 3 else None


def _sizes(
    tensors: dict[str, Tensor], side: int | None, stated: Stated
) -> tuple[GivenConfig, list[str]]:
    """Return the architecture, read from shapes and what is stated, and what was assumed."""
    kernel = tensors.get("patch_embed.proj.weight")
    blocks = [int(match[1]) for name in tensors if (match := BLOCK.match(name))]
    if kernel is None or kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3] or not blocks:
        raise WeightsFileError(
            "the file has no square patch embedding (patch_embed.proj.weight) with blocks behind "
            "it, so the sizes of the encoder cannot be read; is it a part of a file?"
        )
    width, patch_px, depth = kernel.shape[0], kernel.shape[2], max(blocks) + 1
    relative = _first(tensors, r"blocks\.\d+\.attn\.relative$")
    rows, inner = (_first(tensors, rf"blocks\.\d+\.mlp\.fc{n}\.weight$") for n in (1, 2))
    hidden = 4 * width if rows is None else rows.shape[0]
    registers = tensors["reg_token"].shape[1] if "reg_token" in tensors else 0
    heads, notes = _heads(width, relative, stated)
    px = stated.input_px or patch_px * (side or USUAL_PX // patch_px)
    if side is None and stated.input_px is None:
        notes.append(f"{px} px input is assumed; the file has no table of positions")
    try:
        encoder = GivenConfig(
            input_px=px,
            patch_px=patch_px,
            width=width,
            depth=depth,
            heads=heads,
            hidden=hidden,
            gated=inner is not None and inner.ndim == 2 and 2 * inner.shape[1] == hidden,
            qkv_bias=_first(tensors, r"blocks\.\d+\.attn\.qkv\.bias$") is not None,
            layer_scale=_first(tensors, r"blocks\.\d+\.ls[12]\.gamma$") is not None,
            class_token=_has_class_token(tensors, relative is not None),
            registers=registers,
            positions="table" if relative is None else "relative",
        )
    except EncoderError as error:
        raise StatedValueError(str(error)) from error
    return encoder, notes


def _first(tensors: dict[str, Tensor], pattern: str) -> Tensor | None:
    found = re.compile(pattern)
    return next((tensor for name, tensor in tensors.items() if found.match(name)), None)


def _has_class_token(tensors: dict[str, Tensor], relative: bool) -> bool:
    """Return whether the encoder has a class token; a table with a row for it says so too."""
    if "cls_token" in tensors or relative:
        return True
    table = tensors.get("pos_embed")
    return table is not None and not _is_square(table.shape[1]) and _is_square(table.shape[1] - 1)


def _is_square(count: int) -> bool:
    return count > 0 and isqrt(count) ** 2 == count


def _heads(width: int, relative: Tensor | None, stated: Stated) -> tuple[int, list[str]]:
    if relative is not None and relative.ndim == 2 and not width % relative.shape[0]:
        heads = width // relative.shape[0]  # the table has a row for each place of a head
        if stated.heads not in (None, heads):
            raise StatedValueError(
                f"heads is {stated.heads}, but the tables of relative positions are for {heads}"
            )
        return heads, []
    if stated.heads is not None:
        return stated.heads, []
    if width % HEAD_WIDTH:
        raise StatedValueError(
            f"the file does not tell the number of heads, and {HEAD_WIDTH} does not divide its "
            f"width, {width}; state it: --heads N, or heads = N in a grid"
        )
    heads = width // HEAD_WIDTH
    note = f"{heads} heads, {HEAD_WIDTH} wide each, are assumed; a file does not tell them"
    if width in WIDE_HEADS:
        note += f", but ViTs of this width were published with {WIDE_HEADS[width]}: state them"
    return heads, [note]


def _own_positions(
    tensors: dict[str, Tensor], encoder: GivenConfig, class_row: bool
) -> dict[str, Tensor]:
    """Return the weights with a table of positions as the network has it.

    With registers the table has no row for prefix tokens: their rows are added to the tokens, as
    timm does it. Without registers it has one for the class token, which may be 0.
    """
    table = tensors.get("pos_embed")
    if table is None or encoder.positions == "relative":
        return tensors
    prefix = int(encoder.class_token) + encoder.registers
    extra = next((n for n in (0, 1, prefix) if _is_square(table.shape[1] - n)), None)
    if table.ndim != 3 or len(table) != 1 or extra is None or extra > prefix:
        return tensors  # a shape that does not fit is found by the account
    own = dict(tensors)
    if encoder.registers:
        own["pos_embed"] = table[:, extra:]
        if extra and "cls_token" in own:
            own["cls_token"] = own["cls_token"] + table[:, :1]
        if extra > 1:
            own["reg_token"] = own["reg_token"] + table[:, 1:extra]
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
        network = GivenEncoder(encoder, channels)
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
    if any(name.endswith(".relative") and tensors[name].ndim == 3 for name in sources):
        return ["tables of relative positions for each head are not read; one for all heads is"]
    wrong = {t.shape[-1] for n, t in tensors.items() if n.endswith(".relative")} - {BUCKETS}
    if wrong:
        return [f"tables of relative positions must have {BUCKETS} buckets"]
    return []


def _can_resize(shape: torch.Size, encoder: GivenConfig) -> bool:
    extra = 0 if encoder.registers or not encoder.class_token else 1
    return len(shape) == 3 and shape[2] == encoder.width and _is_square(shape[1] - extra)


def resize_positions(tensors: dict[str, Tensor], encoder: GivenConfig) -> list[str]:
    """Resize the table of positions to the input, as timm does: bicubic, antialiased."""
    table = tensors["pos_embed"]
    extra = 0 if encoder.registers or not encoder.class_token else 1
    side = isqrt(table.shape[1] - extra)
    if (side, side) == encoder.patch_grid:
        return []
    tensors["pos_embed"] = resample_abs_pos_embed(
        table, list(encoder.patch_grid), [side, side], num_prefix_tokens=extra
    )
    now = encoder.patch_grid[0]
    return [
        f"positions resized from {side} x {side} to {now} x {now} patches (bicubic, antialiased)"
    ]
