"""Files of weights in a grid: rows of their own, or weights that pretrainings continue from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ..given_file import MOST_PX, STATED_NAMES, Stated
from ..identity import Pretraining
from ..toml_file import Section

SUFFIXES = (".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt")
Place = Literal["encoders", "init"]  # of an entry in the grid


class EncoderEntry(Section):
    """A file of weights, and the values that a person states about it.

    `seen` and `labels` say what the weights were trained on. No number depends on them, so they are
    not part of a key.
    """

    weights: str  # file, absolute or relative to the folder of the grid
    label: str | None = None  # name in tables; default: that of the file
    heads: int | None = Field(default=None, ge=1)  # attention heads; default: width / 64
    input_px: int | None = Field(default=None, ge=1, le=MOST_PX)  # side of the input
    part: str | None = None  # encoder of a file with two: target_encoder (default) or encoder
    encoder: str | None = None  # timm:NAME, to read the file as that network
    channels: int | None = Field(default=None, ge=1)  # that the file must have
    # index of the channel that holds the chip, while the others hold their mean; default: the chip
    # is every channel
    channel: int | None = Field(default=None, ge=0)
    mean: float | list[float] | None = None  # subtracted from each channel; [] = none
    std: float | list[float] | None = None  # divides each channel then; [] = none
    # what the weights were trained on: names of data sets, of their training splits (NAME:train),
    # of pools, or other words
    seen: list[str] | None = None  # [] = nothing
    labels: bool | None = None  # true if labels were used

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:
        return {"weights": value} if isinstance(value, str) else value

    @property
    def name(self) -> str:
        """The label in tables: the given one, or the name of the file without its suffixes."""
        if self.label:
            return self.label
        path = Path(self.weights)
        while path.suffix.lower() in SUFFIXES:
            path = path.with_suffix("")
        return path.name

    def stated(self) -> Stated:
        """Return the values that change how the file is read."""
        given = {name: getattr(self, name) for name in STATED_NAMES}
        given |= {n: (one,) for n, one in given.items() if isinstance(one, float)}
        return Stated(**{n: tuple(v) if isinstance(v, list) else v for n, v in given.items()})


@dataclass(frozen=True)
class GivenRow:
    """Facts about given weights that are not in a key.

    A row shows the weights, or a pretraining that continues from them.

    Attributes:
        file: Name of the file, without its folder.
        architecture: In words.
        notes: Sentences about what was assumed, converted or resized when the file was read.
        seen: Declared training data, as in the grid.
        labels: Whether their labels were used; None = not declared.
        missing: The file is missing, and the store holds its encoder or records.
        untrained: The weights look as if they had not been trained.
        position_table: The network has a table of positions, which no pretraining trains.
        seen_declared: The grid has `seen`, which may be empty; false in older archives.
    """

    file: str
    architecture: str
    notes: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    labels: bool | None = None
    missing: bool = False
    untrained: bool = False
    position_table: bool = False
    seen_declared: bool = False

    @property
    def seen_in_words(self) -> str:
        """The declared training data."""
        return ", ".join(self.seen) or ("nothing" if self.seen_declared else "not declared")


@dataclass(frozen=True)
class FoundWeights:
    """The encoder of an entry, as read from its file or remembered by the store."""

    place: Place
    entry: EncoderEntry
    identity: Pretraining
    row: GivenRow
