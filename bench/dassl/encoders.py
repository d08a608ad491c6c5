"""Encoders by the names that Dassl has for them: `sarbench:KEY` and `sarbench:FILE`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ...protocols._types import read_out
from ..augmentation.resample import resize
from ..identity import Pretraining
from ..store.records import Store
from ..suggest import RequestError
from ..weights.features import KEY, encoder_of_key, pretraining_of_key
from ..weights.find_encoder import find_encoder

PREFIX = "sarbench:"
Make = Callable[[float], nn.Module]
KEY_LETTERS = 12  # of the key of a stored pretraining, in its name


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder that is read when it is needed.

    Attributes:
        name: Its name in Dassl.
        open: Reads the encoder; returns a function that makes one with its weights for a drop path
            rate, and the side of its input.
    """

    name: str
    open: Callable[[], tuple[Make, int]]


class Backbone:
    """An encoder as a backbone of Dassl: images -> features; mixed into Dassl's class.

    It takes images of any size in [0, 1], of one channel or of three equal ones, without
    normalisation. The feature is the class token, or the mean of the patches without one.
    """

    source: NamedEncoder  # set in a subclass

    def __init__(self, pretrained: bool = True, **unused: object) -> None:
        """Read the encoder.

        Raises:
            RequestError: `MODEL.BACKBONE.PRETRAINED` is false.
        """
        super().__init__()
        if not pretrained:
            raise RequestError(
                f"MODEL.BACKBONE.PRETRAINED is false, but {self.source.name} has weights; set it "
                "to true, or name a stored encoder of `random_init`"
            )
        make, self.input_px = self.source.open()
        self.encoder = make(0.0)
        self._out_features: int = self.encoder.width  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, images: Tensor) -> Tensor:
        """Return one feature per image."""
        inputs = resize(images.mean(dim=1, keepdim=True), self.input_px)
        return read_out(self.encoder(inputs), "default", bool(self.encoder.has_class_token))


def stored_backbones(store: Store) -> list[NamedEncoder]:
    """Return the finished pretrainings of a store; one without an encoder fails when it is made."""
    keys = sorted(key for key in store.keys("pretrain") if store.record("pretrain", key).is_file())
    return [backbone_named(key[:KEY_LETTERS], store) for key in keys]


def backbone_named(given: str | Path, store: Store) -> NamedEncoder:
    """Return the encoder of a file of weights or of a key.

    Raises:
        RequestError: It is neither.
    """
    path = Path(given)
    if path.is_file():
        return NamedEncoder(f"{PREFIX}{given}", lambda: _of_file(path))
    key = str(given)
    if KEY.fullmatch(key):
        return NamedEncoder(f"{PREFIX}{key}", lambda: _of_key(store, key))
    raise RequestError(
        f"{given} is neither a file of weights nor a key of 12 letters or more; `sarbench plan "
        "GRID --json` lists the keys of pretrainings"
    )


def _of_file(path: Path) -> tuple[Make, int]:
    found = find_encoder(path)
    return found.network, found.encoder.input_px


def _of_key(store: Store, key: str) -> tuple[Make, int]:
    size = Pretraining(**pretraining_of_key(store, key).identity).encoder or {}
    return lambda drop_path: encoder_of_key(store, key, drop_path)[0], size["input_px"]
