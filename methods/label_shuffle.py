"""Label shuffle: raw pixels with shuffled labels (a control of the benchmark itself).

Hidden: nothing.
Predicted: nothing. Before each run, evaluation permutes the classes of its labelled chips among
each other, drawn by a hash of the split and the seed. So a score above chance would show test
labels that leak into a protocol.

Paper: none.
Source: none.
Differs from the source: nothing.
One run is not within the binomial error of chance: test chips of a class resemble each other, and
so do their wrong predictions. The mean over seeds is at chance, 1 / C with k chips of each of C
classes.
"""

from dataclasses import dataclass

from ._registry import register
from .raw_pixels import RawPixels


@dataclass(frozen=True)
class Config:
    """No settings."""


@register(label="Shuffled labels", paper="control", control=True)
class LabelShuffle(RawPixels):
    """Raw pixels with shuffled labels."""

    shuffles_labels = True
