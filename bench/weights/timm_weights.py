"""A file of weights for a named network of timm, convolutional ones included."""

from dataclasses import replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from ...methods._encoders import EncoderError, TimmConfig, encoder_named
from ...methods._timm import TimmModelError, create
from ..given_file import Stated
from .account import Account
from .digest import weights_digest
from .given_weights import GivenWeights, StatedValueError, as_weights, input_config
from .layout import NEXT_TO_IT, reason_for, unwrap
from .meta_dinov3 import SAT, is_meta, is_sat, timm_names
from .positions import is_square, resize_table
from .reading import WeightsFile

LAYOUT = "timm"
CONTAINERS = ("model", "state_dict", "model_state_dict", "module", "backbone")
CLASSES = 1000  # of the network that tells the names of a classifier


def timm_weights(file: WeightsFile, stated: Stated) -> GivenWeights:
    """Return the network of timm that `stated.encoder` names, with the weights of a file.

    The names in the file are timm's, or those of another library for the same tensors in the same
    order with the same shapes and the same last words (`weight`, `running_mean`).

    Raises:
        StatedValueError: timm has no such network, or a stated value does not fit it.
        WeightsFileError: A weight is not finite.
    """
    config, size_stated = _config(stated)
    account = Account()
    inside, outside = unwrap(file.tensors, CONTAINERS)
    for key in outside:
        account.skip_or_refuse(key, reason_for(key, NEXT_TO_IT))
    whole, notes = _network(config, 3, CLASSES), []
    normalisation = _normalisation(whole)
    short = {name: file.tensors[key] for name, key in inside.items()}
    if is_meta(short):
        biases = any(name.endswith("attn.q_bias") for name in whole.state_dict())
        renamed, notes = timm_names(short, biases, account)
        file, inside = replace(file, tensors=renamed), {name: name for name in renamed}
        if is_sat(short):
            normalisation = SAT
            notes.append("weights of SAT-493M, as they have local_cls_norm: its mean and deviation")
    names = _own_names(whole, inside, file)
    if any(own != name for name, own in names.items()):
        notes.append(
            "names are not timm's; tensors were matched in order, by shape and last word. Padding, "
            f"activations and the eps of norms are those of {config.name}, which the file cannot "
            "show: compare some features with those of the library that wrote it"
        )
    first = _first_convolution(whole)
    kernel = next((file.tensors[inside[name]] for name, own in names.items() if own == first), None)
    channels = kernel.shape[1] if kernel is not None and kernel.ndim == 4 else 3
    if not size_stated:
        config = _sized(config, whole)
    network = _network(config, channels, 0)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    known = set(whole.state_dict())
    tensors: dict[str, Tensor] = {}
    sizes: dict[str, torch.Size] = {}  # that a table of positions is resized to
    for name, key in inside.items():
        own, tensor = names.get(name, name), file.tensors[key]
        if own not in expected:
            account.skip_or_refuse(key, "classifier" if own in known else None)
            continue
        if _can_resize(own, tensor, expected[own], network):
            sizes[own] = expected[own]
        if tensor.shape == expected[own] or own in sizes:
            tensors[own] = tensor
            account.used.append(key)
        else:
            shapes = f"{tuple(tensor.shape)}, not {tuple(expected[own])}"
            account.unexpected.append(f"{key} {shapes}")
    account.missing += [name for name in expected if name not in {names.get(n, n) for n in inside}]
    tensors, more = as_weights(tensors)
    given = input_config(LAYOUT, normalisation, channels, weights_digest(tensors), stated)
    for name, shape in sizes.items():
        prefix = _prefix_rows(network)
        tensors[name], resized = resize_table(tensors[name], isqrt(shape[1] - prefix), prefix)
        notes += resized
    own_tensors = {f"model.{name}": tensor for name, tensor in tensors.items()}
    return GivenWeights(LAYOUT, config, given, own_tensors, account, tuple(notes + more))


def _config(stated: Stated) -> tuple[TimmConfig, bool]:
    """Return the named network, and whether its input size is stated."""
    named = str(stated.encoder)
    try:
        found = encoder_named(named)
    except EncoderError as error:
        raise StatedValueError(str(error)) from error
    if not isinstance(found, TimmConfig):
        raise StatedValueError(f"encoder is {named!r}; it must be timm:NAME or timm:NAME@PX")
    for name in ("heads", "part"):
        if getattr(stated, name) is not None:
            raise StatedValueError(f"{name} is for files without a named network; leave it out")
    if stated.input_px is None:
        return found, "@" in named
    if "@" in named and found.input_px != stated.input_px:
        raise StatedValueError(f"input_px is {stated.input_px}, but the encoder is {named}")
    return TimmConfig(f"timm:{found.model}@{stated.input_px}", stated.input_px), True


def _sized(config: TimmConfig, network: Any) -> TimmConfig:
    """Return the network for the input that timm gives it, if timm's input is not 224 px."""
    px = network.pretrained_cfg["input_size"][-1]
    return config if px == config.input_px else TimmConfig(f"timm:{config.model}@{px}", px)


def _network(config: TimmConfig, channels: int, classes: int) -> Any:
    try:
        with torch.device("meta"):
            return create(config, 0.0, channels, classes)
    except TimmModelError as error:
        raise StatedValueError(str(error)) from error


def _own_names(network: nn.Module, inside: dict[str, str], file: WeightsFile) -> dict[str, str]:
    """Return timm's name of each name in the file."""
    whole = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = [(name, file.tensors[key].shape) for name, key in inside.items()]
    if 2 * sum(name in whole for name in inside) >= len(whole):
        return {name: name for name in inside}
    own = list(whole.items())
    without = own[: -len(_classifier(network))] if _classifier(network) else own
    for listed in (own, without):
        if len(listed) == len(found) and all(
            _last(name) == _last(there) and _alike(there, shape, here, network)
            for (name, shape), (there, here) in zip(found, listed, strict=True)
        ):
            return {name: there for (name, _), (there, _) in zip(found, listed, strict=True)}
    return {name: name for name in inside}


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _alike(own: str, shape: torch.Size, expected: torch.Size, network: Any) -> bool:
    """Return whether a shape fits, with any number of channels and classes."""
    if own == _first_convolution(network):
        return shape[:1] + shape[2:] == expected[:1] + expected[2:]
    if own in _classifier(network):
        return shape[1:] == expected[1:]
    return shape == expected


def _classifier(network: Any) -> list[str]:
    """Return the names of the weights of the classifier."""
    named = network.pretrained_cfg.get("classifier") or ()
    parts = (named,) if isinstance(named, str) else tuple(named)
    return [n for n in network.state_dict() if n.startswith(tuple(f"{part}." for part in parts))]


def _first_convolution(network: Any) -> str | None:
    """Return the name of the first kernel of a network."""
    named = network.pretrained_cfg.get("first_conv")
    return f"{named}.weight" if isinstance(named, str) else None


def _normalisation(network: Any) -> Any:
    """Return mean and deviation of the network's published weights."""
    settings = network.pretrained_cfg
    return tuple(settings["mean"]), tuple(settings["std"])


def _can_resize(name: str, tensor: Tensor, expected: torch.Size, network: Any) -> bool:
    """Return whether a tensor is a table of positions for another size of a square input."""
    if name != "pos_embed" or tensor.ndim != 3 or tensor.shape == expected:
        return False
    patches = tensor.shape[1] - _prefix_rows(network)
    return tensor.shape[2] == expected[2] and is_square(patches)


def _prefix_rows(network: Any) -> int:
    """Return the number of rows of a table of positions that belong to no patch."""
    if getattr(network, "no_embed_class", False):
        return 0
    return getattr(network, "num_prefix_tokens", 0)
