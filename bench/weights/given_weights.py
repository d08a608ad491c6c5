"""The encoder of a file."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...methods import _registry
from ...methods._encoders import AnyEncoder, GivenConfig, encoder_json
from ...methods._method import MethodConfigError
from ...methods.given import Config, Given
from ..given_file import Stated
from ..given_identity import without_training
from ..identity import GIVEN, Pretraining, fill, to_json
from .account import Account, UnaccountedKeysError
from .reading import WeightsFileError

WHOLE_NUMBERS = ("num_batches_tracked", "_index")  # end the names of counts and of indices


class StatedValueError(ValueError):
    """A value that a person states about a file, and that does not fit it."""


@dataclass(frozen=True)
class GivenWeights:
    """The encoder of a file.

    Attributes:
        layout: Name of the layout.
        encoder: The architecture.
        config: Digest, layout, part, channels and normalisation.
        tensors: The weights by their names in the network, float32, for the input size of
            `encoder`.
        account: The use of each key of the file.
        notes: What a person should know: what was assumed, converted or resized.
    """

    layout: str
    encoder: AnyEncoder
    config: Config
    tensors: dict[str, Tensor]
    account: Account
    notes: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """The architecture in words."""
        size = self.encoder
        if not isinstance(size, GivenConfig):
            return size.name
        kind = "HiViT" if size.family == "hivit" else "ViT"
        token = "a class token" if size.class_token else "no class token"
        more = ["gated MLPs"] * size.gated + ["layer scale"] * size.layer_scale
        more += [f"{size.registers} registers"] * bool(size.registers)
        more += ["tables of relative position biases"] * size.bias_tables
        more += [f"two stages of {size.stem_blocks} MLPs before"] * bool(size.stem_blocks)
        positions = "relative positions" if size.positions == "relative" else "stored positions"
        blocks, heads = (f"{n} {one}{'s' * (n != 1)}" for n, one in (
            (size.depth, "block"), (size.heads, "head"),
        ))  # fmt: skip
        return (
            f"{kind}, {size.width} wide, {blocks}, {heads}, patches of "
            f"{size.patch_px} px, {', '.join([positions, token, *more])}"
        )

    def network(self, drop_path: float = 0.0) -> nn.Module:
        """Return the encoder with the weights.

        Raises:
            UnaccountedKeysError: A key of the file is unaccounted, or a weight is missing.
        """
        self.check()
        network = Given.build_encoder(self.config, self.encoder, drop_path)
        network.load_state_dict(self.tensors, strict=True)
        return network.eval()

    def check(self) -> None:
        """Refuse a file with an incomplete account.

        Raises:
            UnaccountedKeysError: A key of the file is unaccounted, or a weight is missing.
        """
        if self.account.complete:
            return
        problems = [
            f"{len(keys)} {kind}: {', '.join(sorted(keys)[:5])}{' ...' * (len(keys) > 5)}"
            for kind, keys in (
                ("missing", self.account.missing), ("unexpected", self.account.unexpected)
            )
            if keys
        ]  # fmt: skip
        raise UnaccountedKeysError(
            f"the file does not fit the layout {self.layout}: {'; '.join(problems)}; "
            f"{self.account.hint}. `sarbench weights inspect FILE` lists every key"
        )

    def identity(self) -> Pretraining:
        """Return the identity of the encoder: a pretraining that trains nothing."""
        version = _registry.get(GIVEN).version
        config = fill(to_json(self.config), {})
        return without_training(GIVEN, version, config, encoder_json(self.encoder))


def input_config(layout: str, three: Any, channels: int, digest: str, stated: Stated) -> Config:
    """Return the configuration of an encoder's input.

    Args:
        layout: Name of the layout.
        three: Mean and deviation of three channels in this layout; None = not normalised.
        channels: Input channels of the file.
        digest: Of the weights.
        stated: Replaces the values of the layout.

    Raises:
        StatedValueError: Means or deviations do not fit the channels.
    """
    usual = three if channels == 3 and three else (None, None)
    try:
        return Config(
            digest=digest,
            layout=layout,
            part=stated.part,
            channels=channels,
            channel=stated.channel,
            mean=_per_channel("mean", stated.mean, usual[0], channels),
            std=_per_channel("std", stated.std, usual[1], channels),
        )
    except MethodConfigError as error:
        raise StatedValueError(str(error)) from error


def _per_channel(
    name: str, stated: tuple[float, ...] | None, usual: tuple[float, ...] | None, channels: int
) -> tuple[float, ...] | None:
    if stated is None:
        return usual
    if len(stated) not in (0, 1, channels):
        raise StatedValueError(
            f"{name} has {len(stated)} values; give one, or {channels}, one for each channel"
        )
    values = stated * channels if len(stated) == 1 else stated
    return tuple(map(float, values)) or None


def as_weights(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return weights in float32, and notes about what was converted.

    Raises:
        WeightsFileError: A weight is NaN or infinite, or an integer or boolean.
    """
    notes = []
    kinds = {str(one.dtype).removeprefix("torch.") for one in tensors.values()
             if one.is_floating_point() and one.dtype != torch.float32}  # fmt: skip
    if kinds:
        notes.append(f"stored in {', '.join(sorted(kinds))}; computed in float32")
    result = {}
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.is_floating_point() and tensor.element_size() == 1:
            raise WeightsFileError(
                f"{name} holds {kind} values, which need scales that no layout has; a quantised "
                "copy is not read: take the original file"
            )
        if not tensor.is_floating_point() and not name.endswith(WHOLE_NUMBERS):
            raise WeightsFileError(
                f"{name} holds {kind} values, but weights are "
                "floating; a quantised or truncated copy is not read: take the original file"
            )
        result[name] = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.stack(result[name].float().aminmax()).isfinite().all():
            raise WeightsFileError(
                f"{name} holds NaN or infinite weights; a training that diverged wrote it: take "
                "an earlier checkpoint"
            )
    return result, notes
