"""Encoders as files for other programs: safetensors with timm's names, and a loader if needed."""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from torch import Tensor, nn

from ...methods._channels import InputChannels
from ...methods._encoders import GivenConfig, InputConfig, TimmConfig, encoder_json
from ...methods._timm import TimmEncoder
from ...results.record import PretrainRecord
from ..given_file import NOTHING_STATED
from ..store.atomic import file_digest
from ..store.records import Store
from ..store.weights import CheckpointMismatchError
from ..suggest import RequestError
from .digest import weights_digest
from .given_weights import GivenWeights
from .own_weights import EXPORTED, TIMM, OwnNetworkError, own_weights
from .reading import read_tensors

SUFFIX = ".safetensors"
KERNEL, BIAS = "patch_embed.proj.weight", "patch_embed.proj.bias"
PLAIN, GATED = "vit_base_patch16_224", "vit_giant_patch14_dinov2"  # ViTs whose sizes are replaced


@dataclass(frozen=True)
class Export:
    """An encoder as it is written.

    Attributes:
        tensors: The weights by their names in the file.
        encoder: The architecture.
        input: Channels and normalisation that a caller must apply.
        key: Key of its pretraining.
        timm_name: Name of a network of timm; None if only the loader builds it.
        arguments: Of `timm.create_model`.
        loader: Source of the loader; None where timm loads the file.
        to_tokens: Python that turns what the network gives into tokens; empty if it gives tokens.
        tokens_shape: Number N and length D of the tokens.
        class_token: Whether token 0 is a class token.
        parameters: Number of weights, without buffers such as running means.
    """

    key: str
    tensors: dict[str, Tensor]
    encoder: GivenConfig | TimmConfig
    input: InputConfig
    timm_name: str | None
    arguments: dict[str, Any]
    loader: str | None
    to_tokens: str
    tokens_shape: tuple[int, int]
    class_token: bool
    parameters: int

    @cached_property
    def digest(self) -> str:
        """The digest of the weights in the file."""
        return weights_digest(self.tensors)

    def content(self) -> bytes:
        """Return the content of the file."""
        header = {
            "key": self.key,
            "encoder": encoder_json(self.encoder),
            "input": self.input.input_json(),
            "timm": self.timm_name,
            "arguments": self.arguments,
            "digest": self.digest,
        }
        text = json.dumps(header, sort_keys=True)
        return save(self.tensors, metadata={"format": "pt", EXPORTED: text})


def stored_encoder(store: Store, record: PretrainRecord) -> GivenWeights:
    """Return the encoder of a finished pretraining.

    Raises:
        RequestError: The store has no weights of it, or its method builds a network of its own.
        CheckpointMismatchError: The weights are not those of the record.
    """
    path, key = store.encoder(record.key), record.key[:12]
    if not path.exists():
        raise RequestError(
            f"the store {store.shown} has no weights of pretraining {key}; merge a store that has "
            "them, or run its grid again with --force"
        )
    if file_digest(path) != record.weights_digest:
        raise CheckpointMismatchError(
            f"{path} does not have the digest of its record; `sarbench check` gives details"
        )
    try:
        return own_weights(read_tensors(path), NOTHING_STATED)
    except OwnNetworkError as error:
        raise RequestError(
            f"{record.identity['method']} builds a network of its own kind, which timm cannot load "
            "and no loader is bundled for it; ViTs, HiViTs and networks of timm can be exported. "
            f"Its weights are in {path}"
        ) from error


def export(given: GivenWeights, key: str) -> Export:
    """Return an encoder as it is written; `key` is that of its pretraining.

    Everything that an encoder of patches does to the pixels becomes part of its first kernel and
    bias. That is exact because patches are not padded; convolutions are, so the input of other
    networks is stated and stays as it is.
    """
    size, network = given.encoder, given.network()
    if isinstance(size, GivenConfig):
        tensors = _for_one_channel(given)
        of_input = InputConfig()
        name, arguments = (None, {}) if size.family == "hivit" else _timm_vit(size)
    elif isinstance(size, TimmConfig):
        tensors = {name.removeprefix(TIMM): one for name, one in given.tensors.items()}
        of_input = given.config
        name, arguments = size.model, _timm_arguments(size, of_input.channels)
    else:
        raise TypeError(f"{type(size).__name__} is not the encoder of a file")
    with torch.no_grad():
        found = network(torch.zeros(1, 1, size.input_px, size.input_px))
    return Export(
        key=key,
        tensors={name: one.contiguous() for name, one in tensors.items()},
        encoder=size,
        input=of_input,
        timm_name=name,
        arguments=arguments,
        loader=_loader(size),
        to_tokens=_to_tokens(size, network),
        tokens_shape=(found.shape[1], found.shape[2]),
        class_token=bool(network.has_class_token),
        parameters=sum(
            tensors[name.removeprefix(TIMM)].numel() for name, _ in network.named_parameters()
        ),
    )


def _loader(size: GivenConfig | TimmConfig) -> str | None:
    """Return the source of the loader of a network that timm lacks.

    It is shipped as text, so the files in `loaders/` import nothing from sarbench.
    """
    if not isinstance(size, GivenConfig):
        return None
    if size.family == "vit" and size.positions != "relative":
        return None
    name = "hivit" if size.family == "hivit" else "relative"
    return (files("sarbench.bench.weights") / f"loaders/{name}.py").read_text("utf-8")


def _for_one_channel(given: GivenWeights) -> dict[str, Tensor]:
    """Return the weights of an encoder of patches for chips of one channel in [0, 1]."""
    tensors = dict(given.tensors)
    projection = nn.Module()
    projection.weight, projection.bias = tensors[KERNEL], tensors[BIAS]  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    tensors[KERNEL], tensors[BIAS] = InputChannels.of(given.config).kernel(projection)
    return tensors


def _timm_vit(size: GivenConfig) -> tuple[str, dict[str, Any]]:
    """Return a name of timm, and the arguments that give it the sizes of a ViT."""
    arguments: dict[str, Any] = {
        "img_size": size.input_px, "patch_size": size.patch_px, "in_chans": 1,
        "embed_dim": size.width, "depth": size.depth, "num_heads": size.heads, "global_pool": "",
    }  # fmt: skip
    if size.gated or size.hidden != 4 * size.width:
        arguments["mlp_ratio"] = (size.hidden + 0.5) / size.width  # timm rounds the product down
    if size.layer_scale:
        arguments["init_values"] = 1.0
    elif size.gated:
        arguments["init_values"] = 0.0  # no layer scale; timm drops an argument that is None
    if size.registers:
        arguments |= {"reg_tokens": size.registers, "no_embed_class": True}
    if not size.qkv_bias:
        arguments["qkv_bias"] = False
    if not size.class_token:
        arguments["class_token"] = False
    return (GATED if size.gated else PLAIN), arguments


def _timm_arguments(size: TimmConfig, channels: int) -> dict[str, Any]:
    """Return the arguments of a network of timm; convolutional ones take no input size."""
    arguments: dict[str, Any] = {"in_chans": channels, "global_pool": ""}
    with_size: dict[str, Any] = arguments | {"img_size": size.input_px}
    try:
        with torch.device("meta"):
            timm.create_model(size.model, num_classes=0, **with_size)
    except TypeError:
        return arguments
    return with_size


@torch.no_grad()
def _to_tokens(size: GivenConfig | TimmConfig, network: nn.Module) -> str:
    """Return Python that makes `tokens` of what the exported network gives."""
    if isinstance(size, GivenConfig):
        return _without(int(size.class_token), size.registers) if size.registers else ""
    if not isinstance(network, TimmEncoder):
        raise TypeError(f"{type(network).__name__} is not a network of timm")
    channels = getattr(network, "channels", InputChannels()).channels
    found = network.model(torch.zeros(1, channels, size.input_px, size.input_px))
    if found.ndim == 3:
        kept = int(network.has_class_token)
        more = getattr(network.model, "num_prefix_tokens", kept) - kept
        return _without(kept, more) if more else ""
    first = found.shape[1] == network.width
    return "tokens = tokens.flatten(2).mT" if first else "tokens = tokens.flatten(1, 2)"


def _without(kept: int, registers: int) -> str:
    first = kept + registers
    return f"tokens = torch.cat([tokens[:, :{kept}], tokens[:, {first}:]], 1)  # no registers"


def companions(path: Path) -> tuple[Path, Path]:
    """Return the model card and the loader next to an exported file."""
    return path.with_suffix(".md"), path.with_suffix(".py")


def check_target(path: Path) -> None:
    """Refuse a path at which a file cannot be exported.

    Raises:
        RequestError: Its name ends otherwise, or the file, its card or its loader exists.
    """
    if path.suffix != SUFFIX:
        raise RequestError(f"--out {path}: the name does not end with {SUFFIX}; give FILE{SUFFIX}")
    if there := [one for one in (path, *companions(path)) if one.exists() or one.is_symlink()]:
        raise RequestError(
            f"{there[0]} exists; files are not replaced: give another --out, or delete it"
        )
