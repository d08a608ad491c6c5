"""Files whose header says what they are: encoders of a store, and exported ones."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...methods import _registry
from ...methods._encoders import (
    AnyEncoder,
    EncoderConfig,
    EncoderError,
    GivenConfig,
    TimmConfig,
    encoder_from_json,
)
from ...methods._given import GivenEncoder, GivenTimmEncoder
from ...methods._hivit import HiViTEncoder
from ...methods._timm import TimmEncoder
from ...methods._vit import Encoder, sincos_positions
from ...methods.given import Config, Given
from ..given_file import NOTHING_STATED, Stated
from ..identity import GIVEN, Pretraining, from_json
from .account import Account
from .digest import weights_digest
from .given_weights import GivenWeights, StatedValueError, as_weights
from .header_sizes import check_sizes
from .reading import WeightsFile, WeightsFileError
from .vit_weights import resize_positions

STORED, HEADER = "sarbench", "pretraining"  # layout and header of `encoder.safetensors`
EXPORTED = "exported"  # layout and header of a file that `sarbench weights export` wrote
ARGUMENTS = {  # of `timm.create_model` -> field of the encoder; "" = channels of the input
    "img_size": "input_px", "patch_size": "patch_px", "embed_dim": "width", "depth": "depth",
    "num_heads": "heads", "reg_tokens": "registers", "qkv_bias": "qkv_bias",
    "class_token": "class_token", "in_chans": "",
}  # fmt: skip
TIMM = "model."  # begins the names of weights in a `TimmEncoder`


class OwnNetworkError(WeightsFileError):
    """An encoder of a kind that only its method builds."""


def has_own_header(file: WeightsFile) -> bool:
    """Return whether the header of a file says what it is."""
    return HEADER in file.metadata or EXPORTED in file.metadata


def own_weights(file: WeightsFile, stated: Stated) -> GivenWeights:
    """Return the encoder of a file whose header says what it is.

    Raises:
        WeightsFileError: The header is damaged, or the method builds a network of its own kind.
        StatedValueError: A value is stated that the header tells.
    """
    if replace(stated, input_px=None) != NOTHING_STATED:
        raise StatedValueError(
            "the file is an encoder of a store or an exported one, whose header says what it is; "
            "state nothing but input_px"
        )
    read = _exported if EXPORTED in file.metadata else _stored
    encoder, config, tensors, notes = read(file)
    account = _account(file, tensors, config, encoder)
    if stated.input_px not in (None, encoder.input_px):
        if not isinstance(encoder, GivenConfig):
            raise StatedValueError(f"the encoder is {encoder.name}; its input cannot be changed")
        encoder = replace(encoder, input_px=stated.input_px, name="")
        notes += resize_positions(tensors, encoder) if "pos_embed" in tensors else []
    return GivenWeights(config.layout, encoder, config, tensors, account, tuple(notes))


class _Read(NamedTuple):
    """An encoder before its keys are accounted for; the fields are those of `GivenWeights`."""

    encoder: AnyEncoder
    config: Config
    tensors: dict[str, Tensor]
    notes: list[str]


def _stored(file: WeightsFile) -> _Read:
    """Return an encoder of a store."""
    try:
        identity = Pretraining(**json.loads(file.metadata[HEADER]))
        method = _registry.get(identity.method)
        size = encoder_from_json(identity.encoder) if identity.encoder else None
        if size is not None:
            check_sizes(size)
        values = from_json(method.Config, identity.config)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise WeightsFileError(f"the header is not that of a pretraining: {error}") from error
    if size is None:
        raise WeightsFileError(f"{identity.method} ({identity.key[:12]}) has no encoder")
    with torch.device("meta"):
        network = method.build_encoder(values, size)
    notes = [f"{identity.method}, pretraining {identity.key[:12]}"]
    tensors, more = as_weights(dict(file.tensors))
    notes += more
    if identity.method == GIVEN:
        digest = weights_digest({name.removeprefix(TIMM): one for name, one in tensors.items()})
        if digest != values.digest:
            notes.append(
                f"weights {digest[:12]}, not {values.digest[:12]} as in the header: they were "
                "edited, or their positions resized, since they were imported"
            )
        return _Read(size, replace(values, digest=digest), tensors, notes)
    config = Config(layout=STORED)
    if type(network) is Encoder and isinstance(size, EncoderConfig):
        size, config, tensors = _of_vit(network, size, tensors)
    elif isinstance(network, GivenEncoder | GivenTimmEncoder | HiViTEncoder):
        size = replace(network.config, input=None)
        config = Config(layout=STORED, **vars(network.channels))
    elif not isinstance(network, TimmEncoder):
        raise OwnNetworkError(
            f"{identity.method} builds a network of its own kind ({type(network).__name__}); "
            f"use the key of its pretraining, {identity.key[:12]}, instead of the file"
        )
    return _Read(size, replace(config, digest=weights_digest(tensors)), tensors, notes)


def _of_vit(
    network: Encoder, size: EncoderConfig, tensors: dict[str, Tensor]
) -> tuple[GivenConfig, Config, dict[str, Tensor]]:
    """Return a ViT of our methods as a given one, with its fixed positions as a stored table."""
    encoder = GivenConfig(
        size.input_px, size.patch_px, size.width, size.depth, size.heads, hidden=4 * size.width,
        class_token=network.has_class_token,
        positions="relative" if network.positions is None else "table",
    )  # fmt: skip
    if network.positions is not None:
        table = sincos_positions(size.patch_grid, size.width)
        of_class = torch.zeros(int(network.has_class_token), size.width)
        tensors["pos_embed"] = torch.cat([of_class, table])[None]
    pixels = network.standardise
    mean, std = ((pixels[0],), (pixels[1],)) if pixels else (None, None)
    return encoder, Config(layout=STORED, mean=mean, std=std), tensors


def _exported(file: WeightsFile) -> _Read:
    """Return the encoder of an exported file."""
    try:
        header = json.loads(file.metadata[EXPORTED])
        encoder = encoder_from_json(header["encoder"])
        check_sizes(encoder)
        config = from_json(Config, header["input"] | {"layout": EXPORTED})
        _compare_arguments(header.get("arguments", {}), encoder, config.channels)
        note = f"exported from pretraining {header['key'][:12]}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsFileError(f"the header is not that of an exported file: {error}") from error
    tensors, notes = as_weights(dict(file.tensors))
    config = replace(config, digest=weights_digest(tensors))
    if header.get("digest") not in (None, config.digest):
        note += "; its weights are not those of the header: they were edited since"
    if isinstance(encoder, TimmConfig):
        tensors = {TIMM + name: one for name, one in tensors.items()}
    return _Read(encoder, config, tensors, [note, *notes])


def _compare_arguments(arguments: dict[str, Any], encoder: AnyEncoder, channels: int) -> None:
    """Refuse arguments of timm that are not those of the encoder in the same header.

    Raises:
        EncoderError: One of them contradicts it.
    """
    for name, field in ARGUMENTS.items():
        own = getattr(encoder, field, None) if field else channels
        if own is not None and arguments.get(name, own) != own:
            raise EncoderError(
                f"its argument {name} is {str(arguments[name])[:80]}, but its encoder has {own}"
            )


def _account(
    file: WeightsFile, tensors: dict[str, Tensor], config: Config, encoder: AnyEncoder
) -> Account:
    with torch.device("meta"):
        network: nn.Module = Given.build_encoder(config, encoder)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    fits = {name for name, one in tensors.items() if shapes.get(name) == one.shape}
    begins = TIMM if isinstance(encoder, TimmConfig) and EXPORTED in file.metadata else ""
    return Account(
        used=[name for name in file.tensors if begins + name in fits],
        missing=[name for name in shapes if name not in tensors],
        unexpected=[name for name in file.tensors if begins + name not in fits],
    )
