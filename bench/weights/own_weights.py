"""The file `encoder.safetensors` of a store, whose header holds the identity of its pretraining."""

import json
from dataclasses import asdict, replace

import torch
from torch import Tensor

from ...methods import _registry
from ...methods._encoders import (
    AnyEncoder,
    EncoderConfig,
    GivenConfig,
    TimmConfig,
    encoder_from_json,
)
from ...methods._timm import TimmEncoder
from ...methods._vit import Encoder, sincos_positions
from ...methods.given import Config, Given
from ..identity import GIVEN, Pretraining, from_json
from .account import Account
from .digest import weights_digest
from .given_weights import GivenWeights, Stated, StatedValueError, as_weights
from .reading import WeightsFile, WeightsFileError
from .vit_weights import resize_positions

LAYOUT = "sarbench"
HEADER = "pretraining"


def own_weights(file: WeightsFile, stated: Stated) -> GivenWeights:
    """Return the encoder of a store's file; the header says what it is.

    Raises:
        WeightsFileError: The header is damaged, or the method builds a network of its own kind.
        StatedValueError: A value is stated that the header tells.
    """
    if replace(stated, input_px=None) != Stated():
        raise StatedValueError(
            "the file is an encoder of a store, whose header says what it is; state nothing but "
            "input_px"
        )
    try:
        identity = Pretraining(**json.loads(file.metadata[HEADER]))
        method = _registry.get(identity.method)
        size = encoder_from_json(identity.encoder) if identity.encoder else None
        values = from_json(method.Config, identity.config)
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsFileError(f"the header is not that of a pretraining: {error}") from error
    if size is None:
        raise WeightsFileError(f"{identity.method} ({identity.key[:12]}) has no encoder")
    with torch.device("meta"):
        network = method.build_encoder(values, size)
    notes = [f"{identity.method}, pretraining {identity.key[:12]}"]
    tensors = dict(file.tensors)
    encoder: AnyEncoder = size
    config = Config(layout=LAYOUT)
    if identity.method == GIVEN:
        config = values
    elif isinstance(size, GivenConfig | TimmConfig) and size.input:  # it continued from a file
        config = Config(layout=LAYOUT, **asdict(size.input))
        encoder = replace(size, input=None)
    elif type(network) is Encoder and isinstance(size, EncoderConfig):
        encoder, config, tensors = _of_vit(network, size, tensors)
    elif not isinstance(network, TimmEncoder):
        raise WeightsFileError(
            f"{identity.method} builds a network of its own kind ({type(network).__name__}); "
            f"use the key of its pretraining, {identity.key[:12]}, instead of the file"
        )
    tensors, more = as_weights(tensors)
    account = _account(file, tensors, config, encoder)
    if identity.method != GIVEN:
        config = replace(config, digest=weights_digest(tensors), layout=LAYOUT)
    if stated.input_px not in (None, encoder.input_px):
        if not isinstance(encoder, GivenConfig):
            raise StatedValueError(f"the encoder is {encoder.name}; its input cannot be changed")
        encoder = replace(encoder, input_px=stated.input_px, name="")
        more += resize_positions(tensors, encoder) if "pos_embed" in tensors else []
    return GivenWeights(config.layout, encoder, config, tensors, account, (*notes, *more))


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
    return encoder, Config(mean=mean, std=std), tensors


def _account(
    file: WeightsFile, tensors: dict[str, Tensor], config: Config, encoder: AnyEncoder
) -> Account:
    with torch.device("meta"):
        network = Given.build_encoder(config, encoder)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    fits = {name for name, one in tensors.items() if shapes.get(name) == one.shape}
    return Account(
        used=[name for name in file.tensors if name in fits],
        missing=[name for name in shapes if name not in tensors],
        unexpected=[name for name in file.tensors if name not in fits],
    )
