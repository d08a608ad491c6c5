"""Features of chips under an encoder: of a data set, or of any folder of images."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...protocols._types import CHUNK, BadFeaturesError, count_not_finite, read_out
from ...results.record import PretrainRecord
from ..augmentation.resample import resize
from ..data.chips import Chips
from ..data.files import files_below
from ..data.images import FULL_SCALE, SUFFIXES, decode_image, is_image
from ..data.unreadable_image import UnreadableImageError
from ..identity import Pretraining, from_json
from ..store.records import Store
from ..store.weights import load_encoder
from ..suggest import RequestError

READOUTS = ("class", "patch_mean", "tokens")
KEY = re.compile(r"[0-9a-f]{12,64}")
Chip = tuple[str, Float[Tensor, "1 1 H W"]]  # id and amplitude in [0, 1]


class NoEncoderError(ValueError):
    """A key without a stored encoder, or a pretraining that has none."""


def pretraining_of_key(store: Store, key: str) -> PretrainRecord:
    """Return the record of a finished pretraining that has an encoder.

    Raises:
        NoEncoderError: No pretraining, or several, have a key that begins so, or it has no encoder.
    """
    if not KEY.fullmatch(key):
        raise NoEncoderError(
            f"{key!r} is not a key; give the first 12 or more of its 64 letters (0 to 9, a to f), "
            "as `sarbench plan GRID --json` prints them"
        )
    found = sorted(one for one in store.keys("pretrain") if one.startswith(key))
    if len(found) != 1:
        what = f"{len(found)} pretrainings have keys" if found else "no pretraining has a key"
        raise NoEncoderError(
            f"{what} beginning with {key} in {store.shown}; name the store with --runs and give "
            "12 letters or more"
        )
    record: PretrainRecord | None = store.read("pretrain", found[0])
    if record is None:
        raise NoEncoderError(f"pretraining {key[:12]} is not finished; run the grid first")
    identity = Pretraining(**record.identity)
    method = _registry.get(identity.method)
    if identity.encoder is None or method.evaluation_input != "encoder":
        raise NoEncoderError(f"{identity.method} ({key[:12]}) has no encoder")
    return record


def encoder_of_key(store: Store, key: str, drop_path: float = 0.0) -> tuple[nn.Module, int]:
    """Return the encoder of a stored pretraining, and the side of its input.

    Raises:
        NoEncoderError: As for `pretraining_of_key`.
        CheckpointMismatchError: The weights are not those of the record.
    """
    identity = Pretraining(**pretraining_of_key(store, key).identity)
    method, size = _registry.get(identity.method), identity.encoder or {}
    network = method.build_encoder(
        from_json(method.Config, identity.config), encoder_from_json(size), drop_path=drop_path
    )
    load_encoder(store, network, identity)
    return network.eval(), size["input_px"]


def chips_of_set(chips: Chips) -> Iterator[Chip]:
    """Yield the chips of a data set or pool."""
    for index, name in enumerate(chips.ids):
        chip = chips.chip(index).astype(np.float32) / np.float32(chips.full_scale)
        yield str(name), torch.from_numpy(chip)[None, None]


def images_in(folder: Path) -> list[Path]:
    """Return the images in a folder at any depth, sorted; hidden files are skipped.

    Raises:
        RequestError: There is none.
    """
    found = sorted(
        place / name for place, names in files_below(folder) for name in names if is_image(name)
    )
    if not found:
        raise RequestError(f"{folder} holds no image; formats: {', '.join(SUFFIXES)}")
    return found


def chips_in(folder: Path, images: list[Path]) -> Iterator[Chip]:
    """Yield the images of a folder; the id is the path below it.

    Raises:
        UnreadableImageError: An image cannot be read, or has amplitudes above 1.
    """
    for path in images:
        name = path.relative_to(folder).as_posix()
        image = decode_image(path.read_bytes(), name)
        amplitude = image.astype(np.float32) / np.float32(FULL_SCALE[image.dtype.name])
        if amplitude.max() > 1:
            raise UnreadableImageError(
                f"{name}: amplitudes up to {amplitude.max():.4g}; float chips must be in [0, 1]: "
                "divide them by their full scale"
            )
        yield name, torch.from_numpy(amplitude)[None, None]


def check_readout(encoder: nn.Module, readout: str) -> None:
    """Refuse a readout that the encoder does not have.

    Raises:
        RequestError: The readout is unknown, or it is the class token, which the encoder lacks.
    """
    if readout not in READOUTS:
        raise RequestError(f"unknown readout {readout!r}; allowed: {', '.join(READOUTS)}")
    if readout == "class" and not encoder.has_class_token:
        raise RequestError("this encoder has no class token; use --readout patch_mean")


def features(
    encoder: nn.Module, input_px: int, chips: Iterator[Chip], readout: str
) -> Iterator[tuple[list[str], Float[Tensor, " B *rest"]]]:
    """Yield the ids and features of chips in chunks.

    Chips of another size are resized as in an evaluation; those of `input_px` pass unchanged.
    `tokens` are all tokens (B, N, D), the class token first; the other readouts give (B, D).

    Raises:
        BadFeaturesError: A feature is NaN or infinite.
    """
    names: list[str] = []
    inputs: list[Tensor] = []
    for name, chip in chips:
        names.append(name)
        inputs.append(resize(chip, input_px))
        if len(names) == CHUNK:
            yield names, _read(encoder, inputs, readout)
            names, inputs = [], []
    if names:
        yield names, _read(encoder, inputs, readout)


@torch.no_grad()
def _read(encoder: nn.Module, inputs: list[Tensor], readout: str) -> Tensor:
    tokens = encoder(torch.cat(inputs))
    if readout != "tokens":
        tokens = read_out(tokens, readout, bool(encoder.has_class_token))
    if bad := count_not_finite(tokens):
        raise BadFeaturesError(
            f"{bad} of {len(tokens)} chips have features that are not finite; check the encoder's "
            "weights and the pixels. Nothing is written"
        )
    return tokens
