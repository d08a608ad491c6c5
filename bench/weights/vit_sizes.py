"""The sizes of a ViT or HiViT, read from the shapes of its weights and from what is stated."""

import re
from dataclasses import replace
from math import isqrt
from typing import Any

from torch import Tensor

from ...methods._encoders import EncoderError, GivenConfig
from ..given_file import Stated
from .given_weights import StatedValueError
from .positions import is_square
from .reading import WeightsFile, WeightsFileError

HEAD_WIDTH = 64  # of most published ViTs; a file does not tell it
OTHER_HEADS = {  # of published ViTs by their width: ViT-S of MoCo v3; ViT-H, ViT-g, ViT-G
    384: "6 or, by MoCo v3, 12", 1280: "16", 1408: "16", 1664: "16",
}  # fmt: skip
USUAL_PX = 224  # input of a ViT without a table of positions
DEEPEST = 200  # blocks
PARTS = 4  # of a HiViT's patch along each side
BLOCK = re.compile(r"blocks\.(\d+)\.")
BIASES = r"blocks\.\d+\.attn\.relative_position_bias_table$"
MERGE = re.compile(r"blocks\.(\d+)\.reduction\.weight$")


def sizes(
    tensors: dict[str, Tensor], file: WeightsFile, family: str, stated: Stated
) -> tuple[GivenConfig, list[str]]:
    """Return the architecture of renamed weights, and notes about what was assumed.

    Args:
        tensors: The weights by their names here.
        file: All tensors of the file, among them a table of positions that may be skipped.
        family: Of `GivenConfig`.
        stated: Heads and input.

    Raises:
        WeightsFileError: The shapes are not those of such a network.
        StatedValueError: A stated value does not fit them.
    """
    kernel = tensors.get("patch_embed.proj.weight")
    depth = 1 + max((int(m[1]) for name in tensors if (m := BLOCK.match(name))), default=-1)
    if kernel is None or kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3] or not depth:
        raise WeightsFileError(
            "the file has no square patch embedding (patch_embed.proj.weight) with blocks behind "
            "it, so the sizes of the encoder cannot be read; is it a part of a file?"
        )
    if depth > DEEPEST:
        raise WeightsFileError(f"the file has a block number {depth - 1}; {DEEPEST} are the most")
    own = (
        _of_hivit(tensors, kernel, depth) if family == "hivit" else _of_vit(tensors, kernel, depth)
    )
    relative = _first(tensors, r"blocks\.\d+\.attn\.relative$")
    biases = _first(tensors, BIASES, 2)
    if biases is not None:  # the table has a column for each head
        if stated.heads not in (None, biases.shape[1]):
            raise StatedValueError(
                f"heads is {stated.heads}, but the tables of relative position biases are for "
                f"{biases.shape[1]}; leave it out"
            )
        stated = replace(stated, heads=biases.shape[1])
    heads, notes = _heads(own["width"], relative, stated)
    side, patch_px = _side(tensors, file), own["patch_px"]
    px = stated.input_px or patch_px * (side or USUAL_PX // patch_px)
    if side is None and stated.input_px is None:
        notes.append(f"{px} px input is assumed; the file has no table of positions")
    try:
        return GivenConfig(input_px=px, heads=heads, **own), notes
    except EncoderError as error:
        raise StatedValueError(str(error)) from error


def _of_vit(tensors: dict[str, Tensor], kernel: Tensor, depth: int) -> dict[str, Any]:
    """Return the fields of a ViT but its heads and input."""
    width = kernel.shape[0]
    relative = _first(tensors, r"blocks\.\d+\.attn\.relative$")
    rows, inner = (_first(tensors, rf"blocks\.\d+\.mlp\.fc{n}\.weight$", 2) for n in (1, 2))
    hidden = 4 * width if rows is None else rows.shape[0]
    registers = _first(tensors, "reg_token$", 3)
    return {
        "patch_px": kernel.shape[2],
        "width": width,
        "depth": depth,
        "hidden": hidden,
        "gated": inner is not None and 2 * inner.shape[1] == hidden,
        "qkv_bias": _first(tensors, r"blocks\.\d+\.attn\.qkv\.bias$") is not None,
        "layer_scale": _first(tensors, r"blocks\.\d+\.ls[12]\.gamma$") is not None,
        "class_token": _has_class_token(tensors, relative is not None),
        "registers": 0 if registers is None else registers.shape[1],
        "positions": "table" if relative is None else "relative",
    }


def _of_hivit(tensors: dict[str, Tensor], kernel: Tensor, blocks: int) -> dict[str, Any]:
    """Return the fields of a HiViT but its heads and input; its two merges are blocks too."""
    merges = sorted(int(match[1]) for name in tensors if (match := MERGE.match(name)))
    if len(merges) != 2 or merges[1] != 2 * merges[0] + 1 or merges[1] + 1 >= blocks:
        raise WeightsFileError(
            f"merges of patches are the blocks {merges}; a HiViT has two, after stages of equal "
            "length, and blocks with attention behind them"
        )
    rows = [
        _first(tensors, rf"blocks\.{number}\.mlp\.fc1\.weight$", 2) for number in (0, merges[1] + 1)
    ]
    width = 4 * kernel.shape[0]
    return {
        "patch_px": PARTS * kernel.shape[2],
        "width": width,
        "depth": blocks - merges[1] - 1,
        "hidden": 4 * width if rows[1] is None else rows[1].shape[0],
        "stem_blocks": merges[0],
        "stem_hidden": 3 * width // 4 if rows[0] is None else rows[0].shape[0],
        "class_token": False,
        "family": "hivit",
        "bias_tables": _first(tensors, BIASES, 2) is not None,
    }


def _side(tensors: dict[str, Tensor], file: WeightsFile) -> int | None:
    """Return the side of the patch grid, from a table of positions, also from a skipped one."""
    skipped = [one for key, one in file.tensors.items() if key.rpartition(".")[2] == "pos_embed"]
    tables = [one for one in (tensors.get("pos_embed"), *skipped) if one is not None]
    return isqrt(tables[0].shape[1]) if tables and tables[0].ndim == 3 else None


def _first(tensors: dict[str, Tensor], pattern: str, axes: int | None = None) -> Tensor | None:
    """Return the first weight of a name, with a number of axes."""
    found = re.compile(pattern)
    return next(
        (one for name, one in tensors.items() if found.match(name) and axes in (None, one.ndim)),
        None,
    )


def _has_class_token(tensors: dict[str, Tensor], relative: bool) -> bool:
    """Return whether the encoder has a class token; a table with a row for it says so too."""
    if "cls_token" in tensors or relative:
        return True
    table = _first(tensors, "pos_embed$", 3)
    return table is not None and not is_square(table.shape[1]) and is_square(table.shape[1] - 1)


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
    note = (
        f"heads = {heads}, each {HEAD_WIDTH} wide, is assumed; the shapes in a file do not show "
        "their number"
    )
    if width in OTHER_HEADS:
        note += f", but ViTs of this width were published with {OTHER_HEADS[width]}: state them"
    return heads, [note]
